// Special functions in float64 for the tests.

/** e^x² · erfc x for x ≥ 0: a continued fraction, or its definition where that converges slowly. */
export function erfcx(x: number): number {
  if (x < 2.5) return Math.exp(x * x) * (1 - erfSeries(x));
  let rest = x;
  for (let n = 200; n > 0; n--) rest = x + n / 2 / rest;
  return 1 / (rest * Math.sqrt(Math.PI));
}

function erfSeries(x: number): number {
  let sum = 0;
  for (let n = 0, term = x; n < 200 && Math.abs(term) > 1e-300; n++) {
    sum += term / (2 * n + 1);
    term *= (-x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

export function erfc(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (x < 0) return 2 - erfc(-x);
  return x > 30 ? 0 : Math.exp(-x * x) * erfcx(x);
}

export function erf(x: number): number {
  if (Number.isNaN(x) || x === 0) return x;
  return Math.abs(x) < 1 ? erfSeries(x) : Math.sign(x) * (1 - erfc(Math.abs(x)));
}

/** log(1 + eˣ). */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** log of the logistic function. */
export const lnSigmoid = (x: number): number => -softplus(-x);
