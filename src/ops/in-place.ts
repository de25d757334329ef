// In-place methods: `x.relu_()`, `x.maskedFill_(mask, 0)`. Each is the operation of that name, written back into its first tensor: one mechanism for all of
// PyTorch's in-place methods of operations that keep the shape.
import { requireWritable } from '../autograd/overwrite';
import type { Tensor } from '../tensor/tensor';
import { writeBack } from './assign';

const words = <T extends string>(text: T): Words<T> => text.split(' ') as Words<T>;
type Words<T extends string> = T extends `${infer A} ${infer B}` ? [A, ...Words<B>] : [T];

/** The operations that have such a method. */
export const IN_PLACE = [
  ...words('abs acos acosh add addbmm addcdiv addcmul addmm addmv addr asin asinh atan atan2 atanh baddbmm bitwiseAnd'),
  ...words(
    'bitwiseLeftShift bitwiseNot bitwiseOr bitwiseRightShift bitwiseXor ceil clamp copysign cos cosh cumprod cumsum deg2rad',
  ),
  ...words(
    'digamma div eq erf erfc erfinv exp exp2 expm1 floatPower floor fmod frac gcd ge gt heaviside hypot i0 indexAdd',
  ),
  ...words(
    'indexCopy indexFill indexPut indexReduce lcm ldexp le lerp lgamma log log10 log1p log2 logicalAnd logicalNot logicalOr',
  ),
  ...words(
    'logicalXor logit lt maskedFill maskedScatter mul nanToNum ne neg polygamma pow put rad2deg reciprocal relu remainder',
  ),
  ...words(
    'renorm round rsqrt scatter scatterAdd scatterReduce sgn sigmoid sign sin sinc sinh sqrt square sub tan tanh tril triu',
  ),
  ...words('trueDivide trunc xlogy'),
] as const;

export type InPlace = (typeof IN_PLACE)[number];

/**
 * The in-place form of an operation, under the conditions of `assign_`: x keeps its shape and type, and is returned. A result of a wider type (floats into
 * integers, numbers into bool) is refused, as in PyTorch.
 */
export const inPlace =
  (name: string, f: (x: Tensor, ...rest: never[]) => Tensor) =>
  (x: Tensor, ...rest: never[]): Tensor => {
    requireWritable(name, x);
    return writeBack(name, x, f(x, ...rest));
  };
