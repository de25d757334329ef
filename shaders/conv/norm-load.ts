// How a convolution binds and reads its operands: in float32 or as halves, and its images as they are, or through a batch norm (and ReLU) of which
// only the rows of `stats` were computed, or through a batch norm's gradient, of which only the coefficients were. What lies outside of an image
// is zero either way: the norm is applied before the padding.
import { storage } from '../build';
import type { NormGradient } from '../kernel';
import { inputGradient, masked, normalizedFunction, rowsOfGradient } from '../norm/shared';
import { type Half, operandsHeld, resultHeld } from '../precision';

/** The norm that is applied to what is loaded; absent, images are read as they are. */
export interface ImageNorm {
  readonly relu: boolean;
}

interface Load {
  /** The second operand. */
  readonly operand: 'weights' | 'dy';
  readonly norm?: ImageNorm;
  readonly gradient?: Omit<NormGradient, 'plane'>;
  /** Images, and a result that is no partial one, are vec4s. */
  readonly quads?: boolean;
  readonly half?: Half;
  /** Parts of a weight gradient, which are called `partials` and float32 unless there is one alone. */
  readonly splits?: number;
}

/** For kernels that bind images, another operand and what they write, `result` or `partials`. */
export function imageLoad({ operand, norm, gradient, quads = false, half, splits }: Load) {
  const read = operandsHeld(half);
  const stored = resultHeld(half, splits);
  const vec4 = quads && splits === undefined;
  const { enable, bindings, access } = storage(
    `r images: ${quads ? read.vec4 : read.type}`,
    `r ${operand}: ${read.type}`,
    `w ${splits === undefined ? 'result' : 'partials'}: ${vec4 ? stored.vec4 : stored.type}`,
  );
  const type = quads ? 'vec4f' : 'f32';
  const more = norm
    ? ['read> stats: array<vec4f>']
    : gradient
      ? [
          `read> normed: array<${type}>`,
          'read> coefficients: array<vec4f>',
          ...(gradient.onto ? [`read> onto: array<${type}>`] : []),
          `read_write> gradients: array<${type}>`,
        ]
      : [];
  const through = norm
    ? normalizedFunction(type, norm.relu)
    : gradient
      ? `
fn inputGradient(i: u32, c: u32) -> ${type} {
  ${rowsOfGradient(gradient.relu)}
  let v = normed[i];
  let g = ${masked(gradient.relu, type, 'images[i]')};
  return ${inputGradient(gradient.onto, type)};
}`
      : '';
  const image = (i: string) => (quads ? read.read4(`images[${i}]`) : read.read(`images[${i}]`));
  return {
    bindings: enable + bindings,
    /** WGSL of functions, and of the bindings from the fourth on and what applies them. */
    declarations: `${stored.functions && `\n${stored.functions}\n`}${more.map((binding, i) => `@group(0) @binding(${3 + i}) var<storage, ${binding};\n`).join('')}${through}`,
    access: access + more.map((binding) => (binding.startsWith('read>') ? 'r' : 'w')).join(''),
    /** WGSL of the images' channel `c` at an index, through the norm or its gradient, and of the other operand: in f32. */
    image: (i: string, c: string) =>
      norm ? `normalized(${image(i)}, stats[${c}])` : gradient ? `inputGradient(${i}, ${c})` : image(i),
    operand: (at: string) => read.read(`${operand}[${at}]`),
    /** WGSL that writes the norm's gradient, in the one workgroup that `own` is true for. */
    keep: (i: string, value: string, own: string) => (gradient ? `if (${own}) { gradients[${i}] = ${value}; }` : ''),
    /** WGSL of what is stored. */
    store: (value: string) => (vec4 ? stored.store4(value) : stored.store(value)),
  };
}
