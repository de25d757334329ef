/**
 * What a kernel is: complete WGSL for one compute pipeline, and lowerings made of several kernels.
 * Kernels are pure functions of typed options. They know no device; `src/gpu` compiles and launches them.
 */

import { at } from './checked';
import type { Segment } from './segments';

export interface Kernel {
  /** Label in errors and profiles, such as `conv2d.forward`. */
  readonly name: string;
  /** Complete WGSL with the entry point `main`. `launch` reads off it what each binding's elements are (elements.ts). */
  readonly code: string;
  /** Where a user's own lines stand in `code`, counted from 1: errors of the compiler name them by their own numbers. */
  readonly userCode?: { readonly from: number; readonly lines: number };
  /** One letter per storage binding of group 0, in order: `r` is read, `w` is read_write, `c` is read_write but nobody's result (report.ts). */
  readonly access: string;
  /** Bytes of the uniform struct at `@group(1) @binding(0)`; absent means none. */
  readonly uniforms?: number;
  /** What the struct holds where a launch gives nothing: shapes that many launches of one code differ in. */
  readonly constants?: readonly number[];
  /** Floating-point operations of one launch, for profiles; absent where nobody asks. */
  readonly flops?: number;
  /**
   * The items of the grid are elements, each treated alike and alone in all bindings, and their number is the first constant: launches over
   * neighbouring ranges can be joined.
   */
  readonly flat?: true;
  /** How to join launches of this kernel with others of its family. */
  readonly segment?: Segment;
  /** Present where the kernel only normalises: whoever reads the result may do that itself (src/gpu/fuse-norm.ts). */
  readonly normalizes?: Normalizes;
  /** Present where the last binding holds sums over chunks of binding 0: whoever writes that may make them as well. */
  readonly sums?: ChunkSums;
  /** Present where the kernel adds a residual connection: whoever writes the branch may do that itself. */
  readonly adds?: Residual;
  /** Present where the kernel only applies a batch norm's gradient in training: whoever reads the result may do that itself. */
  readonly differentiates?: NormGradient;
  /** Present where the kernel could do more: what it computes, to be changed and lowered again (lower.ts). */
  readonly operation?: Operation;
  /** Present where the operation could normalise what it reads from binding 0. */
  readonly onLoad?: Images;
  /** Present where the operation could apply a batch norm's gradient to what it reads from binding 0, and write that on the way. */
  readonly onGradient?: Images;
  /** Present where the operation could sum up chunks of what it writes. */
  readonly onStore?: ChunkedImages;
  /**
   * Workgroups of a launch: these, where shapes are baked into the code, or one for each `tile` items, of which the launch says how many. Absent
   * where every launch brings workgroups of its own.
   */
  readonly grid?: Workgroups | { readonly tile: number };
}

/** y = act(x · scale + shift) of x [N, channels, plane]; the bindings are x, `stats` with a row (mean, rstd, scale, shift) a channel, and y. */
export interface Normalizes {
  readonly plane: number;
  readonly relu: boolean;
}

/** [N, channels, plane]. */
export interface Images {
  readonly channels: number;
  readonly plane: number;
}

/** The same, each channel in so many chunks. */
export interface ChunkedImages extends Images {
  readonly chunks: number;
}

/** Sums over chunks of [N, channels, plane], for a batch norm's statistics or its gradient; the constants begin with channels and chunks. */
export interface ChunkSums {
  readonly kind: 'statistics' | 'gradient';
  readonly plane: number;
  readonly relu: boolean;
}

/**
 * What a residual connection adds. 'sum': y = a + b, the bindings are a, b and y. 'step': y = x + Δ·f (particles.ts), the bindings are x, f, τ and y; f is kept.
 */
export type Residual = 'sum' | 'step';

/** dx from the gradient of y = act(norm(x)), added to `onto` if there is that; the bindings are g, x, coefficients, onto, dx. */
export interface NormGradient {
  readonly plane: number;
  readonly relu: boolean;
  readonly onto: boolean;
}

/** A description of an operation: all that its lowering follows from. */
export interface Operation {
  /** Finds the function that lowers it (lower.ts). */
  readonly name: string;
  /** A norm that is applied to what binding 0 holds; its `stats` are one more binding. */
  readonly norm?: Pick<Normalizes, 'relu'>;
  /** A norm's gradient that is applied to what binding 0 holds; x, coefficients, onto and dx are further bindings. */
  readonly gradient?: Omit<NormGradient, 'plane'>;
  /** A residual connection that what is computed is added to; the other operand is one more binding, with 'step' so are τ and the branch f. */
  readonly adds?: Residual;
  /** Sums of what is written. Last bound is what the kernel that makes only the sums binds after the first. */
  readonly sums?: ChunkSums;
}

