// How a convolution reads its images: as they are, or through a batch norm (and ReLU) of which only the rows of `stats` were computed. What lies
// outside of an image is zero either way: the norm is applied before the padding.
import { normalizedFunction } from './norm';

/** The norm that is applied to what is loaded; absent, images are read as they are. */
export interface ImageNorm {
  readonly relu: boolean;
}

export interface ImageLoad {
  /** WGSL of the binding `stats`, the fourth, and what applies it. */
  readonly declarations: string;
  readonly access: string;
  /** WGSL of the loaded `v` of the image channel that `row` belongs to. */
  readonly value: (v: string, row: string) => string;
}

/** Loads of `type` for kernels that bind images, another operand and what they write. */
export const imageLoad = (type: string, norm?: ImageNorm): ImageLoad =>
  norm
    ? {
        declarations: `@group(0) @binding(3) var<storage, read> stats: array<vec4f>;${normalizedFunction(type, norm.relu)}`,
        access: 'rrwr',
        value: (v, row) => `normalized(${v}, ${row})`,
      }
    : { declarations: '', access: 'rrw', value: (v) => v };
