// The self-check of rewrites, on random lists of launches: parameters in one to four groups, of odd widths, with shared and missing gradients,
// packed or not, norms around convolutions, views, results. An interpreter of the lists tells whether a list computes the same. What the
// rewrites make must pass the check and compute the same; lists with a random mistake that compute something else must not pass.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import type { Kernel } from '../../shaders/kernel';
import type { Binding, Block, Pool } from '../../src/gpu/blocks';
import type { Constant } from '../../src/gpu/constants';
import { f32, Scalar } from '../../src/gpu/constants';
import { Flow } from '../../src/gpu/flow';
import { joinFlat } from '../../src/gpu/fuse';
import { fused, place, type Rewrite, rewrites } from '../../src/gpu/graph';
import type { Launch } from '../../src/gpu/trace';
import { partsOf, VirtualBlock } from '../../src/gpu/trace';
import {
  addOf,
  applyOf,
  convolution,
  digest,
  type Fake,
  mix,
  mixer,
  norm,
  partialsOf,
  sum,
  update,
} from './fake-kernels';

const ALIGN = 256;
const MOST = 10;
const aligned = (bytes: number) => Math.ceil(bytes / ALIGN) * ALIGN;

let ids = 1;
const realBlock = (size: number) => ({ id: ids++, size: aligned(size) }) as unknown as Block;

interface Program {
  launches: Launch[];
  pinned: Set<Block>;
  /** What is seen of real memory: all but the gaps. */
  owned: Binding[];
}

