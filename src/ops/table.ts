// The elementwise operations: one row gives the WGSL of the value and of the derivatives. Kernels, functions, methods and tests are made
// from the rows.
//
// In `value`, `a` and `b` are the inputs, and s, t, u, v scalar arguments. In `da`/`db`, `y` is the result and `g` its gradient; what is not
// named is not kept for backward. `T(…)` converts to the type computed in. Functions that WGSL lacks are in shaders/functions.ts.
// At kinks the derivatives are PyTorch's.

import type { BinaryRow, ResultType, UnaryRow } from './row';

export type { BinaryRow, ResultType, UnaryRow };

const float = (value: string, da?: string): UnaryRow => ({ value, da, result: 'float' });
const same = (value: string, da?: string, int?: string): UnaryRow => ({ value, da, result: 'same', int });
const signed = (value: string, da?: string): UnaryRow => ({ value, da, result: 'signed' });
const whole = (value: string): UnaryRow => ({ value, da: '0.0', result: 'whole' });
const withScalars = <S extends Record<string, number>>(
  scalars: S,
  value: string,
  da: string,
  result: ResultType = 'float',
) => ({ value, da, result, scalars });

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;
const GELU_SLOPE = 2 * Math.sqrt(2 / Math.PI);
const geluGate = `sigmoid(${GELU_SLOPE} * a * (1.0 + 0.044715 * a * a))`;
const mishGate = 'tanh(softplus(a))';

