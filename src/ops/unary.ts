// The elementwise functions of one tensor: a row each, from which function, method of Tensor, kernels, derivatives and tests are made.
//
// In `value` and its gradient, `a` is the input, s, t, u, v are scalar arguments, `y` is the result and `g` its gradient; what is not named is
// not kept for backward. `T(…)` converts to the type computed in. Functions that WGSL lacks are in shaders/functions.ts.
// At kinks the derivatives are PyTorch's.
import type { Library } from '../../shaders/functions';
import { special } from '../../shaders/special';
import { trigonometric } from '../../shaders/trigonometric';
import type { Tensor } from '../tensor/tensor';
import type { ResultType } from './row';
import { unary } from './row';

// The type is written out: without a Tensor of its own the published one would name it by `dawnfield` itself, and `dawnfield/lean` would have methods.
const float = (name: string, value: string, da: string, library?: Library): ((x: Tensor) => Tensor) =>
  unary(name, { value, da, result: 'float', library });
const same = (name: string, value: string, da?: string, int?: string) =>
  unary(name, { value, da, result: 'same', int });
const signed = (name: string, value: string, da: string, int?: string) =>
  unary(name, { value, da, result: 'signed', int });
const whole = (name: string, value: string) => unary(name, { value, da: '0.0', result: 'whole' });
const withScalars = (
  name: string,
  scalars: Record<string, number>,
  value: string,
  da: string,
  result: ResultType = 'float',
  int?: string,
) => unary(name, { value, da, result, int, scalars });

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;
const GELU_SLOPE = 2 * Math.sqrt(2 / Math.PI);
const geluGate = `sigmoid(${GELU_SLOPE} * a * (1.0 + 0.044715 * a * a))`;
/** eˣ where x < 0, else 1, whose derivative at 0 is 0: the second derivatives of ELU and its like at 0 are PyTorch's. */
const expBelow = (x: string): string => `select(1.0, exp(${x}), a < 0.0)`;
const mishGate = 'tanh(softplus(a))';

