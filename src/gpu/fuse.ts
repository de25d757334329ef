// Passes over the launches of a traced step: fewer launches for the same result.
import type { Binding, Block } from './blocks';
import type { Constant } from './constants';
import { Float } from './constants';
import type { Launch } from './trace';
import { VirtualBlock } from './trace';

const sameConstant = (a: Constant, b: Constant): boolean =>
  a === b || (a instanceof Float && b instanceof Float && a.value === b.value);

/** Joined ranges stay below the smallest limit on a binding that WebGPU guarantees. */
const MOST = 2 ** 27;

const aligned = (bytes: number, align: number): number => Math.ceil(bytes / align) * align;

/** A virtual block that only this range of launches binds, whole and from its start: it may be given a place beside others. */
export const isFree = (b: Binding, pinned: ReadonlySet<Block>): boolean =>
  b.block instanceof VirtualBlock && !b.block.place && b.offset === 0 && !pinned.has(b.block);

/** Whether `next` can go on where `last` ends: neighbours in one block, or blocks that can be made neighbours. */
function follows(last: Launch, next: Launch, pinned: ReadonlySet<Block>, align: number): boolean {
  const { kernel, constants } = last;
  if (!kernel.flat || next.kernel !== kernel || next.constants.length !== constants.length) return false;
  if (!constants.every((c, i) => i === 0 || sameConstant(c, next.constants[i]))) return false;
  return last.bindings.every((a, i) => {
    const b = next.bindings[i];
    if (aligned(a.bytes, align) !== aligned(last.bindings[0].bytes, align)) return false;
    if (a.block === b.block) return b.offset === a.offset + aligned(a.bytes, align);
    return isFree(a, pinned) && isFree(b, pinned);
  });
}

/** Where each block that was joined with others now lies. */
type Moves = Map<Block, { block: Block; offset: number }>;

/** A launch after the moves; null when it would bind a buffer both read and written, or overlapping. */
function moved(launch: Launch, moves: Moves): Launch | null {
  if (!launch.bindings.some((b) => moves.has(b.block))) return launch;
  const bindings = launch.bindings.map((b) => {
    const to = moves.get(b.block);
    return to ? { block: to.block, offset: b.offset + to.offset, bytes: b.bytes } : b;
  });
  const { access } = launch.kernel;
  const clash = bindings.some(
    (a, i) => access[i] !== 'r' && bindings.some((b, j) => j !== i && a.block === b.block && access[j] === 'r'),
  );
  return clash ? null : { ...launch, bindings, origin: launch.origin ?? launch };
}

/**
 * Joins launches of one flat kernel over neighbouring ranges, with the same numbers, into one: an optimizer's updates of all parameters
 * that lie side by side. The gradients, which lie apart, are placed side by side for it.
 */
export function joinFlat(launches: readonly Launch[], pinned: ReadonlySet<Block>, align: number): Launch[] {
  let out = [...launches];
  for (let from = 0; from < out.length; from++) {
    let to = from + 1;
    let bytes = aligned(out[from].bindings[0]?.bytes ?? 0, align);
    while (
      to < out.length &&
      follows(out[to - 1], out[to], pinned, align) &&
      bytes + aligned(out[to].bindings[0].bytes, align) <= MOST
    )
      bytes += aligned(out[to++].bindings[0].bytes, align);
    if (to - from < 2) continue;
    const run = out.slice(from, to);
    const moves: Moves = new Map();
    const bindings = run[0].bindings.map((first, i): Binding => {
      if (run[1].bindings[i].block === first.block) return { ...first, bytes };
      const joined = new VirtualBlock(bytes, `${run[0].kernel.name}, joined`);
      let offset = 0;
      for (const { bindings: own } of run) {
        moves.set(own[i].block, { block: joined, offset });
        offset += aligned(own[i].bytes, align);
      }
      return { block: joined, offset: 0, bytes };
    });
    const n = bytes / 4;
    const groups = Math.ceil(n / run[0].kernel.flat!);
    const x = Math.min(groups, 65535);
    const whole: Launch = {
      ...run[0],
      bindings,
      constants: [n, ...run[0].constants.slice(1)],
      grid: [x, Math.ceil(groups / x), 1],
    };
    const rest = [...out.slice(0, from), ...out.slice(to)].map((launch) => moved(launch, moves));
    if (rest.includes(null)) {
      from = to - 1;
      continue;
    }
    out = [...(rest.slice(0, from) as Launch[]), whole, ...(rest.slice(from) as Launch[])];
  }
  return out;
}

/** The table of a joined launch: its content must be there before the plan first runs. */
export interface Tabled {
  table: VirtualBlock;
  words: Uint32Array<ArrayBuffer>;
}

export const overlap = (a: Binding, b: Binding): boolean =>
  a.block === b.block && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