export const unaryOps = {
  /** −x. */
  neg: signed('-a', '-g'),
  /** |x|. */
  abs: signed('abs(a)', 'g * signOf(a)'),
  /** −1, 0 or 1 by the sign of x; NaN for NaN. */
  sign: { ...signed('signOf(a)', '0.0'), int: 'sign(a)' },
  /** x². */
  square: same('a * a', '2.0 * a * g'),
  /** eˣ. */
  exp: float('exp(a)', 'g * y'),
  /** 2ˣ. */
  exp2: float('exp2(a)', `g * y * ${Math.LN2}`),
  /** eˣ − 1, exact for small x. */
  expm1: float('expm1(a)', 'g * exp(a)'),
  /** ln x; −∞ at 0, NaN below. */
  log: float('log(a)', 'over(g, a)'),
  /** log₂ x. */
  log2: float('log2(a)', `over(g, a) * ${Math.LOG2E}`),
  /** log₁₀ x. */
  log10: float('log10(a)', `over(g, a) * ${Math.LOG10E}`),
  /** ln(1 + x), exact for small x. */
  log1p: float('log1p(a)', 'over(g, 1.0 + a)'),
  /** √x; NaN below 0. */
  sqrt: float('sqrt(a)', '0.5 * g / y'),
  /** 1/√x. */
  rsqrt: float('inverseSqrt(a)', 'over(-0.5 * g * y, a)'),
  /** 1/x. */
  reciprocal: float('1.0 / a', '-g * y * y'),
  /** sin x, of radians. */
  sin: float('sine(a, 0)', 'g * sine(a, 1)'),
  /** cos x, of radians. */
  cos: float('sine(a, 1)', '-g * sine(a, 0)'),
  /** tan x, of radians. */
  tan: float('sine(a, 0) / sine(a, 1)', 'g * (1.0 + y * y)'),
  /** arcsin x, within ±π/2. */
  asin: float('arcsin(a)', 'g * inverseSqrt((1.0 - a) * (1.0 + a))'),
  /** arccos x, from 0 to π. */
  acos: float('arccos(a)', '-g * inverseSqrt((1.0 - a) * (1.0 + a))'),
  /** arctan x, within ±π/2. */
  atan: float('arctan(a)', 'g / (1.0 + a * a)'),
  /** (eˣ − e⁻ˣ)/2. */
  sinh: float('sinh(a)', 'g * cosh(a)'),
  /** (eˣ + e⁻ˣ)/2. */
  cosh: float('cosh(a)', 'g * sinh(a)'),
  /** tanh x. */
  tanh: float('tanh(a)', 'g * (1.0 - y) * (1.0 + y)'),
  /** arsinh x. */
  asinh: float('asinh(a)', 'g / hypotenuse(1.0, a)'),
  /** arcosh x; NaN below 1. */
  acosh: float('acosh(a)', 'g / (sqrt(a - 1.0) * sqrt(a + 1.0))'),
  /** artanh x; NaN beyond ±1. */
  atanh: float('atanh(a)', 'g / ((1.0 - a) * (1.0 + a))'),
  /** The error function 2/√π ∫₀ˣ e^(−t²) dt. */
  erf: float('erf(a)', `g * ${2 / Math.sqrt(Math.PI)} * gaussian(a, 1.0)`),
  /** 1 − erf(x), exact for large x. */
  erfc: float('erfc(a)', `-g * ${2 / Math.sqrt(Math.PI)} * gaussian(a, 1.0)`),
  /** The next integer below; integers stay. */
  floor: whole('floor(a)'),
  /** The next integer above; integers stay. */
  ceil: whole('ceil(a)'),
  /** The nearest integer, of two the even one; integers stay. */
  round: whole('round(a)'),
  /** The next integer towards 0; integers stay. */
  trunc: whole('trunc(a)'),

  /** max(x, 0). */
  relu: same('relu(a)', 'select(g, 0.0, y <= 0.0)', 'max(a, 0)'),
  /** x between 0 and 6. */
  relu6: same('clampTo(a, 0.0, 6.0)', 'select(g, 0.0, a <= 0.0 || a >= 6.0)', 'clamp(a, 0, 6)'),
  /** 1/(1 + e⁻ˣ). */
  sigmoid: float('sigmoid(a)', 'g * y * (1.0 - y)'),
  /** ln(1/(1 + e⁻ˣ)). */
  logSigmoid: float('-softplus(-a)', 'g * sigmoid(-a)'),
  /** x · sigmoid(x). */
  silu: float('a * sigmoid(a)', 'g * sigmoid(a) * (1.0 + a * sigmoid(-a))'),
  /** x · tanh(ln(1 + eˣ)). */
  mish: float(`a * ${mishGate}`, `g * (${mishGate} + a * sigmoid(a) * sech2(softplus(a)))`),
  /** x/(1 + |x|). */
  softsign: float('over(a, 1.0 + abs(a))', 'g / ((1.0 + abs(a)) * (1.0 + abs(a)))'),
  /** Scaled ELU, with the constants of Klambauer et al. 2017. */
  selu: float(
    `${SELU_SCALE} * select(${SELU_ALPHA} * expm1(a), a, a > 0.0)`,
    `g * ${SELU_SCALE} * select(1.0, ${SELU_ALPHA} * exp(a), a <= 0.0)`,
  ),
  /** x · (x + 3 between 0 and 6)/6. */
  hardSwish: float(
    'a * clampTo(a + 3.0, 0.0, 6.0) / 6.0',
    'g * select(select(1.0, a / 3.0 + 0.5, a < 3.0), 0.0, a <= -3.0)',
  ),
  /** x·Φ(x), with the error function. */
  geluErf: float('a * normal(a)', `g * (normal(a) + a * ${1 / Math.sqrt(2 * Math.PI)} * gaussian(a, 0.5))`),
  /** Its approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
  geluTanh: float(
    `a * ${geluGate}`,
    `g * ${geluGate} * (1.0 + clampTo(a, -20.0, 20.0) * ${geluGate.replace('(', '(-')} * ${GELU_SLOPE} * (1.0 + 0.134145 * clampTo(a * a, 0.0, 400.0)))`,
  ),
  /** x, and slope · x below 0. */
  leakyRelu: withScalars({ slope: 0.01 }, 'select(s * a, a, a > 0.0)', 'select(s * g, g, a > 0.0)'),
  /** x, and α(eˣ − 1) below 0. */
  elu: withScalars({ alpha: 1 }, 'select(s * expm1(a), a, a > 0.0)', 'g * select(1.0, s * exp(a), a <= 0.0)'),
  /** x, and α(e^(x/α) − 1) below 0. */
  celu: withScalars({ alpha: 1 }, 'select(s * expm1(a / s), a, a > 0.0)', 'g * select(1.0, exp(a / s), a <= 0.0)'),
  /** log(1 + e^βx) / β, and x itself where βx is above the threshold. */
  softplus: withScalars(
    { beta: 1, threshold: 20 },
    'select(softplus(s * a) / s, a, s * a > t)',
    'g * select(sigmoid(s * a), 1.0, s * a > t)',
  ),
  /** αx + β between 0 and 1. */
  hardSigmoid: withScalars(
    { alpha: 1 / 6, beta: 0.5 },
    'clampTo(s * a + t, 0.0, 1.0)',
    'select(0.0, s * g, s * a + t > 0.0 && s * a + t < 1.0)',
  ),
  /** x between two bounds, −1 and 1 by default. */
  hardTanh: withScalars({ min: -1, max: 1 }, 'clampTo(a, s, t)', 'select(g, 0.0, a <= s || a >= t)'),
  /** x where it is above the threshold, else the value. */
  threshold: withScalars({ threshold: 0, value: 0 }, 'select(a, T(t), a <= T(s))', 'select(g, 0.0, a <= s)', 'same'),
  /** x between min and max; either may be left out. */
  clamp: {
    ...withScalars({ min: -Infinity, max: Infinity }, 'clampTo(a, s, t)', 'select(0.0, g, a >= s && a <= t)', 'same'),
    int: 'select(select(a, T(s), a < T(s)), T(t), a > T(t) || T(s) > T(t))',
  },

  /** x where |x| is above λ, else 0. */
  hardshrink: withScalars({ lambd: 0.5 }, 'select(a, 0.0, abs(a) <= s && !isNan(a))', 'select(g, 0.0, abs(a) <= s)'),
  /** x moved towards 0 by λ, 0 on the way. */
  softshrink: withScalars(
    { lambd: 0.5 },
    'select(a - withSign(s, a), 0.0, abs(a) <= s && !isNan(a))',
    'select(g, 0.0, abs(a) <= s)',
  ),
  /** x − tanh x. */
  tanhshrink: float('tanhshrink(a)', 'g * tanh(a) * tanh(a)'),

  /** The part behind the point, with the sign of x. */
  frac: float('a - trunc(a)', 'g'),
  /** x · π/180. */
  deg2rad: float(`a * ${Math.PI / 180}`, `g * ${Math.PI / 180}`),
  /** x · 180/π. */
  rad2deg: float(`a * ${180 / Math.PI}`, `g * ${180 / Math.PI}`),
  /** log(x / (1 − x)), with x first brought to ε … 1 − ε where ε is not negative. */
  logit: withScalars(
    { eps: -1 },
    'logit(select(a, clampTo(a, s, 1.0 - s), s >= 0.0))',
    'select(select(g / (a * (1.0 - a)), nan(), isNan(y)), 0.0, s >= 0.0 && (a < s || a > 1.0 - s))',
  ),
  /** sin πx / πx, 1 at 0. */
  sinc: float('sinc(a)', 'g * sincSlope(a, y)'),
  /** The inverse of erf, within −1 … 1. */
  erfinv: float('erfinv(a)', 'g * erfinvSlope(a, y)'),
  /** The standard normal distribution function, its logarithm and its inverse. */
  ndtr: float('normal(a)', `g * ${1 / Math.sqrt(2 * Math.PI)} * gaussian(a, 0.5)`),
  /** ln Φ(x), of the normal distribution. */
  logNdtr: float('logNdtr(a)', 'g * logNdtrSlope(a)'),
  /** The inverse of Φ, within 0 … 1. */
  ndtri: float('ndtri(a)', 'g * ndtriSlope(a, y)'),
  /** −x·log x. */
  entr: float('select(xlogy(-a, a), -infinity(), a < 0.0)', '-g * (1.0 + log(a))'),
  /** ln |Γ(x)|. */
  lgamma: float('lgamma(a)', 'g * digamma(a)'),
  /** The derivative of ln Γ(x). */
  digamma: float('digamma(a)', 'g * trigamma(a)'),
  /** The n-th derivative of digamma; c = (−1)ⁿ⁺¹·n!. */
  polygamma: withScalars({ n: 1, c: 1 }, 'polygamma(s, t, a)', 'g * polygamma(s + 1.0, -(s + 1.0) * t, a)'),
  /** Bessel functions of an imaginary argument; i0e and i1e are multiplied by e^−|x|. */
  i0: float('i0(a)', 'g * i1(a)'),
  /** e^(−|x|) · I₀(x). */
  i0e: float('i0e(a)', 'g * (i1e(a) - signOf(a) * y)'),
  /** The modified Bessel function I₁(x). */
  i1: float('i1(a)', 'g * i1Slope(a)'),
  /** e^(−|x|) · I₁(x). */
  i1e: float('i1e(a)', 'g * (i0e(a) - signOf(a) * y - i1eOverX(a))'),
  /** Numbers in place of NaN, ∞ and −∞. */
  nanToNum: withScalars(
    { nan: 0, posinf: 3.4028234663852886e38, neginf: -3.4028234663852886e38 },
    'select(select(select(a, u, isInf(a)), t, isInf(a) && !isNegative(a)), s, isNan(a))',
    'select(0.0, g, isFinite(a))',
  ),
  bitwiseNot: { value: '', int: '~a', result: 'integer' },

  /** Whether x is negative, −0 included (bool). */
  signbit: { value: 'isNegative(a)', int: 'a < 0', result: 'compare' },
  /** Whether x is NaN (bool). */
  isnan: { value: 'isNan(f32(a))', result: 'compare' },
  /** Whether x is ±∞ (bool). */
  isinf: { value: 'isInf(f32(a))', result: 'compare' },
  /** Whether x is neither NaN nor infinite (bool). */
  isfinite: { value: 'isFinite(f32(a))', result: 'compare' },
  /** Whether x is 0 (bool). */
  logicalNot: { value: '!a', result: 'logical' },
} satisfies Record<string, UnaryRow>;