/** −x. */
export const neg = signed('neg', '-a', '-g');
/** |x|. */
export const abs = signed('abs', 'abs(a)', 'g * signOf(a)');
/** −1, 0 or 1 by the sign of x; NaN for NaN. */
export const sign = signed('sign', 'signOf(a)', '0.0', 'sign(a)');
/** x². */
export const square = same('square', 'a * a', '2.0 * a * g');
/** eˣ. */
export const exp = float('exp', 'exp(a)', 'g * y');
/** 2ˣ. */
export const exp2 = float('exp2', 'exp2(a)', `g * y * ${Math.LN2}`);
/** eˣ − 1, exact for small x. */
export const expm1 = float('expm1', 'expm1(a)', 'g * exp(a)');
/** ln x; −∞ at 0, NaN below. */
export const log = float('log', 'log(a)', 'over(g, a)');
/** log₂ x. */
export const log2 = float('log2', 'log2(a)', `over(g, a) * ${Math.LOG2E}`);
/** log₁₀ x. */
export const log10 = float('log10', 'log10(a)', `over(g, a) * ${Math.LOG10E}`);
/** ln(1 + x), exact for small x. */
export const log1p = float('log1p', 'log1p(a)', 'over(g, 1.0 + a)');
/** √x; NaN below 0. */
export const sqrt = float('sqrt', 'sqrt(a)', '0.5 * g / y');
/** 1/√x. */
export const rsqrt = float('rsqrt', 'inverseSqrt(a)', 'over(-0.5 * g * y, a)');
/** 1/x. */
export const reciprocal = float('reciprocal', '1.0 / a', '-g * y * y');
/** sin x, of radians. */
export const sin = float('sin', 'sine(a, 0)', 'g * sine(a, 1)', trigonometric);
/** cos x, of radians. */
export const cos = float('cos', 'sine(a, 1)', '-g * sine(a, 0)', trigonometric);
/** tan x, of radians. */
export const tan = float('tan', 'sine(a, 0) / sine(a, 1)', 'g * (1.0 + y * y)', trigonometric);
/** arcsin x, within ±π/2. */
export const asin = float('asin', 'arcsin(a)', 'g * inverseSqrt((1.0 - a) * (1.0 + a))', trigonometric);
/** arccos x, from 0 to π. */
export const acos = float('acos', 'arccos(a)', '-g * inverseSqrt((1.0 - a) * (1.0 + a))', trigonometric);
/** arctan x, within ±π/2. */
export const atan = float('atan', 'arctan(a)', 'g / (1.0 + a * a)', trigonometric);
/** (eˣ − e⁻ˣ)/2. */
export const sinh = float('sinh', 'sinh(a)', 'g * cosh(a)', trigonometric);
/** (eˣ + e⁻ˣ)/2. */
export const cosh = float('cosh', 'cosh(a)', 'g * sinh(a)', trigonometric);
/** tanh x. */
export const tanh = float('tanh', 'tanh(a)', 'g * (1.0 - y) * (1.0 + y)');
/** arsinh x. */
export const asinh = float('asinh', 'asinh(a)', 'g / hypotenuse(1.0, a)', trigonometric);
/** arcosh x; NaN below 1. */
export const acosh = float('acosh', 'acosh(a)', 'g / (sqrt(a - 1.0) * sqrt(a + 1.0))', trigonometric);
/** artanh x; NaN beyond ±1. */
export const atanh = float('atanh', 'atanh(a)', 'g / ((1.0 - a) * (1.0 + a))', trigonometric);
/** The error function 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf = float('erf', 'erf(a)', `g * ${2 / Math.sqrt(Math.PI)} * gaussian(a, 1.0)`);
/** 1 − erf(x), exact for large x. */
export const erfc = float('erfc', 'erfc(a)', `-g * ${2 / Math.sqrt(Math.PI)} * gaussian(a, 1.0)`);
/** The next integer below; integers stay. */
export const floor = whole('floor', 'floor(a)');
/** The next integer above; integers stay. */
export const ceil = whole('ceil', 'ceil(a)');
/** The nearest integer, of two the even one; integers stay. */
export const round = whole('round', 'round(a)');
/** The next integer towards 0; integers stay. */
export const trunc = whole('trunc', 'trunc(a)');

