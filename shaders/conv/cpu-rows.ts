/**
 * What convolutions for CPU drivers share (lavapipe, SwiftShader), where invocations are SIMD lanes: how a lane loads and stores 4 neighbouring
 * positions of a row, and how channels are split into blocks.
 *
 * A divergent load is a loop over the lanes (a vec4 costs as much as 6 vec4 FMAs) or, in newer drivers, a vector gather that takes some 3 cycles
 * a lane, and each accumulator is loaded, masked and stored in every turn of a loop (as much as 4 FMAs), but a broadcast is nearly free. So both
 * formulations (cpu-gather.ts, cpu-weight-gradient.ts) hold many accumulators, do all taps of a channel in one turn, and share what lanes load,
 * without workgroup memory or barriers. Without subgroups the broadcasts become uniform loads.
 *
 * The machine code shows why: an fma is a multiply and an add. Mesa 25.0 takes 8 instructions and two branches for a float
 * that is loaded, in every lane; of a 3×3 convolution of 16 channels the loads take 40 % of the time, the FMAs' block half.
 * Mesa 26.1 with 16 lanes: gathers 26 % (38 % in the weight gradient), FMAs 60 %. Uniform loads of the weights, without
 * broadcasts, are slower with both. Winograd's transform would save FMAs, but load twice the weights.
 *
 * An accumulator's FMAs stand side by side, because there are more accumulators than registers. Extents are uniforms: the
 * driver takes a second or more to compile such a body, and the layers of a network, forward and backward, then share a few.
 */
import { at } from '../checked';
import { unroll } from '../kernel';
import type { Held } from '../precision';
import { type Axis, positions } from './gather';

/** vec4 FMAs in the unrolled body of a layer that is rare in a network, of stride or few channels: less is gained than compiling costs. */
export const MAX_RARE_FMAS = 96;

/** `n` split into equal blocks of at most `max`, rounded up to a multiple of 4. */
export function blockSize(n: number, max: number): number {
  const blocks = Math.ceil(n / max);
  return 4 * Math.ceil(n / blocks / 4);
}

interface RowLoads {
  readonly code: string;
  /** Names the float at `offset` from the first that the lane's first position reads with its tap of offset 0. */
  readonly at: (offset: number) => string;
}

interface RowOptions {
  /** Suffix that keeps the names of several rows apart. */
  readonly id: string;
  /** WGSL for the row's first index in `images`, and for whether the row exists: rows outside are zero. */
  readonly line: string;
  readonly inside: string;
  readonly held: Held;
  /** The lanes of a row are neighbours in one subgroup. */
  readonly neighbours?: boolean;
}

/**
 * Whether all tests hold, without `&&`, each of which is a branch: some sixty branches in the body of a loop keep SwiftShader's compiler at work until
 * Chromium ends it for its memory (a 3×3 kernel dilated by 2 and 3 in a small image), while so many `&` take it half a second.
 */
const all = (tests: readonly (string | false)[]): string => tests.map((test) => `(${test})`).join(' & ');

/**
 * Loads of everything that a lane's 4 positions read in one row of `images`; `xq` is the lane's place in the row.
 * Rows whose length is a multiple of 4 are read as vec4, each of which lies inside or outside as a whole.
 */
export function loadRow(x: Axis, { id, line, inside, held, neighbours = false }: RowOptions): RowLoads {
  const lastSpan = Math.ceil(positions(x) / 4) - 1;
  const steps = [0, 1, 2, 3].map((j) => x.step * j);
  const offsets = [...new Set(x.taps.flat().flatMap(({ offset }) => steps.map((step) => step + offset)))];
  const width = x.inSize % 4 ? 1 : 4;
  const units = [...new Set(offsets.map((o) => Math.floor(o / width)))];
  const perSpan = (4 * x.step) / width;
  const last = 'lastUnit';
  const highest = x.inSize / width - 1;
  const label = (unit: number) => `v${id}_${unit < 0 ? 'm' : ''}${Math.abs(unit)}`;
  const used = (unit: number) => [
    ...new Set(offsets.filter((o) => Math.floor(o / width) === unit).map((o) => o - unit * width)),
  ];
  const scalar = (unit: number) => width === 1 || used(unit).length === 1;
  /** The unit of a neighbouring lane that a unit outside the lane's own span is. */
  const lender = (unit: number) => (unit < 0 ? unit + perSpan : unit - perSpan);
  const own = (unit: number) => unit >= 0 && unit < perSpan;
  const borrowed = (unit: number) =>
    neighbours && !own(unit) && own(lender(unit)) && units.includes(lender(unit)) && !scalar(lender(unit));
  const load = (unit: number) => {
    const position = `${perSpan} * xq + ${unit}`;
    const low = unit < 0;
    const high = perSpan * lastSpan + unit > highest;
    const zero = scalar(unit) ? '0.0' : 'vec4f()';
    if (lastSpan === 0 && (low || unit > highest)) return `let ${label(unit)} = ${zero};`;
    const tests = [low && `${position} >= 0`, high && `${position} <= ${last}`].filter(Boolean);
    if (borrowed(unit)) {
      const shuffle = (k: number) => `subgroupShuffle${low ? 'Up' : 'Down'}(${label(lender(unit))}[${k}], 1u)`;
      const value = scalar(unit) ? shuffle(at(used(unit), 0)) : `vec4f(${[0, 1, 2, 3].map(shuffle).join(', ')})`;
      return `let ${label(unit)} = ${tests.length ? `select(${zero}, ${value}, ${all(tests)})` : value};`;
    }
    const clamped = low || high ? `clamp(${position}, 0, ${last})` : position;
    const component = scalar(unit) && width === 4 ? `[${at(used(unit), 0)}]` : '';
    const read = scalar(unit) ? held.read : held.read4;
    return `let ${label(unit)} = select(${zero}, ${read(`images[${line} + ${clamped}]${component}`)}, ${all([inside, ...tests])});`;
  };
  return {
    code: [...units.filter((unit) => !borrowed(unit)), ...units.filter(borrowed)].map(load).join('\n      '),
    at: (offset) => {
      const unit = Math.floor(offset / width);
      return `${label(unit)}${scalar(unit) ? '' : `[${offset - unit * width}]`}`;
    },
  };
}

/** Stores a lane's 4 positions of every class at `result[at …]`, as vec4 where rows allow it. */
export function storeRow(x: Axis, held: Held, acc: (cx: number) => string): string {
  const value = (i: number) => `${acc(i % x.classes)}[${Math.floor(i / x.classes)}]`;
  const count = 4 * x.classes;
  if (x.size % count === 0) {
    return unroll(
      x.classes,
      (v) =>
        `result[at / 4 + ${v}] = ${held.store4(`vec4f(${[0, 1, 2, 3].map((j) => value(4 * v + j)).join(', ')})`)};`,
    );
  }
  const sure = x.size - count * (Math.ceil(positions(x) / 4) - 1); // positions that even the last lane has
  return unroll(count, (i) => {
    const store = `result[at + ${i}] = ${held.store(value(i))};`;
    return i < sure ? store : `if (${count} * xq + ${i} < outWidth) { ${store} }`;
  });
}
