// Float64 functions of one number with their derivatives, and the range to draw from where it is not −3 … 3.

export interface Function1 {
  f: (x: number) => number;
  slope: (x: number) => number;
  low?: number;
  high?: number;
}

/** erf by its series; exact to double precision for |x| ≤ 3. */
function erf(x: number): number {
  let sum = 0;
  for (let n = 0, term = x; n < 80; n++) {
    sum += term / (2 * n + 1);
    term *= (-x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** A derivative by Richardson's extrapolation of central differences: relative error around 1e−11. */
const numeric =
  (f: (x: number) => number) =>
  (x: number): number => {
    const central = (h: number) => (f(x + h) - f(x - h)) / (2 * h);
    return (4 * central(5e-4) - central(1e-3)) / 3;
  };

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const row = (f: (x: number) => number, low?: number, high?: number): Function1 => ({ f, slope: numeric(f), low, high });

/** Functions with a derivative everywhere in the range. */
export const smooth: Record<string, Function1> = {
  square: row((x) => x * x),
  exp: row(Math.exp),
  expm1: row(Math.expm1),
  log: row(Math.log, 0.1, 8),
  log1p: row(Math.log1p, -0.8, 8),
  sqrt: row(Math.sqrt, 0.1, 8),
  rsqrt: row((x) => 1 / Math.sqrt(x), 0.2, 8),
  reciprocal: row((x) => 1 / x, 0.3, 3),
  sin: row(Math.sin, -9, 9),
  cos: row(Math.cos, -9, 9),
  tan: row(Math.tan, -1.2, 1.2),
  atan: row(Math.atan, -9, 9),
  tanh: row(Math.tanh),
  asinh: row(Math.asinh, -9, 9),
  erf: row(erf),
  sigmoid: row(sigmoid),
  logSigmoid: row((x) => -Math.log1p(Math.exp(-x))),
  silu: row((x) => x * sigmoid(x)),
  mish: row((x) => x * Math.tanh(Math.log1p(Math.exp(x)))),
  softplus: row((x) => Math.log1p(Math.exp(x))),
  geluErf: row((x) => (x / 2) * (1 + erf(x / Math.SQRT2))),
  geluTanh: row((x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
};

/** Functions with corners or steps. */
export const piecewise: Record<string, Function1> = {
  abs: row(Math.abs),
  sign: row(Math.sign),
  floor: row(Math.floor),
  relu: row((x) => Math.max(0, x)),
  relu6: row((x) => Math.min(6, Math.max(0, x)), -4, 9),
  leakyRelu: row((x) => (x > 0 ? x : 0.01 * x)),
  elu: row((x) => (x > 0 ? x : Math.expm1(x))),
  hardTanh: row((x) => Math.min(1, Math.max(-1, x))),
  hardSwish: row((x) => (x * Math.min(6, Math.max(0, x + 3))) / 6, -4, 5),
};