/** max(x, 0). */
export const relu = same('relu', 'relu(a)', 'select(g, 0.0, y <= 0.0)', 'max(a, 0)');
/** x between 0 and 6. */
export const relu6 = same('relu6', 'clampTo(a, 0.0, 6.0)', 'select(g, 0.0, a <= 0.0 || a >= 6.0)', 'clamp(a, 0, 6)');
/** 1/(1 + e⁻ˣ). */
export const sigmoid = float('sigmoid', 'sigmoid(a)', 'g * y * (1.0 - y)');
/** ln(1/(1 + e⁻ˣ)). */
export const logSigmoid = float('logSigmoid', '-softplus(-a)', 'g * sigmoid(-a)');
/** x · sigmoid(x). */
export const silu = float('silu', 'a * sigmoid(a)', 'g * sigmoid(a) * (1.0 + a * sigmoid(-a))');
/** x · tanh(ln(1 + eˣ)). */
export const mish = float('mish', `a * ${mishGate}`, `g * (${mishGate} + a * sigmoid(a) * sech2(softplus(a)))`);
/** x/(1 + |x|). */
export const softsign = float('softsign', 'over(a, 1.0 + abs(a))', 'g / ((1.0 + abs(a)) * (1.0 + abs(a)))');
/** Scaled ELU, with the constants of Klambauer et al. 2017. */
export const selu = float(
  'selu',
  `${SELU_SCALE} * select(${SELU_ALPHA} * expm1(a), a, a > 0.0)`,
  `g * ${SELU_SCALE} * select(1.0, ${SELU_ALPHA} * ${expBelow('a')}, a <= 0.0)`,
);
/** x · (x + 3 between 0 and 6)/6. */
export const hardSwish = float(
  'hardSwish',
  'a * clampTo(a + 3.0, 0.0, 6.0) / 6.0',
  'g * select(select(1.0, a / 3.0 + 0.5, a < 3.0), 0.0, a <= -3.0)',
);
/** x·Φ(x), with the error function. */
export const geluErf = float(
  'geluErf',
  'a * normal(a)',
  `g * (normal(a) + a * ${1 / Math.sqrt(2 * Math.PI)} * gaussian(a, 0.5))`,
);
/** Its approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
export const geluTanh = float(
  'geluTanh',
  `a * ${geluGate}`,
  `g * ${geluGate} * (1.0 + clampTo(a, -20.0, 20.0) * ${geluGate.replace('(', '(-')} * ${GELU_SLOPE} * (1.0 + 0.134145 * clampTo(a * a, 0.0, 400.0)))`,
);
/** x, and slope · x below 0. */
export const leakyRelu = withScalars(
  'leakyRelu',
  { slope: 0.01 },
  'select(s * a, a, a > 0.0)',
  'select(s * g, g, a > 0.0)',
);
/** x, and α(eˣ − 1) below 0. */
export const elu = withScalars(
  'elu',
  { alpha: 1 },
  'select(s * expm1(a), a, a > 0.0)',
  `g * select(1.0, s * ${expBelow('a')}, a <= 0.0)`,
);
/** x, and α(e^(x/α) − 1) below 0. */
export const celu = withScalars(
  'celu',
  { alpha: 1 },
  'select(s * expm1(a / s), a, a > 0.0)',
  `g * select(1.0, ${expBelow('a / s')}, a <= 0.0)`,
);
/** log(1 + e^βx) / β, and x itself where βx is above the threshold. */
export const softplus = withScalars(
  'softplus',
  { beta: 1, threshold: 20 },
  'select(softplus(s * a) / s, a, s * a > t)',
  'g * select(sigmoid(s * a), 1.0, s * a > t)',
);
/** αx + β between 0 and 1. */
export const hardSigmoid = withScalars(
  'hardSigmoid',
  { alpha: 1 / 6, beta: 0.5 },
  'clampTo(s * a + t, 0.0, 1.0)',
  'select(0.0, s * g, s * a + t > 0.0 && s * a + t < 1.0)',
);
/** x between two bounds, −1 and 1 by default. */
export const hardTanh = withScalars(
  'hardTanh',
  { min: -1, max: 1 },
  'clampTo(a, s, t)',
  'select(g, 0.0, a <= s || a >= t)',
);
/** x where it is above the threshold, else the value. */
export const threshold = withScalars(
  'threshold',
  { threshold: 0, value: 0 },
  'select(a, T(t), a <= T(s))',
  'select(g, 0.0, a <= s)',
  'same',
);
/** x between min and max; either may be left out. */
export const clamp = withScalars(
  'clamp',
  { min: -Infinity, max: Infinity },
  'clampTo(a, s, t)',
  'select(0.0, g, a >= s && a <= t)',
  'same',
  'select(select(a, T(s), a < T(s)), T(t), a > T(t) || T(s) > T(t))',
);

/** x where |x| is above λ, else 0. */
export const hardshrink = withScalars(
  'hardshrink',
  { lambd: 0.5 },
  'select(a, 0.0, abs(a) <= s && !isNan(a))',
  'select(g, 0.0, abs(a) <= s)',
);
/** x moved towards 0 by λ, 0 on the way. */
export const softshrink = withScalars(
  'softshrink',
  { lambd: 0.5 },
  'select(a - withSign(s, a), 0.0, abs(a) <= s && !isNan(a))',
  'select(g, 0.0, abs(a) <= s)',
);
/** x − tanh x. */
export const tanhshrink = float('tanhshrink', 'tanhshrink(a)', 'g * tanh(a) * tanh(a)', special);

