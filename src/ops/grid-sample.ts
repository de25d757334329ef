// Sampling images and volumes at places that lie in a tensor, and the grids of affine maps. The taps of all places are gathered as rows of one
// table, so that the gradient adds them up in a fixed order.
import { at, fromEnd, tuple } from '../../shaders/checked';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { tensor } from '../tensor/create';
import { evaluate } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireFloats } from '../tensor/tensor';
import { abs, add, eq, floor, floorDiv, hardTanh, mul, remainder, round, sub } from './elementwise';
import { selected } from './index-select';
import { mixed } from './mixed';
import { sum } from './reduce';
import { permute, reshape, select } from './views';
import { where } from './where';

/** Options of `gridSample`. */
export interface GridSampleOptions {
  /** 'bilinear' by default, of volumes too. */
  mode?: 'bilinear' | 'nearest' | 'bicubic';
  /** What lies outside: zeros (the default), the border, or the image mirrored. */
  paddingMode?: 'zeros' | 'border' | 'reflection';
  /** Whether −1 and 1 are the centres of the corner pixels, instead of their outer edges. */
  alignCorners?: boolean;
}

const OPTIONS: OptionTable<GridSampleOptions> = {
  mode: word('bilinear', 'nearest', 'bicubic'),
  paddingMode: word('zeros', 'border', 'reflection'),
  alignCorners: is.flag,
};

type Resolved = Required<GridSampleOptions>;

/** Weights of the taps from `first` on, by rising powers of the distance to the tap at 0: rows of coefficients for each tap. */
const TAPS: Record<
  Resolved['mode'],
  { first: number; powers: readonly [readonly number[], ...(readonly number[])[]] }
> = {
  nearest: { first: 0, powers: [[1], [0]] },
  bilinear: { first: 0, powers: [[1, 0], [-1, 1]] }, // biome-ignore format: a matrix
  // Keys' kernel with a = −0.75.
  bicubic: {
    first: -1,
    powers: [
      [0, 1, 0, 0],
      [-0.75, 0, 0.75, 0],
      [1.5, -2.25, 1.5, -0.75],
      [-0.75, 1.25, -1.25, 0.75],
    ],
  },
};

/** The range that coordinates are mirrored in. */
const mirror = (n: number, align: boolean) => (align ? { low: 0, span: n - 1 } : { low: -0.5, span: n });

/** Coordinates moved into an axis of n pixels, differentiable. */
function inside(x: Tensor, n: number, { paddingMode, alignCorners }: Resolved): Tensor {
  if (paddingMode === 'zeros') return x;
  return hardTanh(paddingMode === 'border' ? x : reflected(x, n, alignCorners), 0, n - 1);
}

function reflected(x: Tensor, n: number, align: boolean): Tensor {
  const { low, span } = mirror(n, align);
  if (span === 0) return mul(x, 0);
  const distance = abs(sub(x, low));
  const rest = remainder(distance, span);
  const turned = eq(remainder(floorDiv(distance, span), 2), 1);
  return add(where(turned, sub(span, rest), rest), low);
}

/** The taps along one axis: their positions (int32, −1 outside; −2 for NaN) and weights, both [places, taps]. */
function tapsAlong(coordinate: Tensor, n: number, o: Resolved): { position: Tensor; weight: Tensor } {
  const scale = o.alignCorners ? (n - 1) / 2 : n / 2;
  const real = add(mul(coordinate, scale), (n - 1) / 2);
  const cubic = o.mode === 'bicubic';
  const x = cubic ? real : inside(real, n, o);
  const base = o.mode === 'nearest' ? round(x) : floor(x);
  const { first, powers } = TAPS[o.mode];
  const places = x.size;
  const taps = powers[0].length;
  const column = (t: Tensor) => reshape(t, [places, 1]);
  const row = (values: readonly number[]) => tensor([...values], { shape: [1, taps] });
  const part = column(sub(x, base));
  const weight = powers
    .slice(0, -1)
    .reduceRight((sum, power) => add(mul(sum, part), row(power)), row(fromEnd(powers, 1)));
  // The taps of a cubic are moved inside one by one.
  const { low, span } = mirror(n, o.alignCorners);
  const moved =
    !cubic || o.paddingMode === 'zeros' ? 'a + b' : o.paddingMode === 'border' ? clip('a + b') : clip(fold('a + b'));
  function clip(e: string): string {
    return `clampTo(${e}, 0.0, s)`;
  }
  function fold(e: string): string {
    if (span === 0) return '0.0';
    const distance = `abs(${e} - (${low.toFixed(1)}))`;
    const length = span.toFixed(1);
    return `(${low.toFixed(1)} + select(fmod(${distance}, ${length}), ${length} - fmod(${distance}, ${length}), fmod(floor(${distance} / ${length}), 2.0) == 1.0))`;
  }
  const position = evaluate({
    name: 'gridSample taps',
    expression: `select(select(-1.0, ${moved}, ${moved} >= 0.0 && ${moved} <= s), -2.0, isNan(a))`,
    operands: { a: column(base), b: row(powers[0].map((_, i) => first + i)) },
    scalars: [n - 1],
    shape: [places, taps],
  });
  return { position, weight };
}

