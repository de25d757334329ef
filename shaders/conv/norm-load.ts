// How a convolution reads its images: as they are, or through a batch norm (and ReLU) of which only the rows of `stats` were computed. What lies
// outside of an image is zero either way: the norm is applied before the padding.
import { storage } from '../build';
import { normalizedFunction } from '../norm/shared';

/** The norm that is applied to what is loaded; absent, images are read as they are. */
export interface ImageNorm {
  readonly relu: boolean;
}

/** For kernels that bind images, read as `type`, another operand in f32 and what they write: images again as `type`, or `partials` in f32. */
export function imageLoad(operand: string, result: 'result' | 'partials', norm?: ImageNorm, type = 'f32') {
  const written = result === 'result' ? type : 'f32';
  const { bindings, access } = storage(`r images: ${type}`, `r ${operand}: f32`, `w ${result}: ${written}`);
  return {
    bindings,
    /** WGSL of the binding `stats`, the fourth, and what applies it. */
    declarations: norm
      ? `@group(0) @binding(3) var<storage, read> stats: array<vec4f>;${normalizedFunction(type, norm.relu)}`
      : '',
    access: norm ? `${access}r` : access,
    /** WGSL of the loaded `v` of the image channel that `row` belongs to. */
    value: (v: string, row: string) => (norm ? `normalized(${v}, ${row})` : v),
  };
}
