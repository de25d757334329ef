// The elementwise functions of two operands, which broadcast and promote as in PyTorch: a row each, as in unary.ts, with `b` for the second and `db`
// for its gradient.
import { special } from '../../shaders/special';
import { trigonometric } from '../../shaders/trigonometric';
import type { Tensor } from '../tensor/tensor';
import type { Operand } from './operands';
import { binary } from './row';

// The type is written out for the published ones, as in unary.ts.
const compare = (name: string, value: string, int?: string): ((a: Operand, b: Operand) => Tensor) =>
  binary(name, { value, int, result: 'compare' });
const logical = (name: string, value: string) => binary(name, { value, result: 'logical' });

export const add = binary('add', { value: 'a + b', da: 'g', db: 'g', result: 'same' });
export const sub = binary('sub', { value: 'a - b', da: 'g', db: '-g', result: 'number' });
/** a · b. */
export const mul = binary('mul', { value: 'a * b', da: 'g * b', db: 'g * a', result: 'same' });
export const div = binary('div', { value: 'over(a, b)', da: 'over(g, b)', db: 'over(-g * y, b)', result: 'float' });
/** ⌊a/b⌋. */
export const floorDiv = binary('floorDiv', {
  value: 'floorDivide(a, b)',
  int: 'a / b - T((a % b != 0) && ((a < 0) != (b < 0)))',
  refused: (b) => b === 0,
  da: '0.0',
  db: '0.0',
  result: 'same',
});
/** a − b·⌊a/b⌋: the sign of the divisor. */
export const remainder = binary('remainder', {
  value: 'remainder(a, b)',
  int: 'a % b + select(0, b, (a % b != 0) && ((a < 0) != (b < 0)))',
  refused: (b) => b === 0,
  da: 'g',
  db: '-g * floorDivide(a, b)',
  result: 'same',
});
/** a − b·trunc(a/b): the sign of the dividend. */
export const fmod = binary('fmod', {
  value: 'fmod(a, b)',
  int: 'a % b',
  refused: (b) => b === 0,
  da: 'g',
  db: '-g * trunc(over(a, b))',
  result: 'same',
});
/** aᵇ; integers refuse negative exponents given as numbers. */
export const pow = binary('pow', {
  value: 'power(a, b)',
  int: 'T(powerInt(i32(a), i32(b)))',
  refused: (b) => b < 0,
  da: 'select(g * b * power(a, b - 1.0), 0.0, b == 0.0)',
  db: 'select(g * y * log(a), 0.0, a == 0.0 && b >= 0.0)',
  result: 'same',
});
/** The larger of a and b; NaN if either is. */
export const maximum = binary('maximum', {
  value: 'maxOf(a, b)',
  int: 'max(a, b)',
  da: 'g * (1.0 - f32(a < b) - 0.5 * f32(a == b))',
  db: 'g * (1.0 - f32(b < a) - 0.5 * f32(a == b))',
  result: 'same',
});
/** The smaller of a and b; NaN if either is. */
export const minimum = binary('minimum', {
  value: 'minOf(a, b)',
  int: 'min(a, b)',
  da: 'g * (1.0 - f32(a > b) - 0.5 * f32(a == b))',
  db: 'g * (1.0 - f32(b > a) - 0.5 * f32(a == b))',
  result: 'same',
});
/** (a − b)². */
export const squaredDifference = binary('squaredDifference', {
  value: '(a - b) * (a - b)',
  da: '2.0 * g * (a - b)',
  db: '2.0 * g * (b - a)',
  result: 'same',
});
/** √(a² + b²). */
export const hypot = binary('hypot', {
  value: 'hypotenuse(a, b)',
  da: 'g * (a / y)',
  db: 'g * (b / y)',
  result: 'float',
  library: trigonometric,
});
/** The angle of the point (b, a), between −π and π. */
export const atan2 = binary('atan2', {
  value: 'arctan2(a, b)',
  da: 'g * (b / hypotenuse(a, b) / hypotenuse(a, b))',
  db: '-g * (a / hypotenuse(a, b) / hypotenuse(a, b))',
  result: 'float',
  library: trigonometric,
});
/** a where it is positive, else b·a. */
export const prelu = binary('prelu', {
  value: 'select(b * a, a, a > 0.0)',
  da: 'select(g * b, g, a > 0.0)',
  db: 'select(g * a, 0.0, a > 0.0)',
  result: 'float',
});
/** a·log b and a·log(1 + b), 0 where a is 0 (unless b is NaN). */
export const xlogy = binary('xlogy', {
  value: 'xlogy(a, b)',
  da: 'select(g * log(b), 0.0, a == 0.0 && b <= 0.0)',
  db: 'over(g * a, b)',
  result: 'float',
  library: special,
});
/** a · ln(1 + b), 0 where a is 0. */
export const xlog1py = binary('xlog1py', {
  value: 'xlog1py(a, b)',
  da: 'select(g * log1p(b), 0.0, a == 0.0 && b <= -1.0)',
  db: 'over(g * a, 1.0 + b)',
  result: 'float',
  library: special,
});
/** log(eᵃ + eᵇ), and the same to base 2. */
export const logaddexp = binary('logaddexp', {
  value: 'logAddExp(a, b)',
  da: 'g * sigmoid(a - b)',
  db: 'g * sigmoid(b - a)',
  result: 'float',
  library: special,
});
/** log₂(2ᵃ + 2ᵇ). */
export const logaddexp2 = binary('logaddexp2', {
  value: 'logAddExp2(a, b)',
  da: `g * sigmoid(${Math.LN2} * (a - b))`,
  db: `g * sigmoid(${Math.LN2} * (b - a))`,
  result: 'float',
  library: special,
});
/** a/b rounded towards 0. */
export const truncDiv = binary('truncDiv', {
  value: 'trunc(over(a, b))',
  int: 'a / b',
  refused: (b) => b === 0,
  da: '0.0',
  db: '0.0',
  result: 'same',
});
/** aᵇ in float32, of integers too. */
export const floatPower = binary('floatPower', {
  value: 'power(a, b)',
  da: 'select(g * b * power(a, b - 1.0), 0.0, b == 0.0)',
  db: 'select(g * y * log(a), 0.0, a == 0.0 && b >= 0.0)',
  result: 'float',
});
/** a·2ᵇ. */
export const ldexp = binary('ldexp', {
  value: 'a * exp2(b)',
  da: 'g * exp2(b)',
  db: `g * y * ${Math.LN2}`,
  result: 'float',
});
/** |a| with the sign of b. */
export const copysign = binary('copysign', {
  value: 'withSign(a, b)',
  da: 'select(g * select(-1.0, 1.0, isNegative(a) == isNegative(b)), 0.0, a == 0.0)',
  db: '0.0',
  result: 'float',
});
/** 0 where a is negative, b where it is 0, else 1; 0 for NaN, as in PyTorch. No gradient. */
export const heaviside = binary('heaviside', {
  value: 'select(f32(a > 0.0 && !isNan(a)), b, a == 0.0)',
  int: 'select(T(a > 0), b, a == 0)',
  result: 'same',
});
/** a & b, of integers or bools. */
export const bitwiseAnd = binary('bitwiseAnd', { value: '', int: 'a & b', result: 'bits' });
/** a | b, of integers or bools. */
export const bitwiseOr = binary('bitwiseOr', { value: '', int: 'a | b', result: 'bits' });
/** a ^ b, of integers or bools. */
export const bitwiseXor = binary('bitwiseXor', { value: '', int: 'a ^ b', result: 'bits' });
/** Shifts by less than 0 or more than 31 push every bit out. */
export const bitwiseLeftShift = binary('bitwiseLeftShift', {
  value: '',
  int: 'select(a << (u32(b) & 31u), 0, u32(b) > 31u)',
  result: 'integer',
});
/** a >> b of integers; what shifts every bit out gives 0, or −1 for negative a. */
export const bitwiseRightShift = binary('bitwiseRightShift', {
  value: '',
  int: 'select(a >> (u32(b) & 31u), select(T(0), ~T(0), a < 0), u32(b) > 31u)',
  result: 'integer',
});
/** Greatest common divisor and least common multiple. */
export const gcd = binary('gcd', { value: '', int: 'T(gcd(i32(a), i32(b)))', result: 'integer', library: special });
/** Least common multiple of integers. */
export const lcm = binary('lcm', { value: '', int: 'T(lcm(i32(a), i32(b)))', result: 'integer', library: special });
/** a = b (bool). */
export const eq = compare('eq', 'a == b');
/** Drivers may assume that there is no NaN. */
export const ne = compare('ne', 'a != b || isNan(a) || isNan(b)', 'a != b');
/** a < b (bool). */
export const lt = compare('lt', 'a < b');
/** a ≤ b (bool). */
export const le = compare('le', 'a <= b');
/** a > b (bool). */
export const gt = compare('gt', 'a > b');
/** a ≥ b (bool). */
export const ge = compare('ge', 'a >= b');
/** Whether both are not 0 (bool). */
export const logicalAnd = logical('logicalAnd', 'a && b');
/** Whether one is not 0 (bool). */
export const logicalOr = logical('logicalOr', 'a || b');
/** Whether exactly one is not 0 (bool). */
export const logicalXor = logical('logicalXor', 'a != b');
