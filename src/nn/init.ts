// Initial values. Drawn on the host from a counter-based generator, so a seed gives the same weights on every adapter.
// Loops over arrays index others of the same length: `as number` says so without a check for each element.

import { at } from '../../shaders/checked';
import { device, InputError } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { factory } from '../tensor/create';
import { initialRng } from '../tensor/seed';
import type { Shape } from '../tensor/shape';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';

function filled(what: string, shape: Shape, value: (i: number) => number): Tensor {
  const values = new Float32Array(size(shape)).map((_, i) => value(i)); // Float32Array.from takes several times as long
  return factory(what, shape, 'float32', (storage) => device().write(storage, values));
}

/** Independent normal numbers. */
export function normal(shape: Shape, mean = 0, std = 1): Tensor {
  const rng = initialRng();
  return filled('normal', shape, () => mean + std * rng.normal());
}

/** Normal numbers, drawn again until they lie in [low, high]. */
export function truncatedNormal(shape: Shape, mean = 0, std = 1, low = -2, high = 2): Tensor {
  if (!(std > 0) || !(low < high) || mean + 5 * std < low || mean - 5 * std > high)
    throw new InputError(`truncatedNormal: [${low}, ${high}] holds next to nothing of N(${mean}, ${std}²)`);
  const rng = initialRng();
  const draw = (): number => {
    for (;;) {
      const x = mean + std * rng.normal();
      if (x >= low && x <= high) return x;
    }
  };
  return filled('truncatedNormal', shape, draw);
}

/** Independent uniform numbers in [low, high). */
export function uniform(shape: Shape, low = 0, high = 1): Tensor {
  const rng = initialRng();
  return filled('uniform', shape, () => low + (high - low) * rng.uniform());
}

/** Inputs and outputs of a weight [out, in, …]: the number of connections of one output, and of one input. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  const [rows, columns, ...taps] = shape;
  if (rows === undefined || columns === undefined)
    throw inputError('init', 'fan-in and fan-out need a weight with at least two dimensions [out, in, …]', {
      weight: shape,
    });
  return { fanIn: columns * size(taps), fanOut: rows * size(taps) };
}

/** Gain of a nonlinearity, as in `torch.nn.init.calculate_gain`. `slope` is leaky ReLU's. */
export function gain(nonlinearity: Nonlinearity, slope = 0.01): number {
  const gains = {
    linear: 1,
    sigmoid: 1,
    tanh: 5 / 3,
    relu: Math.SQRT2,
    leakyRelu: Math.sqrt(2 / (1 + slope * slope)),
    selu: 0.75,
  };
  return gains[nonlinearity];
}

/** Activations whose gain is known, as of `torch.nn.init.calculate_gain`. */
export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'selu';

/** Options of `kaimingUniform` and `kaimingNormal`. */
export interface KaimingOptions {
  /** Which count of connections divides the variance: 'fanIn' (the default) keeps that of the forward pass. */
  mode?: 'fanIn' | 'fanOut';
  /** What follows the layer, which decides the gain; 'relu' by default. */
  nonlinearity?: Nonlinearity;
  /** Of 'leakyRelu', on its negative side. */
  slope?: number;
}

const KAIMING: OptionTable<KaimingOptions> = {
  mode: word('fanIn', 'fanOut'),
  nonlinearity: word('linear', 'sigmoid', 'tanh', 'relu', 'leakyRelu', 'selu'),
  slope: is.number,
};

function kaimingStd(shape: Shape, options: KaimingOptions): number {
  const { mode = 'fanIn', nonlinearity = 'relu', slope } = checked('kaiming', options, KAIMING);
  return gain(nonlinearity, slope) / Math.sqrt(fans(shape)[mode]);
}

/** He et al. 2015: normal with standard deviation gain / √fan. */
export const kaimingNormal = (shape: Shape, options: KaimingOptions = {}): Tensor =>
  normal(shape, 0, kaimingStd(shape, options));

/** He et al. 2015: uniform in ±√3 · gain / √fan. */
export function kaimingUniform(shape: Shape, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd(shape, options);
  return uniform(shape, -bound, bound);
}

/** Glorot & Bengio 2010: normal with variance 2 gain² / (fanIn + fanOut). */
export function xavierNormal(shape: Shape, factor = 1): Tensor {
  const { fanIn, fanOut } = fans(shape);
  return normal(shape, 0, factor * Math.sqrt(2 / (fanIn + fanOut)));
}

/** Glorot & Bengio 2010: uniform with variance 2 gain² / (fanIn + fanOut). */
export function xavierUniform(shape: Shape, factor = 1): Tensor {
  const { fanIn, fanOut } = fans(shape);
  const bound = factor * Math.sqrt(6 / (fanIn + fanOut));
  return uniform(shape, -bound, bound);
}

/**
 * Saxe et al. 2013: rows (or columns, where these are fewer) of the weight as a matrix [out, in·taps] are orthogonal, of length `factor`. Random
 * normal vectors, made orthogonal one after the other.
 */
export function orthogonal(shape: Shape, factor = 1): Tensor {
  const { fanIn } = fans(shape);
  const rows = at(shape, 0);
  const [count, length] = [Math.min(rows, fanIn), Math.max(rows, fanIn)];
  const rng = initialRng();
  const vectors: Float64Array[] = [];
  while (vectors.length < count) {
    const v = Float64Array.from({ length }, () => rng.normal());
    // Twice, since one pass leaves rounding errors of the size of what it took away. All vectors have one length.
    for (const u of [...vectors, ...vectors]) {
      const along = u.reduce((sum, x, i) => sum + x * (v[i] as number), 0);
      u.forEach((x, i) => (v[i] = (v[i] as number) - along * x));
    }
    const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
    vectors.push(v.map((x) => x / norm));
  }
  const element = (i: number) => {
    const [row, column] = [Math.floor(i / fanIn), i % fanIn];
    const [vector, place] = rows <= fanIn ? [row, column] : [column, row];
    return factor * (vectors[vector]?.[place] as number);
  };
  return filled('orthogonal', shape, element);
}