/** Whether two launches may change places: neither writes what the other touches. */
export function commute(a: Launch, b: Launch): boolean {
  return !a.bindings.some((x, i) =>
    b.bindings.some((y, j) => (a.kernel.access[i] !== 'r' || b.kernel.access[j] !== 'r') && overlap(x, y)),
  );
}

/** Lays ranges side by side: those that can move go into one new block. Null when they lie in several that cannot. */
function gather(
  ranges: readonly Binding[],
  pinned: ReadonlySet<Block>,
  align: number,
  moves: Moves,
  what: string,
): Binding | null {
  const { block } = ranges[0];
  if (ranges.every((r) => r.block === block)) {
    const low = Math.min(...ranges.map((r) => r.offset));
    const high = Math.max(...ranges.map((r) => r.offset + r.bytes));
    return { block, offset: low, bytes: high - low };
  }
  if (!ranges.every((r) => isFree(r, pinned)) || new Set(ranges.map((r) => r.block)).size !== ranges.length)
    return null;
  const bytes = ranges.reduce((sum, r) => sum + aligned(r.bytes, align), 0);
  const joined = new VirtualBlock(bytes, what);
  let offset = 0;
  for (const r of ranges) {
    moves.set(r.block, { block: joined, offset });
    offset += aligned(r.bytes, align);
  }
  return { block: joined, offset: 0, bytes };
}

/** Launches of one family, apart by the block that they write where several write slices of one. */
function families(launches: readonly Launch[]): Launch[][] {
  const target = (launch: Launch) => launch.bindings[Math.max(0, launch.kernel.access.search(/[wx]/))].block;
  const writers = new Map<Block, number>();
  const segmented = launches.filter((launch) => launch.kernel.segment);
  for (const launch of segmented) writers.set(target(launch), (writers.get(target(launch)) ?? 0) + 1);
  const groups = new Map<unknown, Map<Block | null, Launch[]>>();
  for (const launch of segmented) {
    const { family } = launch.kernel.segment!;
    const key = writers.get(target(launch))! > 1 ? target(launch) : null;
    const group = groups.get(family) ?? new Map<Block | null, Launch[]>();
    groups.set(family, group.set(key, [...(group.get(key) ?? []), launch]));
  }
  return [...groups.values()].flatMap((group) => [...group.values()]).filter((run) => run.length > 1);
}

/**
 * Joins the launches of each segmented family into one: all weight packings of a step, all second phases of its two-phase sums, the sorts of
 * all stages. They move to the first of them or to the last, past launches that they commute with.
 */
export function joinSegments(
  launches: readonly Launch[],
  pinned: ReadonlySet<Block>,
  align: number,
): { launches: Launch[]; tabled: Tabled[] } {
  let out = [...launches];
  const tabled: Tabled[] = [];
  for (const stale of families(launches)) {
    // An earlier join may have moved what these launches bind.
    const { family } = stale[0].kernel.segment!;
    const at = stale.map((launch) => out.findIndex((l) => l === launch || l.origin === launch));
    const run = at.map((i) => out[i]);
    const between = (from: number, to: number) => out.slice(from + 1, to).filter((l) => !run.includes(l));
    const early = run.every((l, k) => between(at[0], at[k]).every((other) => commute(l, other)));
    const late = run.every((l, k) => between(at[k], at[at.length - 1]).every((other) => commute(l, other)));
    if (!early && !late) continue;
    const moves: Moves = new Map();
    const operands = run[0].bindings.map((_, i) =>
      gather(
        run.map((l) => l.bindings[i]),
        pinned,
        align,
        moves,
        `operand ${i} of ${family.name}`,
      ),
    );
    if (
      operands.some((o, i) => !o || o.bytes > MOST || operands.some((other, j) => j !== i && other?.block === o.block))
    )
      continue;
    const whole = operands as Binding[];
    const others = out.map((l) => (run.includes(l) ? l : moved(l, moves)));
    if (others.includes(null)) continue;
    const groups: number[] = [];
    const records: number[] = [];
    run.forEach(({ kernel, bindings }, k) => {
      records.push(...bindings.map((b, i) => ((moves.get(b.block)?.offset ?? 0) + b.offset - whole[i].offset) / 4));
      records.push(groups.length, ...kernel.segment!.words);
      for (let i = 0; i < kernel.segment!.groups; i++) groups.push(k);
    });
    const words = Uint32Array.from([...groups, ...records]);
    const table = new VirtualBlock(words.byteLength, `table of ${family.name}`);
    const x = Math.min(groups.length, 65535);
    const joined: Launch = {
      kernel: family,
      bindings: [...whole, { block: table, offset: 0, bytes: words.byteLength }],
      constants: [groups.length, groups.length],
      grid: [x, Math.ceil(groups.length / x), 1],
      path: '',
    };
    tabled.push({ table, words });
    const target = early ? at[0] : at[at.length - 1];
    out = others.flatMap((l, i) => (i === target ? [joined] : run.includes(out[i]) ? [] : [l as Launch]));
  }
  return { launches: out, tabled };
}
