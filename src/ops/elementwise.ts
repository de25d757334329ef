// The elementwise functions as `F` has them: those of the rows in unary.ts and binary.ts, and some with options.
import { castTo } from '../autograd/cast';
import { checked, is, word } from '../gpu/options';
import type { DType } from '../tensor/dtype';
import { checkDType } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import * as binary from './binary';
import type { Operand } from './operands';
import * as unary from './unary';

export {
  atan2,
  bitwiseAnd,
  bitwiseLeftShift,
  bitwiseOr,
  bitwiseRightShift,
  bitwiseXor,
  copysign,
  eq,
  floatPower,
  floorDiv,
  fmod,
  gcd,
  ge,
  gt,
  heaviside,
  hypot,
  lcm,
  ldexp,
  le,
  logaddexp,
  logaddexp2,
  logicalAnd,
  logicalOr,
  logicalXor,
  lt,
  maximum,
  minimum,
  mul,
  ne,
  pow,
  remainder,
  squaredDifference,
  xlog1py,
  xlogy,
} from './binary';
export type { Numeric, Operand } from './operands';
export {
  abs,
  acos,
  acosh,
  asin,
  asinh,
  atan,
  atanh,
  ceil,
  celu,
  cos,
  cosh,
  deg2rad,
  digamma,
  elu,
  entr,
  erf,
  erfc,
  erfinv,
  exp,
  exp2,
  expm1,
  floor,
  frac,
  hardSigmoid,
  hardSwish,
  hardshrink,
  hardTanh,
  i0,
  i0e,
  i1,
  i1e,
  isfinite,
  isinf,
  isnan,
  leakyRelu,
  lgamma,
  log,
  log1p,
  log2,
  log10,
  logicalNot,
  logNdtr,
  logSigmoid,
  mish,
  ndtr,
  ndtri,
  neg,
  rad2deg,
  reciprocal,
  relu,
  relu6,
  round,
  rsqrt,
  selu,
  sigmoid,
  sign,
  signbit,
  silu,
  sin,
  sinc,
  sinh,
  softplus,
  softshrink,
  softsign,
  sqrt,
  square,
  tan,
  tanh,
  tanhshrink,
  threshold,
  trunc,
} from './unary';

/** Options, or the position and the array that `terms.reduce(add)` passes. */
type OptionsOr<O> = [options?: O | number, reduced?: readonly unknown[]];

/** The options among what was passed. */
const optionsIn = <O>([options, reduced]: OptionsOr<O>): O | undefined =>
  typeof options === 'number' && Array.isArray(reduced) ? undefined : (options as O | undefined);

/** The second summand, multiplied by alpha. */
function times(op: string, b: Operand, more: OptionsOr<{ alpha?: number }>): Operand {
  const options = optionsIn(more);
  if (options === undefined) return b;
  const { alpha = 1 } = checked(op, options, { alpha: is.number });
  return alpha === 1 ? b : typeof b === 'number' ? alpha * b : binary.mul(b, alpha);
}

/** a + alpha·b (alpha 1 by default), as `torch.add`. */
export const add = (a: Operand, b: Operand, ...options: OptionsOr<{ alpha?: number }>): Tensor =>
  binary.add(a, times('add', b, options));

/** a − alpha·b (alpha 1 by default), as `torch.sub`. */
export const sub = (a: Operand, b: Operand, ...options: OptionsOr<{ alpha?: number }>): Tensor =>
  binary.sub(a, times('sub', b, options));

/** a / b, as `torch.div`: in float32, or with `roundingMode` 'trunc' or 'floor' rounded, in the type of the operands and without gradient. */
export function div(a: Operand, b: Operand, ...more: OptionsOr<{ roundingMode?: 'trunc' | 'floor' | null }>): Tensor {
  const { roundingMode = null } = checked('div', optionsIn(more), { roundingMode: word(null, 'trunc', 'floor') });
  return (roundingMode === null ? binary.div : roundingMode === 'trunc' ? binary.truncDiv : binary.floorDiv)(a, b);
}

/** Gaussian error linear unit x·Φ(x); with `approximate: 'tanh'` by x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
export function gelu(
  x: Tensor,
  options: { /** 'tanh' for the approximation by tanh (default 'none'). */ approximate?: 'none' | 'tanh' } = {},
): Tensor {
  const { approximate = 'none' } = checked('gelu', options, { approximate: word('none', 'tanh') });
  return approximate === 'tanh' ? unary.geluTanh(x) : unary.geluErf(x);
}

/** The elements as another type: floats are truncated towards zero for integers, bool is true where non-zero, float16 is the nearest. The gradient passes between floats. */
export function cast(x: Tensor, dtype: DType): Tensor {
  checkDType('cast', dtype);
  return castTo(x, dtype);
}