/** The part behind the point, with the sign of x. */
export const frac = float('frac', 'a - trunc(a)', 'g');
/** x · π/180. */
export const deg2rad = float('deg2rad', `a * ${Math.PI / 180}`, `g * ${Math.PI / 180}`);
/** x · 180/π. */
export const rad2deg = float('rad2deg', `a * ${180 / Math.PI}`, `g * ${180 / Math.PI}`);
/** log(x / (1 − x)), with x first brought to ε … 1 − ε where ε is not negative. */
export const logit = unary('logit', {
  scalars: { eps: -1 },
  value: 'logit(select(a, clampTo(a, s, 1.0 - s), s >= 0.0))',
  da: 'select(select(g / (a * (1.0 - a)), nan(), isNan(y)), 0.0, s >= 0.0 && (a < s || a > 1.0 - s))',
  result: 'float',
  library: special,
});
/** sin πx / πx, 1 at 0. */
export const sinc = float('sinc', 'sinc(a)', 'g * sincSlope(a, y)', special);
/** The inverse of erf, within −1 … 1. */
export const erfinv = float('erfinv', 'erfinv(a)', 'g * erfinvSlope(a, y)', special);
/** The standard normal distribution function, its logarithm and its inverse. */
export const ndtr = float('ndtr', 'normal(a)', `g * ${1 / Math.sqrt(2 * Math.PI)} * gaussian(a, 0.5)`);
/** ln Φ(x), of the normal distribution. */
export const logNdtr = float('logNdtr', 'logNdtr(a)', 'g * logNdtrSlope(a)', special);
/** The inverse of Φ, within 0 … 1. */
export const ndtri = float('ndtri', 'ndtri(a)', 'g * ndtriSlope(a, y)', special);
/** −x·log x. */
export const entr = float('entr', 'select(xlogy(-a, a), -infinity(), a < 0.0)', '-g * (1.0 + log(a))', special);
/** ln |Γ(x)|. */
export const lgamma = float('lgamma', 'lgamma(a)', 'g * digamma(a)', special);
/** The derivative of ln Γ(x). */
export const digamma = float('digamma', 'digamma(a)', 'g * trigamma(a)', special);
/** The n-th derivative of digamma; c = (−1)ⁿ⁺¹·n!. */
export const polygamma = unary('polygamma', {
  scalars: { n: 1, c: 1 },
  value: 'polygamma(s, t, a)',
  da: 'g * polygamma(s + 1.0, -(s + 1.0) * t, a)',
  result: 'float',
  library: special,
});
/** Bessel functions of an imaginary argument; i0e and i1e are multiplied by e^−|x|. */
export const i0 = float('i0', 'i0(a)', 'g * i1(a)', special);
/** e^(−|x|) · I₀(x). */
export const i0e = float('i0e', 'i0e(a)', 'g * (i1e(a) - signOf(a) * y)', special);
/** The modified Bessel function I₁(x). */
export const i1 = float('i1', 'i1(a)', 'g * i1Slope(a)', special);
/** e^(−|x|) · I₁(x). */
export const i1e = float('i1e', 'i1e(a)', 'g * (i0e(a) - signOf(a) * y - i1eOverX(a))', special);
/** Numbers in place of NaN, ∞ and −∞. */
export const nanToNum = withScalars(
  'nanToNum',
  { nan: 0, posinf: 3.4028234663852886e38, neginf: -3.4028234663852886e38 },
  'select(select(select(a, u, isInf(a)), t, isInf(a) && !isNegative(a)), s, isNan(a))',
  'select(0.0, g, isFinite(a))',
);
export const bitwiseNot = unary('bitwiseNot', { value: '', int: '~a', result: 'integer' });

/** Whether x is negative, −0 included (bool). */
export const signbit = unary('signbit', { value: 'isNegative(a)', int: 'a < 0', result: 'compare' });
/** Whether x is NaN (bool). */
export const isnan = unary('isnan', { value: 'isNan(f32(a))', result: 'compare' });
/** Whether x is ±∞ (bool). */
export const isinf = unary('isinf', { value: 'isInf(f32(a))', result: 'compare' });
/** Whether x is neither NaN nor infinite (bool). */
export const isfinite = unary('isfinite', { value: 'isFinite(f32(a))', result: 'compare' });
/** Whether x is 0 (bool). */
export const logicalNot = unary('logicalNot', { value: '!a', result: 'logical' });