function randomProgram(seed: number): Program {
  const rng = new Rng(seed, 1);
  const below = (n: number) => Math.floor(rng.uniform() * n);
  const chance = (p: number) => rng.uniform() < p;
  const launches: Launch[] = [];
  const pinned = new Set<Block>();
  const owned: Binding[] = [];
  const launch = (kernel: Kernel, bindings: Binding[], constants: readonly Constant[] = []) =>
    launches.push({ kernel, bindings, constants, grid: [64, 1, 1], path: '' });
  const virtual = (bytes: number): Binding => {
    const block = new VirtualBlock(bytes, `v${ids++}`);
    return { block, offset: 0, bytes, whole: true };
  };
  const width = () => 4 * [1, 3, 10, 16, 63, 64, 65, 130][below(8)];
  const random = <T>(list: readonly T[]): T => list[below(list.length)];
  const known: Binding[] = [];
  const make = (bytes: number, from = known): Binding => {
    const out = virtual(bytes);
    launch(mixer(`make ${bytes}`, 'rrw'), [random(from), random(from), out]);
    known.push(out);
    return out;
  };

  // Parameters and their buffers, side by side in one real block with gaps, or views of a larger tensor without.
  const groups = 1 + below(4);
  const packed = chance(0.8);
  const widths = Array.from({ length: groups }, () => Array.from({ length: 1 + below(4) }, packed ? width : () => 256));
  const all = widths.flat();
  const store = realBlock(2 * all.reduce((n, bytes) => n + aligned(bytes), 0) + ALIGN);
  let at = 0;
  const take = (bytes: number): Binding => {
    const b = { block: store, offset: at, bytes, whole: packed };
    at += aligned(bytes);
    owned.push(b);
    return b;
  };
  const weights = widths.map((list) => list.map(take));
  const buffers = widths.map((list) => list.map(take));
  const input = { block: realBlock(1024), offset: 0, bytes: 1024, whole: true };
  known.push(input, ...weights.flat());
  for (let i = below(3); i > 0; i--) make(width());

  // A norm between convolutions, and the sums that norms take.
  if (chance(0.6)) {
    const stats = make(64);
    const [x, y, z, other] = [make(4 * 64), virtual(4 * 64), virtual(4 * 64), make(4 * 64)];
    launch(norm, [x, stats, y]);
    if (chance(0.3)) make(width(), [y, x]);
    if (chance(0.2)) launch(mixer('change', 'xr'), [x, input]);
    launch(convolution({ name: 'fake', of: 'conv', chunks: 2 }), [y, random(weights.flat()), z]);
    if (chance(0.3)) launch(convolution({ name: 'fake', of: 'again', chunks: 2 }), [y, input, virtual(4 * 64)]);
    if (chance(0.2)) launch(mixer('spoil', 'xr'), [z, input]);
    let summed = z;
    if (chance(0.5)) {
      const step = chance(0.4);
      const operands = step ? [other, z, random(weights.flat())] : chance(0.5) ? [other, z] : [z, other];
      summed = virtual(4 * 64);
      if (chance(0.2)) launch(mixer('change the other', 'xr'), [other, input]);
      launch(addOf(step ? 'step' : 'sum'), [...operands, summed], step ? [64, 1] : [64]);
      if (chance(0.3)) known.push(z);
    }
    const kind = random(['statistics', 'gradient'] as const);
    const partials = virtual(32);
    const kernel = partialsOf(kind);
    const reads = [summed, ...(kind === 'gradient' ? [x, stats] : [])];
    launch(kernel, [...reads, partials], [4, 2]);
    known.push(summed, partials);
    if (chance(0.5)) {
      if (chance(0.2)) launch(mixer('spoil', 'xr'), [random([...reads, partials]), input]);
      const again = virtual(32);
      launch(kernel, [...reads, again], [4, 2]);
      known.push(again);
    }
    if (chance(0.6)) {
      const [coefficients, onto, dx, dz] = [make(128), chance(0.5), virtual(4 * 64), virtual(4 * 64)];
      launch(applyOf(onto), [summed, x, coefficients, ...(onto ? [make(4 * 64)] : []), dx]);
      if (chance(0.2)) launch(mixer('change x', 'xr'), [x, input]);
      launch(convolution({ name: 'fake', of: 'back', chunks: 2 }), [dx, random(weights.flat()), dz]);
      if (chance(0.5)) launch(partialsOf('gradient'), [dz, x, stats, virtual(32)], [4, 2]);
      known.push(dx, dz);
    }
    if (chance(0.2)) pinned.add(y.block);
  }

  // Gradients: by sums of partial results, plainly, from another's memory, or not at all.
  const gradients = weights.map((list) =>
    list.map(({ bytes }): Binding | null => {
      if (chance(0.15)) return null;
      const same = known.filter((b) => b.block instanceof VirtualBlock && b.bytes === bytes);
      if (same.length && chance(0.15)) return random(same);
      if (chance(0.4)) return make(bytes);
      const [partials, gradient] = [make(2 * bytes), virtual(bytes)];
      launch(sum(bytes / 4, below(3)), [partials, gradient]);
      if (chance(0.3)) known.push(gradient);
      if (chance(0.1)) pinned.add(gradient.block);
      return gradient;
    }),
  );
  if (chance(0.3)) make(width());
  for (const g of gradients.flat())
    if (g && chance(0.1))
      launch(mixer('view', 'rw'), [{ ...g, bytes: Math.min(g.bytes, 12), whole: false }, virtual(12)]);

  // The updates.
  const rates = weights.map(() => (chance(0.5) ? new Scalar(1 + below(2)) : f32(1 + below(2))));
  weights.forEach((list, k) =>
    list.forEach((w, i) => {
      const g = gradients[k][i];
      if (g) launch(update, [w, g, buffers[k][i]], [w.bytes / 4, rates[k], f32(1)]);
      if (chance(0.05)) make(width());
    }),
  );
  // All rows of the store at once, gaps included.
  if (chance(0.3)) launch(mixer('rows', 'xr'), [{ block: store, offset: 0, bytes: at }, input]);
  const result = make(width());
  pinned.add(result.block);
  return { launches, pinned, owned };
}