const compare = (value: string): BinaryRow => ({ value, result: 'compare' });
const logical = (value: string): BinaryRow => ({ value, result: 'logical' });

export const binaryOps = {
  add: { value: 'a + b', da: 'g', db: 'g', result: 'same' },
  sub: { value: 'a - b', da: 'g', db: '-g', result: 'number' },
  /** a · b. */
  mul: { value: 'a * b', da: 'g * b', db: 'g * a', result: 'same' },
  div: { value: 'over(a, b)', da: 'over(g, b)', db: 'over(-g * y, b)', result: 'float' },
  /** ⌊a/b⌋. */
  floorDiv: {
    value: 'floorDivide(a, b)',
    int: 'a / b - T((a % b != 0) && ((a < 0) != (b < 0)))',
    refused: (b) => b === 0,
    da: '0.0',
    db: '0.0',
    result: 'same',
  },
  /** a − b·⌊a/b⌋: the sign of the divisor. */
  remainder: {
    value: 'remainder(a, b)',
    int: 'a % b + select(0, b, (a % b != 0) && ((a < 0) != (b < 0)))',
    refused: (b) => b === 0,
    da: 'g',
    db: '-g * floorDivide(a, b)',
    result: 'same',
  },
  /** a − b·trunc(a/b): the sign of the dividend. */
  fmod: { value: 'fmod(a, b)', int: 'a % b', da: 'g', db: '-g * trunc(over(a, b))', result: 'same' },
  /** aᵇ; integers refuse negative exponents given as numbers. */
  pow: {
    value: 'power(a, b)',
    int: 'T(powerInt(i32(a), i32(b)))',
    refused: (b) => b < 0,
    da: 'select(g * b * power(a, b - 1.0), 0.0, b == 0.0)',
    db: 'select(g * y * log(a), 0.0, a == 0.0 && b >= 0.0)',
    result: 'same',
  },
  /** The larger of a and b; NaN if either is. */
  maximum: {
    value: 'maxOf(a, b)',
    int: 'max(a, b)',
    da: 'g * (1.0 - f32(a < b) - 0.5 * f32(a == b))',
    db: 'g * (1.0 - f32(b < a) - 0.5 * f32(a == b))',
    result: 'same',
  },
  /** The smaller of a and b; NaN if either is. */
  minimum: {
    value: 'minOf(a, b)',
    int: 'min(a, b)',
    da: 'g * (1.0 - f32(a > b) - 0.5 * f32(a == b))',
    db: 'g * (1.0 - f32(b > a) - 0.5 * f32(a == b))',
    result: 'same',
  },
  /** (a − b)². */
  squaredDifference: { value: '(a - b) * (a - b)', da: '2.0 * g * (a - b)', db: '2.0 * g * (b - a)', result: 'same' },
  /** √(a² + b²). */
  hypot: { value: 'hypotenuse(a, b)', da: 'g * (a / y)', db: 'g * (b / y)', result: 'float' },
  /** The angle of the point (b, a), between −π and π. */
  atan2: {
    value: 'arctan2(a, b)',
    da: 'g * (b / hypotenuse(a, b) / hypotenuse(a, b))',
    db: '-g * (a / hypotenuse(a, b) / hypotenuse(a, b))',
    result: 'float',
  },
  /** a where it is positive, else b·a. */
  prelu: {
    value: 'select(b * a, a, a > 0.0)',
    da: 'select(g * b, g, a > 0.0)',
    db: 'select(g * a, 0.0, a > 0.0)',
    result: 'float',
  },
  /** a·log b and a·log(1 + b), 0 where a is 0 (unless b is NaN). */
  xlogy: {
    value: 'xlogy(a, b)',
    da: 'select(g * log(b), 0.0, a == 0.0 && b <= 0.0)',
    db: 'over(g * a, b)',
    result: 'float',
  },
  /** a · ln(1 + b), 0 where a is 0. */
  xlog1py: {
    value: 'xlog1py(a, b)',
    da: 'select(g * log1p(b), 0.0, a == 0.0 && b <= -1.0)',
    db: 'over(g * a, 1.0 + b)',
    result: 'float',
  },
  /** log(eᵃ + eᵇ), and the same to base 2. */
  logaddexp: { value: 'logAddExp(a, b)', da: 'g * sigmoid(a - b)', db: 'g * sigmoid(b - a)', result: 'float' },
  /** log₂(2ᵃ + 2ᵇ). */
  logaddexp2: {
    value: 'logAddExp2(a, b)',
    da: `g * sigmoid(${Math.LN2} * (a - b))`,
    db: `g * sigmoid(${Math.LN2} * (b - a))`,
    result: 'float',
  },
  /** a/b rounded towards 0. */
  truncDiv: {
    value: 'trunc(over(a, b))',
    int: 'a / b',
    refused: (b) => b === 0,
    da: '0.0',
    db: '0.0',
    result: 'same',
  },
  /** aᵇ in float32, of integers too. */
  floatPower: {
    value: 'power(a, b)',
    da: 'select(g * b * power(a, b - 1.0), 0.0, b == 0.0)',
    db: 'select(g * y * log(a), 0.0, a == 0.0 && b >= 0.0)',
    result: 'float',
  },
  /** a·2ᵇ. */
  ldexp: { value: 'a * exp2(b)', da: 'g * exp2(b)', db: `g * y * ${Math.LN2}`, result: 'float' },
  /** |a| with the sign of b. */
  copysign: {
    value: 'withSign(a, b)',
    da: 'select(g * select(-1.0, 1.0, isNegative(a) == isNegative(b)), 0.0, a == 0.0)',
    db: '0.0',
    result: 'float',
  },
  /** 0 where a is negative, b where it is 0, else 1; 0 for NaN, as in PyTorch. No gradient. */
  heaviside: {
    value: 'select(f32(a > 0.0 && !isNan(a)), b, a == 0.0)',
    int: 'select(T(a > 0), b, a == 0)',
    result: 'same',
  },
  /** a & b, of integers or bools. */
  bitwiseAnd: { value: '', int: 'a & b', result: 'bits' },
  /** a | b, of integers or bools. */
  bitwiseOr: { value: '', int: 'a | b', result: 'bits' },
  /** a ^ b, of integers or bools. */
  bitwiseXor: { value: '', int: 'a ^ b', result: 'bits' },
  /** Shifts by less than 0 or more than 31 push every bit out. */
  bitwiseLeftShift: { value: '', int: 'select(a << (u32(b) & 31u), 0, u32(b) > 31u)', result: 'integer' },
  /** a >> b of integers; what shifts every bit out gives 0, or −1 for negative a. */
  bitwiseRightShift: {
    value: '',
    int: 'select(a >> (u32(b) & 31u), select(T(0), ~T(0), a < 0), u32(b) > 31u)',
    result: 'integer',
  },
  /** Greatest common divisor and least common multiple. */
  gcd: { value: '', int: 'T(gcd(i32(a), i32(b)))', result: 'integer' },
  /** Least common multiple of integers. */
  lcm: { value: '', int: 'T(lcm(i32(a), i32(b)))', result: 'integer' },
  /** a = b (bool). */
  eq: compare('a == b'),
  /** Drivers may assume that there is no NaN. */
  ne: { ...compare('a != b || isNan(a) || isNan(b)'), int: 'a != b' },
  /** a < b (bool). */
  lt: compare('a < b'),
  /** a ≤ b (bool). */
  le: compare('a <= b'),
  /** a > b (bool). */
  gt: compare('a > b'),
  /** a ≥ b (bool). */
  ge: compare('a >= b'),
  /** Whether both are not 0 (bool). */
  logicalAnd: logical('a && b'),
  /** Whether one is not 0 (bool). */
  logicalOr: logical('a || b'),
  /** Whether exactly one is not 0 (bool). */
  logicalXor: logical('a != b'),
} satisfies Record<string, BinaryRow>;

export type UnaryName = keyof typeof unaryOps;
export type BinaryName = keyof typeof binaryOps;