/**
 * Values of images [N, C, H, W] at the places of a grid [N, OH, OW, 2], as `torch.nn.functional.grid_sample`: [N, C, OH, OW]. A place is (x, y) from −1
 * (left, top) to 1; one that is NaN gives NaN. Volumes [N, C, D, H, W] take a grid [N, OD, OH, OW, 3] of (x, y, z), not with 'bicubic'.
 */
export const gridSample = mixed(
  'gridSample',
  function gridSample(x: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor {
    const op = 'gridSample';
    const { mode = 'bilinear', paddingMode = 'zeros', alignCorners = false } = checked(op, options, OPTIONS);
    requireFloats(op, { input: x, grid });
    const dims = x.ndim - 2;
    const shapes = { input: x, grid };
    if (
      (dims !== 2 && dims !== 3) ||
      grid.ndim !== x.ndim ||
      grid.shape[dims + 1] !== dims ||
      grid.shape[0] !== x.shape[0]
    )
      throw inputError(
        op,
        'input and grid do not fit',
        shapes,
        'They are [N, C, H, W] and [N, OH, OW, 2], or [N, C, D, H, W] and [N, OD, OH, OW, 3].',
      );
    if (dims === 3 && mode === 'bicubic') throw inputError(op, 'bicubic sampling is for images only', shapes);
    const [N, C] = tuple(x.shape.slice(0, 2), 2);
    const spatial = x.shape.slice(2);
    if (spatial.includes(0)) throw inputError(op, 'there are no pixels', shapes);
    const o = { mode, paddingMode, alignCorners };
    const out = grid.shape.slice(1, -1);
    const P = size(out);
    // The last axis has the first coordinate. Taps of all axes together are [places, T, …, T].
    const axes = spatial.map((n, i) => tapsAlong(reshape(select(grid, dims + 1, dims - 1 - i), [N * P]), n, o));
    const T = TAPS[mode].powers[0].length;
    const spread = (t: Tensor, i: number) => reshape(t, [N * P, ...spatial.map((_, k) => (k === i ? T : 1))]);
    const all = [N * P, ...spatial.map(() => T)];
    const names = ['a', 'b', 'c'].slice(0, dims);
    const operands = Object.fromEntries(axes.map(({ position }, i) => [names[i], spread(position, i)]));
    const known = names.map((name) => `${name} >= 0.0`).join(' && ');
    const odd = names.map((name) => `${name} == -2.0`).join(' || ');
    const mask = evaluate({
      name: 'gridSample mask',
      expression: `select(select(0.0, 1.0, ${known}), nan(), ${odd})`,
      operands,
      shape: all,
    });
    const samples = tensor(
      Int32Array.from({ length: N * P }, (_, i) => Math.floor(i / P)),
      { shape: [N * P, ...spatial.map(() => 1)] },
    );
    const flat = spatial.reduce((sum, n, i) => `(${sum} * ${n} + i32(${names[i]}))`, 'n');
    const index = evaluate({
      name: 'gridSample index',
      expression: `select(0, ${flat}, ${known})`,
      operands: { ...operands, n: samples },
      shape: all,
      result: 'int32',
    });
    const weight = mul(
      axes.map(({ weight: w }, i) => spread(w, i)).reduce((a, b) => mul(a, b)),
      mask,
    );
    const table = reshape(permute(x, [1, 0, ...spatial.map((_, i) => i + 2)]), [C, N * size(spatial)]);
    const values = selected(null, table, 1, reshape(index, [size(all)]));
    const sampled = sum(mul(reshape(values, [C, N, P, T ** dims]), reshape(weight, [1, N, P, T ** dims])), 3);
    return reshape(permute(sampled, [1, 0, 2]), [N, C, ...out]);
  },
);

/**
 * The grid that an affine map theta [N, 2, 3] samples images of `size` [N, C, H, W] at, as `torch.nn.functional.affine_grid`: [N, H, W, 2]. Volumes
 * [N, C, D, H, W] take theta [N, 3, 4]. Throws InputError for other shapes.
 */
export const affineGrid = mixed(
  'affineGrid',
  function affineGrid(
    theta: Tensor,
    sizes: Shape,
    options: {
      /** −1 and 1 are the middles of the outermost pixels, not their edges (default false). */
      alignCorners?: boolean;
    } = {},
  ): Tensor {
    const op = 'affineGrid';
    const { alignCorners = false } = checked(op, options, { alignCorners: is.flag });
    requireFloats(op, { theta });
    const dims = sizes.length - 2;
    if ((dims !== 2 && dims !== 3) || theta.shape.join() !== [sizes[0], dims, dims + 1].join())
      throw inputError(
        op,
        'theta and the size do not fit',
        { theta, size: sizes },
        'They are [N, 2, 3] and [N, C, H, W].',
      );
    const spatial = sizes.slice(2);
    const samples = at(sizes, 0);
    const column = (k: number) => reshape(select(theta, 2, k), [samples, ...spatial.map(() => 1), dims]);
    const terms = spatial.map((n, i) => {
      const step = (i: number) => (n > 1 ? (2 * i) / (n - 1) - 1 : 0) * (alignCorners ? 1 : (n - 1) / n);
      const line = tensor(
        Float32Array.from({ length: n }, (_, i) => step(i)),
        { shape: [n, ...new Array<number>(dims - i).fill(1)] },
      );
      return mul(column(dims - 1 - i), line);
    });
    return terms.reduce((a, b) => add(a, b), column(dims));
  },
);
