/**
 * Other formulations of a convolution or a matrix product, for the autotune: the same sums in other tiles or in more or
 * fewer parts. They differ in speed, and where parts are added up in the last bits.
 */
import type { Lowering } from './kernel';
import { TILES } from './matmul/gpu-tiles';
import { MATRIX_LAYOUTS, type MatrixChoice } from './matmul/subgroup-matrix';
import { type KernelTarget, targetName } from './target';

/** Two for each multiprocessor of a large GPU. */
export const ENOUGH_WORKGROUPS = 264;

export interface Variant {
  /** Workgroup tile on GPUs, used where it suits the product's extents; convolutions then are implicit matrix products. */
  readonly tile?: keyof typeof TILES;
  /** Most output channels (or rows) that an invocation accumulates on CPU drivers, however few invocations that leaves. */
  readonly block?: number;
  /** How products of halves use the adapter's matrix units, where it has some: in one of the layouts, the one that fits, or not. */
  readonly matrix?: MatrixChoice;
  /** Factor on the number of parts that a long sum is split into. */
  readonly splits?: number;
}

const SPLITS: Record<string, Variant> = { 'splits/2': { splits: 0.5 }, 'splits*2': { splits: 2 } };
const VARIANTS: Record<ReturnType<typeof targetName>, Record<string, Variant>> = {
  simt: {
    ...Object.fromEntries(Object.keys(TILES).map((tile) => [`tile ${tile}`, { tile: tile as keyof typeof TILES }])),
    ...SPLITS,
  },
  software: { 'block 8': { block: 8 }, 'block 16': { block: 16 }, ...SPLITS },
};

/** For adapters with matrix units. */
const MATRIX: Record<string, Variant> = {
  'no matrix units': { matrix: 'none' },
  ...Object.fromEntries(
    Object.keys(MATRIX_LAYOUTS).map((name) => [`matrix ${name}`, { matrix: name as MatrixChoice }]),
  ),
};

export interface Candidates {
  /** Lowerings by the name of their variant, the built-in one first under ''; those that come to the same kernels only once. */
  readonly lowerings: ReadonlyMap<string, Lowering>;
  /** Changes with the code of any of the kernels. */
  readonly fingerprint: string;
}

/** All lowerings worth a trial for one operation on `target`. */
export function candidates(target: KernelTarget, lower: (variant: Variant) => Lowering): Candidates {
  const lowerings = new Map<string, Lowering>();
  const seen = new Set<string>();
  let hash = 0x811c9dc5; // FNV-1a
  for (const [name, variant] of Object.entries({
    '': {},
    ...VARIANTS[targetName(target)],
    ...(target.matrix && MATRIX),
  })) {
    const made = lower(variant);
    const kernels = made.stages.map(({ kernel: { code, constants, grid } }) => [code, constants, grid]);
    const text = JSON.stringify(kernels);
    if (seen.has(text)) continue;
    seen.add(text);
    lowerings.set(name, made);
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return { lowerings, fingerprint: (hash >>> 0).toString(16) };
}

/** What a variant says of matrix units: whoever asks for other tiles does not want them. */
export const matrixChoice = ({ matrix, tile, block }: Variant): MatrixChoice | undefined =>
  matrix ?? (tile || block ? 'none' : undefined);

/** `parts` times the variant's factor, at least 1. */
export const scaleSplits = (parts: number, { splits = 1 }: Variant): number => Math.max(1, Math.round(parts * splits));
