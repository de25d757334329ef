// Algorithm 2 of Fang et al. 2020, lines 10–14: after the standard initialisation each layer's weights are exchanged for the smallest that keep its
// residuals (hard), or nearly keep them (soft). Solved in float64.
//
//   K̂ = H Hᵀ/m for H = h1(β_{l−1}) [N, m]:   hard  v_l = Hᵀ K̂⁻¹ α_l        soft  v_l = Hᵀ (K̂ + λI)⁻¹ α_l = (HᵀH/m + λI)⁻¹ Hᵀ α_l

import { at, mapTuple } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import type { Tensor } from '../tensor/tensor';
import { Cholesky, Matrix } from './matrix';

/** One layer of a net with its residuals on samples, which are linear in its weights: α = sources·v / m_{l−1}. */
export interface RegressionLayer {
  /** l, from 2 on; L + 1 is the readout, with β_{L+1} for its residuals. */
  readonly layer: number;
  /** Samples, or sampled pixels. */
  readonly rows: number;
  /** m_{l−1} and m_l. */
  readonly units: readonly [sources: number, targets: number];
  /** Of each replica: h1(β_{l−1}) [rows, m_{l−1}] and α_l [rows, m_l], row-major; v_l in any order. */
  readonly sources: readonly ArrayLike<number>[];
  /** α_l [rows, m_l] of each replica, row-major: what the regression is to keep. */
  readonly residuals: readonly ArrayLike<number>[];
  /** v_l [m_{l−1}, m_l] of each replica, as it was trained. */
  readonly weights: readonly ArrayLike<number>[];
  /** Overwrites the weights of all replicas, each given as [m_{l−1}, m_l]. */
  assign(weights: readonly ArrayLike<number>[]): void;
}

/** A net whose layers can be regressed. */
export interface Regressable {
  /** Runs the net on samples. */
  regressionLayers(x: Tensor): Promise<RegressionLayer[]>;
}

/** Form and system of the regressions of Algorithm 2. */
export interface RegressOptions {
  /**
   * 'hard' keeps every residual exactly; 'soft' (footnote 2) trades exactness for smaller weights, each layer on the features of the standard
   * initialisation; 'sequential' is soft on the features that the layers below give once they are regressed.
   */
  form: 'hard' | 'soft' | 'sequential';
  /** λ > 0 of the soft forms. */
  lambda?: number;
  /** Whether λ is for each row of a layer, so that it means the same for any number of them (default: for all together). */
  perRow?: boolean;
  /** The system solved: of the N samples, or of the m units. The smaller one by default; both give the same weights. */
  system?: 'dual' | 'primal';
}

export const REGRESS: OptionTable<RegressOptions> = {
  form: word('hard', 'soft', 'sequential'),
  lambda: is.number,
  perRow: is.flag,
  system: word('dual', 'primal'),
};

/** What the regression did to one layer of one replica. */
export interface RegressionReport {
  /** l, from 2 on; L + 1 is the readout. */
  layer: number;
  /** Position among the replicas, from 0. */
  replica: number;
  /** 'dual' [N, N] or 'primal' [m, m]. */
  system: 'dual' | 'primal';
  /** Largest by smallest eigenvalue of the matrix that was inverted, λ included; by power iteration. */
  condition: number;
  /** Mean square of the weights: mσ² before, Nσ² at most after the hard form. */
  meanSquareBefore: number;
  /** Mean square of the new weights. */
  meanSquareAfter: number;
  /** ‖α after − α before‖ / ‖α before‖ in the finished net. */
  residualChange: number;
}

/** κ(K̂) from which hard regression gives up: features are float32, so eigenvalues this far below the largest are noise. */
const SINGULAR = 1e7;

/**
 * Regresses the weights of the layers 2 … L of a net that was just made, and of a readout that was drawn at random, on samples x. Throws InputError where the hard form has no solution,
 * which names the samples that are parallel.
 */