/** What real and pinned memory holds after a list has run; null when it would bind what is not there. */
function outcome(launches: readonly Launch[], { pinned, owned }: Program, garbage: number): string | null {
  const memory = new Map<Block, Int32Array>();
  const real = (block: Block) => (block instanceof VirtualBlock && block.place) || block;
  const words = (block: Block) => {
    const at = real(block);
    if (!memory.has(at)) {
      const salt = at instanceof VirtualBlock || block !== at ? garbage : 0;
      memory.set(
        at,
        Int32Array.from({ length: at.size / 4 }, (_, i) => mix(at.id, i, salt)),
      );
    }
    return memory.get(at)!;
  };
  for (const b of owned) words(b.block);
  for (const { kernel, bindings, constants, table } of launches) {
    if (table) words(bindings[bindings.length - 1].block).set(table);
    const at = bindings.map((b) => words(b.block).subarray(b.offset / 4, (b.offset + b.bytes) / 4));
    if (at.some((w, i) => w.length !== bindings[i].bytes / 4)) return null;
    const shared = bindings.some(
      (a, i) =>
        kernel.access[i] !== 'r' &&
        bindings.some(
          (b, j) =>
            i !== j &&
            real(a.block) === real(b.block) &&
            (kernel.access[j] === 'r' || (a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes)),
        ),
    );
    if (shared) return null;
    const value = (c: Constant) => (typeof c === 'number' ? c : c.value);
    (kernel as Fake).run(at, constants.map(value));
  }
  const ends = new Map<Block, number>();
  for (const { bindings } of launches)
    for (const { block, offset, bytes } of bindings) ends.set(block, Math.max(ends.get(block) ?? 0, offset + bytes));
  const results = [...pinned].map((block) => ({ block, offset: 0, bytes: ends.get(block) ?? 0 }));
  const seen = [...owned, ...results];
  return seen.map(({ block, offset, bytes }) => digest(words(block).subarray(offset / 4, (offset + bytes) / 4))).join();
}

const PROGRAMS = 150;

test(`${PROGRAMS} random programs: every pass computes the same and proves it`, () => {
  const joined: Record<string, number> = {};
  for (let seed = 0; seed < PROGRAMS; seed++) {
    const program = randomProgram(seed);
    const { launches, pinned } = program;
    const want = outcome(launches, program, 1);
    assert.ok(want);
    const flow = new Flow(launches, pinned, ALIGN);
    assert.is(flow.fault(launches), null, `seed ${seed}: the list itself`);
    let list = launches;
    for (const pass of rewrites) {
      const next = pass(list, pinned, ALIGN, MOST);
      assert.is(flow.fault(next), null, `seed ${seed}: ${pass.name}`);
      if (next.length < list.length) {
        assert.is(outcome(next, program, 2), want, `seed ${seed}: what ${pass.name} computes`);
        joined[pass.name] = (joined[pass.name] ?? 0) + 1;
      }
      list = next;
    }
  }
  const often = {
    dropRepeats: 5,
    normOnLoad: 20,
    addOnStore: 10,
    sumsOnStore: 10,
    gradientOnLoad: 10,
    joinFlat: 50,
    joinSegments: 30,
  };
  for (const [name, least] of Object.entries(often))
    assert.ok(joined[name] >= least, `${name} was tried on ${joined[name]} programs`);
});

/** Gives the virtual blocks of a list memory, as a plan does. */
function placed(list: readonly Launch[], pinned: ReadonlySet<Block>): VirtualBlock[] {
  for (const { table, bindings } of list)
    if (table) (bindings[bindings.length - 1].block as VirtualBlock).place = realBlock(table.byteLength);
  place(list, pinned, { take: realBlock } as unknown as Pool, '');
  const blocks = new Set(list.flatMap(({ bindings }) => bindings.map((b) => b.block)));
  return [...blocks].filter((b) => b instanceof VirtualBlock);
}

test('memory is placed so that nothing is overwritten too early, and that is proved too', () => {
  let caught = 0;
  for (let seed = 0; seed < PROGRAMS; seed++) {
    const program = randomProgram(seed);
    const { launches, pinned } = program;
    const want = outcome(launches, program, 1);
    const { launches: list, flow, skipped } = fused(launches, pinned, ALIGN, MOST);
    assert.equal(skipped, []);
    const blocks = placed(list, pinned);
    assert.is(flow.fault(list), null, `seed ${seed}`);
    assert.is(outcome(list, program, 3), want, `seed ${seed}: what the placed list computes`);
    // Two of them in one place.
    const rng = new Rng(seed, 2);
    const [a, b] = [0, 1].map(() => blocks[Math.floor(rng.uniform() * blocks.length)]);
    if (a === b || a.size > b.size) continue;
    a.place = b.place;
    if (outcome(list, program, 4) === want) continue;
    caught++;
    assert.ok(flow.fault(list), `seed ${seed}: ${a.what} and ${b.what} in one place pass the check`);
  }
  assert.ok(caught > 30, `${caught} bad placements were tried`);
});

