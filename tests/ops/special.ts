// Special functions in float64 for the tests: by series and by Newton's method, none of them by what the kernels do.

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

/** Inverse of erfc on (0, 1]: Newton's method on its logarithm. */
function erfcInverse(c: number): number {
  let y = c > 0.5 ? 0 : Math.sqrt(-Math.log(c));
  for (let n = 0; n < 100; n++) {
    const step = (Math.log(erfcx(y) / c) - y * y) / (2 / (Math.sqrt(Math.PI) * erfcx(y)));
    y += step;
    if (Math.abs(step) < 1e-16 * y) break;
  }
  return y;
}

/** Inverse of erf by its series' sign and erfc's tail. */
export function erfinv(x: number): number {
  if (!(Math.abs(x) <= 1)) return NaN;
  if (Math.abs(x) === 1) return x * Infinity;
  if (Math.abs(x) > 0.25) return Math.sign(x) * erfcInverse(1 - Math.abs(x));
  let y = x;
  for (let n = 0; n < 20; n++) y -= ((erf(y) - x) * Math.sqrt(Math.PI) * Math.exp(y * y)) / 2;
  return y;
}

/** Inverse of the normal distribution function. */
export function ndtri(p: number): number {
  if (!(p >= 0 && p <= 1)) return NaN;
  if (p === 0 || p === 1) return (2 * p - 1) * Infinity;
  if (Math.abs(p - 0.5) < 0.1) return Math.SQRT2 * erfinv(2 * p - 1);
  return p < 0.5 ? -Math.SQRT2 * erfcInverse(2 * p) : Math.SQRT2 * erfcInverse(2 * (1 - p));
}

/** log of the normal distribution function. */
export const logNdtr = (x: number): number =>
  x < 0 ? -0.5 * x * x + Math.log(0.5 * erfcx(-x / Math.SQRT2)) : Math.log1p(-0.5 * erfc(x / Math.SQRT2));

const BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730];

/** sin πx, exactly 0 at whole numbers. */
export const sinPi = (x: number): number => {
  const r = x - 2 * Math.round(x / 2);
  if (Number.isInteger(r)) return 0 * r;
  return Math.abs(r) <= 0.5 ? Math.sin(Math.PI * r) : Math.sign(r) * Math.sin(Math.PI * (1 - Math.abs(r)));
};
export const cosPi = (x: number): number => sinPi((Math.abs(x) % 2) + 0.5);

export function lgamma(x: number): number {
  if (Number.isNaN(x) || Math.abs(x) === Infinity) return Math.abs(x);
  if (x <= 0) return Number.isInteger(x) ? Infinity : Math.log(Math.PI / Math.abs(sinPi(x))) - lgamma(1 - x);
  let [y, shift] = [x, 0];
  for (; y < 20; y++) shift += Math.log(y);
  const series = BERNOULLI.reduce((sum, b, k) => sum + b / ((2 * k + 1) * (2 * k + 2) * y ** (2 * k + 1)), 0);
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

export function digamma(x: number): number {
  if (x === 0) return -1 / x;
  if (x < 0) return Number.isInteger(x) || x === -Infinity ? NaN : digamma(1 - x) - (Math.PI * cosPi(x)) / sinPi(x);
  let [y, shift] = [x, 0];
  for (; y < 20; y++) shift += 1 / y;
  return Math.log(y) - 0.5 / y - BERNOULLI.reduce((s, b, k) => s + b / ((2 * k + 2) * y ** (2 * k + 2)), 0) - shift;
}

export function trigamma(x: number): number {
  if (x <= 0) return Number.isInteger(x) ? Infinity : (Math.PI / sinPi(x)) ** 2 - trigamma(1 - x);
  let [y, shift] = [x, 0];
  for (; y < 20; y++) shift += 1 / (y * y);
  return 1 / y + 0.5 / (y * y) + BERNOULLI.reduce((sum, b, k) => sum + b / y ** (2 * k + 3), 0) + shift;
}

/** e^−|x|·Iₙ(x) for n = 0 and 1: the series, or the asymptotic one. */
export function besselScaled(n: 0 | 1, x: number): number {
  const m = Math.abs(x);
  const sign = n && (x < 0 || Object.is(x, -0)) ? -1 : 1;
  if (Number.isNaN(x)) return NaN;
  if (m === Infinity) return sign * 0;
  let sum = 0;
  if (m < 30) {
    for (let k = 0, term = n ? m / 2 : 1; k < 150; k++) {
      sum += term;
      term *= ((m / 2) * (m / 2)) / ((k + 1) * (k + 1 + n));
    }
    return sign * sum * Math.exp(-m);
  }
  for (let k = 0, term = 1; k < 30; k++) {
    sum += term;
    term *= -(4 * n * n - (2 * k + 1) ** 2) / (8 * (k + 1) * m);
  }
  return (sign * sum) / Math.sqrt(2 * Math.PI * m);
}

/** Iₙ(x) for n = 0 and 1. */
export const bessel = (n: 0 | 1, x: number): number =>
  Math.abs(x) === Infinity ? (n && x < 0 ? -Infinity : Infinity) : besselScaled(n, x) * Math.exp(Math.abs(x));