export async function regress(net: Regressable, x: Tensor, options: RegressOptions): Promise<RegressionReport[]> {
  const { form, lambda = 0, perRow = false, system } = checked('regress', options, REGRESS);
  if (form === 'hard' ? lambda !== 0 || system === 'primal' : !(lambda > 0))
    throw new InputError(
      form === 'hard'
        ? "regress: the hard form solves the dual system without lambda; form: 'soft' takes both options"
        : `regress: the ${form} form needs lambda > 0, got ${lambda}`,
    );
  const before = await net.regressionLayers(x);
  const reports: RegressionReport[] = [];
  for (const [i, standard] of before.entries()) {
    const { layer, rows, units } = standard;
    const [m, targets] = units;
    const { sources } = form === 'sequential' ? at(await net.regressionLayers(x), i) : standard;
    const solved = sources.map((source, replica) => {
      const h = new Matrix(rows, m, source);
      const alpha = new Matrix(rows, targets, at(standard.residuals, replica));
      const which = system ?? (form === 'hard' || rows <= m ? 'dual' : 'primal');
      const { v, condition } = solve(which, h, alpha, perRow ? lambda * rows : lambda, layer);
      const weights = v.data;
      reports.push({
        ...{ layer, replica, system: which, condition, residualChange: Number.NaN },
        meanSquareBefore: meanSquare(at(standard.weights, replica)),
        meanSquareAfter: meanSquare(weights),
      });
      return weights;
    });
    standard.assign(solved);
  }
  const after = await net.regressionLayers(x);
  for (const report of reports) {
    const i = before.findIndex(({ layer }) => layer === report.layer);
    const [was, now] = mapTuple([before, after], (layers) => at(at(layers, i).residuals, report.replica));
    const change = Float64Array.from(was, (value, k) => (now[k] as number) - value);
    report.residualChange = Math.sqrt(meanSquare(change) / meanSquare(was));
  }
  return reports;
}

/** h [N, m], α [N, targets] → v [m, targets]. */
function solve(system: 'dual' | 'primal', h: Matrix, alpha: Matrix, lambda: number, layer: number) {
  const factor = system === 'dual' ? h.transpose() : h;
  const gram = factor.transposeMultiply(factor);
  for (let i = 0; i < gram.rows; i++)
    for (const [j, sum] of gram.row(i).entries()) gram.row(i)[j] = sum / h.columns + (i === j ? lambda : 0);
  const cholesky = new Cholesky(gram);
  const condition = cholesky.isPositiveDefinite ? conditionOf(gram, cholesky) : Number.POSITIVE_INFINITY;
  if (lambda === 0 && !(condition < SINGULAR)) throw singular(gram, h.columns, condition, layer);
  const v = system === 'dual' ? h.transposeMultiply(cholesky.solve(alpha)) : cholesky.solve(h.transposeMultiply(alpha));
  return { v, condition };
}

/** Power iteration for the largest eigenvalue, with the inverse for the smallest. */
function conditionOf(k: Matrix, cholesky: Cholesky): number {
  const largest = (times: (x: Matrix) => Matrix): number => {
    const normOf = ({ data }: Matrix) => Math.sqrt(data.length * meanSquare(data));
    let x = new Matrix(
      k.rows,
      1,
      Array.from({ length: k.rows }, (_, i) => 1 + Math.sin(1 + i)),
    );
    let norm = normOf(x);
    for (let i = 0; i < 40; i++) {
      x = times(
        new Matrix(
          k.rows,
          1,
          x.data.map((value) => value / norm),
        ),
      );
      norm = normOf(x);
    }
    return norm;
  };
  return largest((x) => k.transposeMultiply(x)) * largest((x) => cholesky.solve(x));
}

function singular(k: Matrix, units: number, condition: number, layer: number): InputError {
  const empty = Array.from({ length: k.rows }, (_, i) => k.get(i, i)).indexOf(0);
  let [a, b, most] = [0, 0, 0];
  for (let i = 0; i < k.rows; i++)
    for (let j = 0; j < i; j++) {
      const cosine = Math.abs(k.get(i, j)) / Math.sqrt(k.get(i, i) * k.get(j, j));
      if (cosine > most) [a, b, most] = [j, i, cosine];
    }
  const cause =
    empty >= 0
      ? `the features of sample ${empty} are all zero; leave it out`
      : most > 1 - 1e-5
        ? `those of the samples ${a} and ${b} are ${most === 1 ? '' : 'nearly '}parallel (cosine ±${most.toFixed(7)}); leave one out`
        : k.rows > units
          ? `${k.rows} samples are more than the ${units} units of a layer; make it wider`
          : `its condition number is ${condition.toExponential(1)}; make the net wider`;
  return new InputError(
    `regress: the Gram matrix of the features below layer ${layer} is singular: ${cause}, or use form: 'soft' with a lambda > 0`,
  );
}

function meanSquare(x: ArrayLike<number>): number {
  let sum = 0;
  for (const value of Array.from(x)) sum += value * value;
  return sum / x.length;
}
