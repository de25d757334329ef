// How a convolution binds and reads its operands: in float32 or as halves, and its images as they are, or through a batch norm (and ReLU) of which
// only the rows of `stats` were computed. What lies outside of an image is zero either way: the norm is applied before the padding.
import { storage } from '../build';
import { normalizedFunction } from '../norm/shared';
import { type Half, operandsHeld, resultHeld } from '../precision';

/** The norm that is applied to what is loaded; absent, images are read as they are. */
export interface ImageNorm {
  readonly relu: boolean;
}

interface Load {
  /** The second operand. */
  readonly operand: 'weights' | 'dy';
  readonly norm?: ImageNorm;
  /** Images, and a result that is no partial one, are vec4s. */
  readonly quads?: boolean;
  readonly half?: Half;
  /** Parts of a weight gradient, which are called `partials` and float32 unless there is one alone. */
  readonly splits?: number;
}

/** For kernels that bind images, another operand and what they write, `result` or `partials`. */
export function imageLoad({ operand, norm, quads = false, half, splits }: Load) {
  const read = operandsHeld(half);
  const stored = resultHeld(half, splits);
  const vec4 = quads && splits === undefined;
  const { enable, bindings, access } = storage(
    `r images: ${quads ? read.vec4 : read.type}`,
    `r ${operand}: ${read.type}`,
    `w ${splits === undefined ? 'result' : 'partials'}: ${vec4 ? stored.vec4 : stored.type}`,
  );
  const type = quads ? 'vec4f' : 'f32';
  return {
    bindings: enable + bindings,
    /** WGSL of functions, and of the binding `stats`, the fourth, and what applies it. */
    declarations: `${stored.functions && `\n${stored.functions}\n`}${norm ? `@group(0) @binding(3) var<storage, read> stats: array<vec4f>;${normalizedFunction(type, norm.relu)}` : ''}`,
    access: norm ? `${access}r` : access,
    /** WGSL of the images at an index, and of the other operand: in f32. */
    image: (at: string) => (quads ? read.read4(`images[${at}]`) : read.read(`images[${at}]`)),
    operand: (at: string) => read.read(`${operand}[${at}]`),
    /** WGSL of the loaded `v` of the image channel that `row` belongs to. */
    value: (v: string, row: string) => (norm ? `normalized(${v}, ${row})` : v),
    /** WGSL of what is stored. */
    store: (value: string) => (vec4 ? stored.store4(value) : stored.store(value)),
  };
}
