// The elementwise functions, made of the rows of table.ts: types promoted, numbers entered as scalars, derivatives recorded.
import { castTo } from '../autograd/cast';
import { checked, is, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { checkDType, isFloat, promote, wgslType } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { autocasting } from './mixed';
import type { Numeric, Operand } from './operands';
import { numberType, recordElementwise, requireNumber, requireOperand, requireTensor, resultType } from './operands';
import type { BinaryRow, ResultType, UnaryName, UnaryRow } from './table';
import { binaryOps, unaryOps } from './table';

export type { Numeric, Operand } from './operands';

interface Typed {
  expression: string;
  compute: DType;
  result: DType;
}

const REFUSED: Partial<Record<ResultType, DType[]>> = {
  signed: ['uint32', 'bool'],
  number: ['bool'],
  bits: ['float32', 'float16'],
  integer: ['float32', 'float16', 'bool'],
};

/** The types that an operation of the table computes in and gives for operands that are promoted to `dtype`. */
function typed(name: string, row: UnaryRow | BinaryRow, dtype: DType): Typed {
  if (REFUSED[row.result]?.includes(dtype))
    throw inputError(name, `not defined for ${dtype}`, {}, "Convert first: x.to('int32') or x.to('float32').");
  const integers = dtype === 'bool' ? 'uint32' : isFloat(dtype) ? 'float32' : dtype;
  const compute = row.result === 'float' ? 'float32' : row.result === 'logical' ? 'bool' : integers;
  const boolean = row.result === 'compare' || row.result === 'logical' || (row.result !== 'float' && dtype === 'bool');
  const whole = row.result === 'whole' && !isFloat(dtype);
  const value = whole ? 'a' : (compute !== 'float32' && row.int) || row.value;
  return {
    expression: value.replace(/\bT\(/g, `${wgslType(compute)}(`),
    compute,
    result: boolean ? 'bool' : isFloat(dtype) ? dtype : compute,
  };
}

/** How an operation is computed: its types, its WGSL and that of its derivatives. */
interface Form extends Typed {
  readonly da?: string;
  readonly db?: string;
}

/**
 * The forms of an operation by the type that its operands are promoted to, each made once. `entered` is the operand that is a number: it enters
 * the expressions as a scalar argument, so that all numbers share a kernel.
 */
function formsOf(name: string, row: UnaryRow & Partial<BinaryRow>): (dtype: DType, entered?: 'a' | 'b' | null) => Form {
  const known = new Map<string, Form>();
  return (dtype, entered = null) => {
    const key = `${dtype} ${entered}`;
    const found = known.get(key);
    if (found) return found;
    const t = typed(name, row, dtype);
    const enter = (expression: string, type: DType) => {
      if (!entered) return expression;
      const scalar = type === 'float32' ? 's' : `${wgslType(type)}(s)`;
      return expression.replace(new RegExp(`\\b${entered}\\b`, 'g'), scalar);
    };
    const slope = (expression: string | undefined) => expression && enter(expression, 'float32');
    const form = { ...t, expression: enter(t.expression, t.compute), da: slope(row.da), db: slope(row.db) };
    known.set(key, form);
    return form;
  };
}

function unary(name: string, row: UnaryRow) {
  const parameters = Object.entries(row.scalars ?? {});
  const formOf = formsOf(name, row);
  return (x: Tensor, ...given: (Numeric | null | undefined)[]): Tensor => {
    requireTensor(name, x);
    const own = parameters.map(([key, standard], i) => ({ key, standard, s: given[i] ?? null }));
    for (const { key, s } of own) if (s !== null) requireNumber(name, key, s, x);
    // What is left out takes part in no promotion.
    const dtype = own.reduce<DType>(
      (type, { s }) => (s === null ? type : promote(type, numberType(s, x.dtype))),
      x.dtype,
    );
    const { expression, compute, result, da } = formOf(dtype);
    const scalars = own.map(({ s, standard }) => s ?? bounded(standard, compute));
    const y = evaluate({ name, expression, operands: { a: x }, scalars, shape: x.shape, result, compute });
    return da ? recordElementwise(name, [x], y, [da], { a: x, y }, scalars) : y;
  };
}

function binary(name: string, row: BinaryRow) {
  const formOf = formsOf(name, row);
  return (first: Operand, second: Operand): Tensor => {
    const like = first instanceof Tensor ? first : second;
    requireTensor(name, like);
    requireOperand(name, first, like);
    requireOperand(name, second, like);
    const a = first instanceof Tensor ? first : null;
    const b = second instanceof Tensor ? second : null;
    const number = !a ? 'a' : !b ? 'b' : null;
    const { expression, compute, result, da, db } = formOf(resultType([first, second], like.dtype), number);
    if (typeof second === 'number' && compute !== 'float32' && row.refused?.(second))
      throw inputError(name, `integers by ${second}`, { a: like }, "Convert first: x.to('float32').");
    const operands: Record<string, Tensor> = a && b ? { a, b } : { [a ? 'a' : 'b']: like };
    const scalars = number ? [(a ? second : first) as Numeric] : [];
    const shape = a && b ? broadcastShapes(name, a.shape, b.shape) : like.shape;
    const y = evaluate({ name, expression, operands, scalars, shape, result, compute });
    if (!da || !db) return y;
    const rules = a && b ? [da, db] : [a ? da : db];
    return recordElementwise(name, a && b ? [a, b] : [like], y, rules, { ...operands, y }, scalars);
  };
}

/** A default that bounds nothing, such as −∞, as an integer type has it. */
function bounded(value: number, compute: DType): number {
  const bounds: Record<DType, readonly [number, number]> = {
    float32: [-Infinity, Infinity],
    float16: [-Infinity, Infinity],
    int32: [-(2 ** 31), 2 ** 31 - 1],
    uint32: [0, 2 ** 32 - 1],
    bool: [0, 1],
  };
  const [least, most] = bounds[compute];
  return Math.max(least, Math.min(most, value));
}

type Scalars<K extends UnaryName> = (typeof unaryOps)[K] extends { scalars: Record<string, number> }
  ? (Numeric | null)[]
  : [];
/** The functions of one tensor, by name: `scalars` are numbers, as in `leakyRelu(x, slope)`. */
export type UnaryFunctions = { [K in keyof typeof unaryOps]: (x: Tensor, ...scalars: Scalars<K>) => Tensor };
/** The functions of two operands, by name; they broadcast. */
export type BinaryFunctions = { [K in keyof typeof binaryOps]: (a: Operand, b: Operand) => Tensor };

const made = <T>(rows: object, make: (name: string, row: never) => unknown) =>
  Object.fromEntries(
    Object.entries(rows).map(([name, row]) => [name, autocasting(name, make(name, row as never) as () => Tensor)]),
  ) as T;

/** Every elementwise function of one tensor, of its shape; the rows of the table in `table.ts` say what each computes. @internal */
export const unaryFunctions = made<UnaryFunctions>(unaryOps, unary);
/** Every elementwise function of two operands, which broadcast and promote as in PyTorch. @internal */
export const binaryFunctions = made<BinaryFunctions>(binaryOps, binary);

export const { neg, abs, sign, square, exp, exp2, expm1, log, log2, log10, log1p, sqrt, rsqrt, reciprocal } =
  unaryFunctions;
export const { sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, erf, erfc } = unaryFunctions;
export const { floor, ceil, round, trunc, isnan, isinf, isfinite, logicalNot, threshold } = unaryFunctions;
export const { relu, relu6, sigmoid, logSigmoid, silu, mish, softsign, selu, hardSwish, leakyRelu, elu, celu } =
  unaryFunctions;
export const { softplus, hardSigmoid, hardTanh, hardshrink, softshrink, tanhshrink } = unaryFunctions;
export const { frac, deg2rad, rad2deg, sinc, erfinv, ndtr, logNdtr, ndtri, entr, lgamma, digamma } = unaryFunctions;
export const { i0, i0e, i1, i1e, signbit } = unaryFunctions;
export const { mul, floorDiv, remainder, fmod, pow, maximum, minimum, squaredDifference, hypot, atan2 } =
  binaryFunctions;
export const { xlogy, xlog1py, logaddexp, logaddexp2, floatPower, ldexp, copysign, heaviside, gcd, lcm } =
  binaryFunctions;
export const { bitwiseAnd, bitwiseOr, bitwiseXor, bitwiseLeftShift, bitwiseRightShift } = binaryFunctions;
export const { eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor } = binaryFunctions;

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
  return alpha === 1 ? b : typeof b === 'number' ? alpha * b : binaryFunctions.mul(b, alpha);
}

/** a + alpha·b (alpha 1 by default), as `torch.add`. */
export const add = (a: Operand, b: Operand, ...options: OptionsOr<{ alpha?: number }>): Tensor =>
  binaryFunctions.add(a, times('add', b, options));

/** a − alpha·b (alpha 1 by default), as `torch.sub`. */
export const sub = (a: Operand, b: Operand, ...options: OptionsOr<{ alpha?: number }>): Tensor =>
  binaryFunctions.sub(a, times('sub', b, options));

/** a / b, as `torch.div`: in float32, or with `roundingMode` 'trunc' or 'floor' rounded, in the type of the operands and without gradient. */
export function div(a: Operand, b: Operand, ...more: OptionsOr<{ roundingMode?: 'trunc' | 'floor' | null }>): Tensor {
  const { roundingMode = null } = checked('div', optionsIn(more), { roundingMode: word(null, 'trunc', 'floor') });
  const { div: quotient, truncDiv, floorDiv } = binaryFunctions;
  return (roundingMode === null ? quotient : roundingMode === 'trunc' ? truncDiv : floorDiv)(a, b);
}

/** Gaussian error linear unit x·Φ(x); with `approximate: 'tanh'` by x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
export function gelu(x: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor {
  const { approximate = 'none' } = checked('gelu', options, { approximate: word('none', 'tanh') });
  return approximate === 'tanh' ? unaryFunctions.geluTanh(x) : unaryFunctions.geluErf(x);
}

/** The elements as another type: floats are truncated towards zero for integers, bool is true where non-zero, float16 is the nearest. The gradient passes between floats. */
export function cast(x: Tensor, dtype: DType): Tensor {
  checkDType('cast', dtype);
  return castTo(x, dtype);
}
