// Float64 functions of some numbers, and of one with the range to draw from where it is not −3 … 3.

import type { Differentiable } from './tape';

export const sum = (v: readonly number[]): number => v.reduce((total, x) => total + x, 0);
export const mean = (v: readonly number[]): number => sum(v) / v.length;
export const variance = (v: readonly number[], correction = 1): number => {
  const center = mean(v);
  return sum(v.map((x) => (x - center) ** 2)) / (v.length - correction);
};

/** Reductions with their derivatives. */
const varianceOf = (v: number[], correction: number): ReturnType<Differentiable> => {
  const center = mean(v);
  return [variance(v, correction), v.map((x) => (2 * (x - center)) / (v.length - correction))];
};
const extreme = (v: number[], y: number): ReturnType<Differentiable> => [y, v.map((x) => Number(x === y))];
const norm = (v: number[], p: number): ReturnType<Differentiable> => {
  const y = sum(v.map((x) => Math.abs(x) ** p)) ** (1 / p);
  return [y, v.map((x) => Math.sign(x) * (Math.abs(x) / y) ** (p - 1))];
};
export const folds = {
  sum: (v) => [sum(v), v.map(() => 1)],
  mean: (v) => [mean(v), v.map(() => 1 / v.length)],
  prod: (v) => {
    const y = v.reduce((p, x) => p * x, 1);
    return [y, v.map((x) => y / x)];
  },
  max: (v) => extreme(v, Math.max(...v)),
  min: (v) => extreme(v, Math.min(...v)),
  logsumexp: (v) => {
    const y = Math.log(sum(v.map((x) => Math.exp(x))));
    return [y, v.map((x) => Math.exp(x - y))];
  },
  variance: (v) => varianceOf(v, 1),
  'biased variance': (v) => varianceOf(v, 0),
  std: (v) => {
    const [y, slopes] = varianceOf(v, 1);
    return [Math.sqrt(y), slopes.map((s) => s / (2 * Math.sqrt(y)))];
  },
  norm: (v) => norm(v, 2),
  'norm 1': (v) => norm(v, 1),
  'norm 3': (v) => norm(v, 3),
} satisfies Record<string, Differentiable>;

export type Row = [f: (x: number) => number, low?: number, high?: number];

/** erf by its series; exact to double precision for |x| ≤ 3. */
function erf(x: number): number {
  let sum = 0;
  for (let n = 0, term = x; n < 80; n++) {
    sum += term / (2 * n + 1);
    term *= (-x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

export const functions = {
  square: [(x) => x * x],
  exp: [Math.exp],
  expm1: [Math.expm1],
  log: [Math.log, 0.1, 8],
  log1p: [Math.log1p, -0.8, 8],
  sqrt: [Math.sqrt, 0.1, 8],
  rsqrt: [(x) => 1 / Math.sqrt(x), 0.2, 8],
  reciprocal: [(x) => 1 / x, 0.3, 3],
  sin: [Math.sin, -9, 9],
  cos: [Math.cos, -9, 9],
  tan: [Math.tan, -1.2, 1.2],
  atan: [Math.atan, -9, 9],
  tanh: [Math.tanh],
  asinh: [Math.asinh, -9, 9],
  erf: [erf],
  sigmoid: [sigmoid],
  logSigmoid: [(x) => -Math.log1p(Math.exp(-x))],
  silu: [(x) => x * sigmoid(x)],
  mish: [(x) => x * Math.tanh(Math.log1p(Math.exp(x)))],
  softplus: [(x) => Math.log1p(Math.exp(x))],
  geluErf: [(x) => (x / 2) * (1 + erf(x / Math.SQRT2))],
  geluTanh: [(x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  // With corners or steps:
  abs: [Math.abs],
  sign: [Math.sign],
  floor: [Math.floor],
  relu: [(x) => Math.max(0, x)],
  relu6: [(x) => Math.min(6, Math.max(0, x)), -4, 9],
  leakyRelu: [(x) => (x > 0 ? x : 0.01 * x)],
  elu: [(x) => (x > 0 ? x : Math.expm1(x))],
  hardTanh: [(x) => Math.min(1, Math.max(-1, x))],
  hardSwish: [(x) => (x * Math.min(6, Math.max(0, x + 3))) / 6, -4, 5],
} satisfies Record<string, Row>;