/** A list with one mistake. */
function mistaken(list: readonly Launch[], rng: Rng): Launch[] {
  const below = (n: number) => Math.floor(rng.uniform() * n);
  const out = [...list];
  const at = below(out.length);
  const launch = out[at];
  const k = below(launch.bindings.length);
  const other = out[below(out.length)];
  const bindings = [...launch.bindings];
  const words = launch.table?.slice();
  switch (below(8)) {
    case 0:
      return out.filter((_, i) => i !== at);
    case 1:
      out.splice(at, 1);
      out.splice(below(out.length + 1), 0, launch);
      return out;
    case 2:
      bindings[k] = { ...bindings[k], offset: bindings[k].offset + ALIGN };
      break;
    case 3:
      bindings[k] = { ...bindings[k], block: other.bindings[below(other.bindings.length)].block };
      break;
    case 4:
      [bindings[0], bindings[k]] = [bindings[k], bindings[0]];
      break;
    case 5:
      if (words) words[below(words.length)] += 1;
      return out.with(at, { ...launch, table: words });
    case 6:
      return out.with(at, { ...launch, constants: launch.constants.map((c, i) => (i === 0 ? 1 : c)) });
    default: {
      // A block moved without what others bind of it.
      const { block } = bindings[k];
      const to = new VirtualBlock(block.size, 'elsewhere');
      const move = (b: Binding) => (b.block === block && b.bytes === bindings[k].bytes ? { ...b, block: to } : b);
      return out.map((l) => ({
        ...l,
        bindings: l.bindings.map(move),
        parts: partsOf(l).map((part) => ({ ...part, bindings: part.bindings.map(move) })),
      }));
    }
  }
  return out.with(at, { ...launch, bindings });
}

test('a list with a mistake that changes what is computed never passes', () => {
  let [wrong, harmless] = [0, 0];
  for (let seed = 0; seed < 3 * PROGRAMS; seed++) {
    const program = randomProgram(Math.floor(seed / 3));
    const { launches, pinned } = program;
    const want = outcome(launches, program, 1);
    const { launches: list, flow } = fused(launches, pinned, ALIGN, MOST);
    const next = mistaken(list, new Rng(seed, 3));
    if (outcome(next, program, 2) === want) harmless++;
    else {
      wrong++;
      assert.ok(flow.fault(next), `seed ${seed}: the mistake passes the check`);
    }
  }
  assert.ok(wrong > PROGRAMS, `${wrong} lists were wrong, ${harmless} were not`);
});

test('a pass that does not prove right is left out and named, the others are used', () => {
  const [w1, w2, g1, g2] = ['w1', 'w2', 'g1', 'g2'].map((what) => new VirtualBlock(1024, what));
  const whole = (block: Block): Binding => ({ block, offset: 0, bytes: 1024, whole: true });
  const step = (kernel: Kernel, ...blocks: Block[]): Launch => ({
    kernel,
    bindings: blocks.map(whole),
    constants: kernel.flat ? [256] : [],
    grid: [4, 1, 1],
    path: '',
  });
  const plain = mixer('plain', 'rw');
  const flat: Fake = { ...update, access: 'xr' };
  const launches = [step(plain, w1, g1), step(plain, w2, g2), step(flat, w1, g1), step(flat, w2, g2)];
  const forgetful: Rewrite = (list) => list.filter(({ bindings }) => bindings[1].block !== g2);
  const { launches: out, skipped } = fused(launches, new Set([w1, w2]), ALIGN, MOST, [forgetful, joinFlat]);
  assert.equal(
    out.map(({ kernel }) => kernel.name),
    ['plain', 'plain', 'update', 'update'],
    'results may not be moved',
  );
  assert.is(skipped.length, 1);
  assert.match(skipped[0], /^forgetful: what the step leaves in w2 would be other/);
});

test.run();
