// The elementwise operations: one row gives the WGSL of the value and of the derivatives. Kernels, methods and tests are made from the rows.
//
// In `value`, `a` and `b` are the inputs. In `da`/`db`, `y` is the result and `g` its gradient; what is not named is not kept for backward.
// A row without derivative has gradient zero or none (comparisons, rounding). `s` and `t` are scalar arguments.

/** How the type of the result follows from the inputs'. */
export type ResultType = 'float' | 'same' | 'bool';

export interface UnaryRow {
  value: string;
  da?: string;
  /** 'float': integers are converted first; 'same': the input's type; 'bool'. */
  result: ResultType;
  /** Names of scalar arguments with their defaults, called s and t in the expressions. */
  scalars?: Record<string, number>;
}

const float = (value: string, da?: string, scalars?: Record<string, number>): UnaryRow => ({ value, da, result: 'float', scalars });
const same = (value: string, da?: string, scalars?: Record<string, number>): UnaryRow => ({ value, da, result: 'same', scalars });

export const unaryOps = {
  neg: same('-a', '-g'),
  abs: same('abs(a)', 'g * sign(a)'),
  sign: same('sign(a)'),
  square: same('a * a', '2.0 * a * g'),
  exp: float('exp(a)', 'g * y'),
  log: float('log(a)', 'g / a'),
  sqrt: float('sqrt(a)', '0.5 * g / y'),
  rsqrt: float('inverseSqrt(a)', '-0.5 * g * y * y * y'),
  reciprocal: float('1.0 / a', '-g * y * y'),
  sin: float('sin(a)', 'g * cos(a)'),
  cos: float('cos(a)', '-g * sin(a)'),
  tanh: float('tanhSafe(a)', 'g * (1.0 - y * y)'),
  sigmoid: float('sigmoid(a)', 'g * y * (1.0 - y)'),
  relu: same('max(a, 0.0)', 'select(0.0, g, y > 0.0)'),
  floor: same('floor(a)'),
  ceil: same('ceil(a)'),
  round: same('round(a)'),
} satisfies Record<string, UnaryRow>;

export interface BinaryRow {
  value: string;
  da?: string;
  db?: string;
  /** 'same': the promoted type; 'float': float32 even for integers; 'bool'. */
  result: ResultType;
}

export const binaryOps = {
  add: { value: 'a + b', da: 'g', db: 'g', result: 'same' },
  sub: { value: 'a - b', da: 'g', db: '-g', result: 'same' },
  mul: { value: 'a * b', da: 'g * b', db: 'g * a', result: 'same' },
  div: { value: 'a / b', da: 'g / b', db: '-g * a / (b * b)', result: 'float' },
  pow: {
    value: 'power(a, b)',
    da: 'select(g * b * power(a, b - 1.0), 0.0, b == 0.0)',
    db: 'select(g * power(a, b) * log(a), 0.0, a == 0.0)',
    result: 'float',
  },
  maximum: { value: 'max(a, b)', da: 'g * (f32(a > b) + 0.5 * f32(a == b))', db: 'g * (f32(b > a) + 0.5 * f32(a == b))', result: 'same' },
  minimum: { value: 'min(a, b)', da: 'g * (f32(a < b) + 0.5 * f32(a == b))', db: 'g * (f32(b < a) + 0.5 * f32(a == b))', result: 'same' },
  eq: { value: 'a == b', result: 'bool' },
  ne: { value: 'a != b', result: 'bool' },
  lt: { value: 'a < b', result: 'bool' },
  le: { value: 'a <= b', result: 'bool' },
  gt: { value: 'a > b', result: 'bool' },
  ge: { value: 'a >= b', result: 'bool' },
} satisfies Record<string, BinaryRow>;

export type UnaryName = keyof typeof unaryOps;
export type BinaryName = keyof typeof binaryOps;