export type Workgroups = readonly [number, number, number];

/** One launch of a lowering. Bindings are the inputs in order, then the output as the only `w`. */
export interface Stage {
  readonly kernel: Kernel;
  /** The operands `a` and `b`, or the index of a scratch buffer. */
  readonly inputs: readonly ('a' | 'b' | number)[];
  readonly output: 'out' | number;
}

/** How an operation is computed on some target: a few launches, one after the other. */
export interface Lowering {
  /** Floats of each scratch buffer. */
  readonly scratch: readonly number[];
  readonly stages: readonly Stage[];
  /** Index of the stage that does the multiplications. */
  readonly product: number;
}

/** The kernel that does the multiplications of a lowering. */
export const productOf = ({ stages, product }: Lowering): Kernel => at(stages, product).kernel;

/** The lowering with a note on that kernel. */
export function describeProduct({ scratch, stages, product }: Lowering, about: Partial<Kernel>): Lowering {
  const described = (stage: Stage, i: number): Stage =>
    i === product ? { ...stage, kernel: { ...stage.kernel, ...about } } : stage;
  return { scratch, stages: stages.map(described), product };
}

/** Workgroups of a launch in each dimension that every device allows. */
export const MAX_WORKGROUPS = 65_535;

/** The workgroups of a launch over `extent`: a number of items, or workgroups as they are; null where the kernel needs to be told. */
export function gridOf({ grid }: Kernel, extent?: number | Workgroups): Workgroups | null {
  if (typeof extent !== 'number') return extent ?? (grid && !('tile' in grid) ? grid : null);
  if (!grid || !('tile' in grid)) return null;
  return extent > 0 ? foldWorkgroups(Math.ceil(extent / grid.tile)) : [0, 1, 1];
}

/** A grid of at least `count` workgroups, none of whose dimensions exceeds WebGPU's limit. */
export function foldWorkgroups(count: number): Workgroups {
  const y = Math.max(1, Math.ceil(count / MAX_WORKGROUPS));
  return [Math.max(1, Math.ceil(count / y)), y, 1];
}

/**
 * WGSL that declares `group`, the linear index in a folded grid, from `wid: vec3u`.
 * What the fold added returns at once; that is uniform over the workgroup, so barriers and subgroup operations may follow.
 */
export function foldedIndex(count: number): string {
  const [x, y] = foldWorkgroups(count);
  const surplus = x * y > count ? ` if (group >= ${count}u) { return; }` : '';
  return `let group = wid.x + wid.y * ${x}u;${surplus}`;
}

/** `f(0) … f(n - 1)` as lines: an unrolled loop. */
export function unroll(n: number, f: (i: number) => string): string {
  return Array.from({ length: n }, (_, i) => f(i)).join('\n');
}

/**
 * WGSL of value `index` of those that the lanes of a subgroup have loaded, one each, as `name`0, `name`1 …, and tell each other by broadcasts. With
 * `lanes` 0 all load all of them. `part` selects a component.
 */
export const spread = (lanes: number, name: string, index: number, part = ''): string =>
  lanes ? `subgroupBroadcast(${name}${Math.floor(index / lanes)}${part}, ${index % lanes}u)` : `${name}${index}${part}`;

/**
 * WGSL for a 0 that Mesa can't prove to be one (it would take a binding of 2 GiB to make it 1). Added to a constant loop bound it keeps Mesa from
 * unrolling the loop, which would take seconds to compile where the body has memory accesses. NVIDIA's compiler sees through it: what must stay
 * right takes a uniform.
 */
export function opaqueZero(buffer: string, type: 'f32' | 'vec4f' | 'f16' | 'vec4<f16>'): string {
  return `(arrayLength(&${buffer}) >> ${{ f32: 29, vec4f: 27, f16: 30, 'vec4<f16>': 28 }[type]}u)`;
}

/**
 * Whole numbers as the uniform struct `p`, for kernels that serve many shapes with one code: a CPU driver takes a second or
 * more to compile a large one. `kernel` is what the kernel's description then holds.
 */
export function uniformShape(values: Readonly<Record<string, number>>): {
  struct: string;
  kernel: Pick<Kernel, 'uniforms' | 'constants'>;
} {
  const constants = Object.values(values);
  const fields = Object.keys(values).map((name) => `${name}: u32`);
  return {
    struct: `struct Shape { ${fields.join(', ')} }\n@group(1) @binding(0) var<uniform> p: Shape;`,
    kernel: { uniforms: 4 * constants.length, constants },
  };
}
