// Lemma 2's start of the neural feature flow: independent paths Θ = (v_1, α_2, …, α_L) and what the weights between them begin with.

import { at, tuple } from '../../shaders/checked';
import { scopedNoGrad } from '../autograd/tape';
import { InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { add, mul } from '../ops/elementwise';
import { concat } from '../ops/join';
import { matmul } from '../ops/matmul';
import { transpose } from '../ops/views';
import { inputError } from '../tensor/context';
import { full, tensor, zeros } from '../tensor/create';
import { randn } from '../tensor/random';
import type { Tensor } from '../tensor/tensor';
import type { Activation } from './activation';
import { activation } from './activation';
import { Cholesky, Matrix } from './matrix';

/** Particles at t = 0. Arrays are indexed by the paper's l. */
export interface FlowStart {
  /** v_1 [d, P]. */
  readonly first: Tensor;
  /** α_l [N, P], l = 2 … L. */
  readonly residuals: readonly Tensor[];
  /** v_{L+1} [P]. */
  readonly readout: Tensor;
  /** K_l = ∫ h1(β_l) h1(β_l)ᵀ dp [N, N], l = 1 … L − 1: v_{l+1}(Θ, Θ̄) = h1(β_l(Θ))ᵀ K_l⁻¹ ᾱ_{l+1}. */
  readonly grams: readonly number[][][];
  /** The share of each particle in ∫ dp [P]; a particle with 0 is carried by the flow and does not act on it. Default: 1/P. */
  readonly shares?: Tensor;
  /** h1 and h2 that the start was made with: the flow goes on with them. Default, for a start made by hand: those of the flow. */
  readonly h1?: Activation;
  /** h2 that the start was made with, as `h1`. */
  readonly h2?: Activation;
}

/** Layers, particles and activations that a flow starts with. */
export interface FlowStartOptions {
  /** L, the number of hidden layers. */
  layers: number;
  /** P. */
  particles: number;
  /** Default 1. */
  sigma?: number;
  /** C, the readout's weights (default 1). */
  readout?: number;
  /** Draws Θ and −Θ together (default): for odd h1 and h2 every odd moment is exact. */
  antithetic?: boolean;
  /** h1, of features (default tanh). */
  h1?: Activation;
  /** h2, of residuals (default tanh). */
  h2?: Activation;
}

/**
 * Draws v_1 ~ N(0, dσ²I), α_l ~ N(0, σ²K_{l−1}), all independent, with K_l of the particles themselves, in the order of the layers. x [N, d].
 * Draws of `manualSeed`'s generator. Throws InputError where a K_l is singular: parallel samples, or fewer particles than samples.
 */
export async function flowStart(x: Tensor, options: FlowStartOptions): Promise<FlowStart> {
  const { layers, particles, sigma = 1, readout = 1, antithetic = true } = options;
  const table: OptionTable<FlowStartOptions> = {
    ...{ layers: is.number, particles: is.number, sigma: is.number, readout: is.number },
    ...{ antithetic: is.flag, h1: is.text, h2: is.text },
  };
  checked('flowStart', options, table);
  const used = { h1: options.h1 ?? 'tanh', h2: options.h2 ?? 'tanh' } as const;
  const [h1, h2] = [activation(used.h1), activation(used.h2)];
  if (x.ndim !== 2) throw inputError('flowStart', 'the samples are no matrix', { x: x.shape }, 'x is [N, d].');
  if (!Number.isInteger(layers) || layers < 1 || !Number.isInteger(particles) || particles < (antithetic ? 2 : 1))
    throw new InputError(`flowStart: ${layers} layers and ${particles} particles must be whole numbers of at least 1`);
  if (antithetic && particles % 2)
    throw new InputError(`flowStart: antithetic particles come in pairs, got ${particles}; take an even number`);
  const [samples, d] = tuple(x.shape, 2);
  const draw = (rows: number) => {
    if (!antithetic) return randn([rows, particles]);
    const half = randn([rows, particles / 2]);
    return concat([half, mul(half, -1)], 1);
  };
  const first = scopedNoGrad(() => mul(draw(d), sigma * Math.sqrt(d)).keep());
  let features = scopedNoGrad(() => mul(matmul(x, first), 1 / d).keep());
  const residuals: Tensor[] = [];
  const grams: number[][][] = [];
  for (let l = 2; l <= layers; l++) {
    const gram = scopedNoGrad(() => {
      const h = h1(features);
      return mul(matmul(h, transpose(h)), 1 / particles);
    });
    const k = new Matrix(samples, samples, await gram.data());
    grams[l - 1] = Array.from({ length: samples }, (_, i) => [...k.row(i)]);
    const root = mul(matrixTensor(cholesky(k, l - 1).lower), sigma);
    const alpha = scopedNoGrad(() => matmul(root, draw(samples)).keep());
    residuals[l] = alpha;
    const below = features;
    features = scopedNoGrad(() => add(below, h2(alpha)).keep());
    below.dispose();
  }
  features.dispose();
  return { first, residuals, readout: full([particles], readout), grams, ...used };
}

/** What float32 sums leave of a diagonal element that should be zero, as a part of it: some units in the last place. */
const ROUNDING = 2 ** -20;

/** K_l = R Rᵀ, or an error that says why not. */
export function cholesky(gram: Matrix, l: number): Cholesky {
  const found = new Cholesky(gram);
  const parts = Array.from({ length: gram.rows }, (_, i) => found.lower.get(i, i) ** 2 / gram.get(i, i));
  if (found.isPositiveDefinite && Math.min(...parts) > ROUNDING) return found;
  throw new InputError(
    `feature flow: the Gram matrix K_${l} is singular: take samples that are not parallel, and more particles than the ${gram.rows} samples`,
  );
}

export const matrixTensor = (m: Matrix): Tensor => tensor(m.data, { shape: [m.rows, m.columns] });

/** The start with further particles that the flow carries along: Θ given as columns, which do not act on the others. */
export function withPassengers(
  start: FlowStart,
  first: Tensor,
  residuals: readonly Tensor[],
  readout: Tensor,
): FlowStart {
  const acting = at(start.readout.shape, 0);
  const shares = start.shares ?? full([acting], 1 / acting);
  return scopedNoGrad(() => ({
    first: concat([start.first, first], 1).keep(),
    residuals: start.residuals.map((alpha, l) => concat([alpha, at(residuals, l)], 1).keep()),
    readout: concat([start.readout, readout]).keep(),
    ...{ grams: start.grams, h1: start.h1, h2: start.h2 },
    shares: concat([shares, zeros([at(readout.shape, 0)])]).keep(),
  }));
}
