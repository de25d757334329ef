// Elementwise functions beyond the table: with options, of three operands, and comparisons up to a tolerance.

import { operation } from '../autograd/operation';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { isFloat as isFloatType } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { add, div, eq, logicalNot, logicalOr, mul, sign, sub } from './elementwise';
import { mixed } from './mixed';
import { expression, type Operand, requireTensor } from './operands';
import { all } from './reduce';
import * as unary from './unary';

/** log(x / (1 − x)), as `torch.logit`: NaN outside of 0 … 1, or with `eps` of x brought to eps … 1 − eps. */
export function logit(
  x: Tensor,
  options: { /** x is brought between eps and 1 − eps first (default null: it is not). */ eps?: number | null } = {},
): Tensor {
  const { eps } = checked('logit', options, { eps: { ...is.number, fits: (e) => e === null || is.number.fits(e) } });
  return unary.logit(x, eps ?? null);
}

/** What `nanToNum` puts in place of what is not finite. */
export interface NanToNumOptions {
  /** 0 by default. */
  nan?: number;
  /** The largest number by default. */
  posinf?: number | null;
  /** The smallest number by default. */
  neginf?: number | null;
}

const nullable = { what: 'a number or null', fits: (x: unknown) => x === null || is.number.fits(x) };
const NAN_TO_NUM: OptionTable<NanToNumOptions> = { nan: is.number, posinf: nullable, neginf: nullable };

/** Numbers in place of NaN and the infinities, as `torch.nan_to_num`. Integers stay as they are. */
export function nanToNum(x: Tensor, options: NanToNumOptions = {}): Tensor {
  const { nan, posinf, neginf } = checked('nanToNum', options, NAN_TO_NUM);
  requireTensor('nanToNum', x);
  const most = x.dtype === 'float16' ? 65504 : null;
  return isFloat(x) ? unary.nanToNum(x, nan ?? null, posinf ?? most, neginf ?? (most && -most)) : x;
}

/** The n-th derivative of `digamma`, as `torch.polygamma(n, x)`. For n > 1 NaN below −1000. Throws InputError for a negative or broken n. */
export function polygamma(x: Tensor, n: number): Tensor {
  requireIntegers('polygamma', { n });
  if (n < 0) throw inputError('polygamma', `n is ${n}`, { input: x }, 'Use a whole number of at least 0.');
  if (n === 0) return unary.digamma(x);
  let c = n % 2 ? 1 : -1;
  for (let k = 2; k <= n; k++) c *= k;
  return unary.polygamma(x, n, c);
}

/** The opposite of every bit of an integer, of a bool the other value, as `torch.bitwise_not`. */
export const bitwiseNot = (x: Tensor): Tensor => (x.dtype === 'bool' ? logicalNot(x) : unary.bitwiseNot(x));

/** −1, 0 or 1, as `torch.sgn`; bool and uint32 stay as they are but for the size. */
export const sgn = (x: Tensor): Tensor =>
  x.dtype === 'bool' ? x : x.dtype === 'uint32' ? unary.clamp(x, 0, 1) : sign(x);

/** The tensor itself, as `torch.positive`; refuses bool. */
export function positive(x: Tensor): Tensor {
  requireTensor('positive', x);
  if (x.dtype === 'bool') throw inputError('positive', 'not defined for bool', { input: x });
  return x;
}

/** other − alpha·x, as `torch.rsub`. */
export const rsub = (x: Tensor, other: Operand, options?: { alpha?: number }): Tensor => sub(other, x, options);

/** x + weight·(end − x), as `torch.lerp`; `weight` is a number or a tensor that broadcasts. */
export const lerp = mixed(
  'lerp',
  function lerp(x: Tensor, end: Tensor, weight: Operand): Tensor {
    requireTensor('lerp', x);
    requireTensor('lerp', end);
    // From the nearer end, so that both ends are met.
    const of = (w: string) => `select(b - (b - a) * (1.0 - ${w}), a + ${w} * (b - a), ${w} < 0.5)`;
    if (weight instanceof Tensor) return expression('lerp', of('w'), { a: x, b: end, w: weight });
    return expression('lerp', of('s'), { a: x, b: end }, [weight]);
  },
  'widest',
);

const VALUE: OptionTable<{ value?: number }> = { value: is.number };
const isFloat = (x: Tensor): boolean => isFloatType(x.dtype);

/** x + value·a·b (value 1 by default), as `torch.addcmul`; all three broadcast. */
export const addcmul = mixed(
  'addcmul',
  function addcmul(
    x: Tensor,
    a: Tensor,
    b: Tensor,
    options: { /** Factor of the product or quotient (default 1). */ value?: number } = {},
  ): Tensor {
    const { value = 1 } = checked('addcmul', options, VALUE);
    for (const t of [x, a, b]) requireTensor('addcmul', t);
    if (![x, a, b].some(isFloat)) return add(x, mul(mul(a, b), value));
    return expression('addcmul', 'x + s * a * b', { x, a, b }, [value]);
  },
  'widest',
);

/** x + value·a / b (value 1 by default), as `torch.addcdiv`; all three broadcast. Refuses integers, as PyTorch. */
export const addcdiv = mixed(
  'addcdiv',
  function addcdiv(
    x: Tensor,
    a: Tensor,
    b: Tensor,
    options: { /** Factor of the product or quotient (default 1). */ value?: number } = {},
  ): Tensor {
    const { value = 1 } = checked('addcdiv', options, VALUE);
    for (const t of [x, a, b]) requireTensor('addcdiv', t);
    if (!isFloat(a) && !isFloat(b))
      throw inputError('addcdiv', 'integers are not divided', { x, a, b }, "Convert first: x.to('float32').");
    return expression('addcdiv', 'x + s * over(a, b)', { x, a, b }, [value]);
  },
  'widest',
);

/** How far numbers may be apart. */
export interface CloseOptions {
  /** Of |y|: 1e-5 by default. */
  rtol?: number;
  /** 1e-8 by default. */
  atol?: number;
  /** Whether NaN is close to NaN. */
  equalNan?: boolean;
}

const CLOSE: OptionTable<CloseOptions> = { rtol: is.number, atol: is.number, equalNan: is.flag };

/** Where |x − y| ≤ atol + rtol·|y|, or both are the same infinity, as `torch.isclose`: bool. */
export const isclose = operation('isclose', function isclose(x: Tensor, y: Tensor, options: CloseOptions = {}): Tensor {
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = checked('isclose', options, CLOSE);
  requireTensor('isclose', x);
  requireTensor('isclose', y);
  const near = evaluate({
    name: 'isclose',
    expression: `(!isNan(a) && a == b) || (isFinite(a - b) && abs(a - b) <= s + abs(t * b)) || (u > 0.0 && isNan(a) && isNan(b))`,
    operands: { a: x, b: y },
    scalars: [atol, rtol, Number(equalNan)],
    shape: broadcastShapes('isclose', x.shape, y.shape),
    compute: 'float32',
    result: 'bool',
  });
  return isFloat(x) || isFloat(y) ? near : logicalOr(near, eq(x, y));
});

/** Whether all elements are close, as `torch.allclose`. Reads the answer back: a promise. */
export const allclose = async (x: Tensor, y: Tensor, options: CloseOptions = {}): Promise<boolean> =>
  Boolean((await all(isclose(x, y, options)).data())[0]);

/** a / b without rounding, as `torch.true_divide`. */
export const trueDivide = (a: Tensor, b: Operand): Tensor => div(a, b);
