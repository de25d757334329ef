// Differentiable elementwise functions, made from the op table: types from the rows, broadcasting, and gradients by evaluating the rows'
// derivatives with nothing kept but what they name.
import { Scalar } from '../gpu';
import { inputError } from '../tensor/context';
import { tensor } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import { checkDType, promote, wgslType } from '../tensor/dtype';
import { copy, evaluate } from '../tensor/elementwise';
import type { BinaryName, BinaryRow, UnaryName, UnaryRow } from '../tensor/op-table';
import { binaryOps, unaryOps } from '../tensor/op-table';
import { evaluateTo } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { broadcastShapes, sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import type { PushForward, Rule } from './tape';
import { needsGradient, record, SYMMETRIC, sumOfAll } from './tape';

/** A number, or a `scalar()` that compiled steps read anew. */
export type Numeric = number | Scalar;
export type Operand = Tensor | Numeric;

interface Typed {
  expression: string;
  compute: DType;
  result: DType;
}

/** The types that an operation of the table computes in and gives for operands that are promoted to `dtype`. */
function typed(name: string, row: UnaryRow | BinaryRow, dtype: DType): Typed {
  const refused = row.result === 'signed' ? ['uint32', 'bool'] : row.result === 'number' ? ['bool'] : [];
  if (refused.includes(dtype))
    throw inputError(name, `not defined for ${dtype}`, {}, "Convert first: x.to('int32') or x.to('float32').");
  const integers = dtype === 'bool' ? 'uint32' : dtype;
  const compute = row.result === 'float' ? 'float32' : row.result === 'logical' ? 'bool' : integers;
  const boolean = row.result === 'compare' || row.result === 'logical' || (row.result !== 'float' && dtype === 'bool');
  const whole = row.result === 'whole' && dtype !== 'float32';
  const value = whole ? 'a' : (compute !== 'float32' && row.int) || row.value;
  return { expression: value.replace(/\bT\(/g, `${wgslType(compute)}(`), compute, result: boolean ? 'bool' : compute };
}

/** The type that a number stands for beside a tensor of `dtype`: whole numbers take the tensor's, fractions float32. */
function numberType(value: Numeric, dtype: DType): DType {
  if (value instanceof Scalar) return promote(dtype, value.type === 'f32' ? 'float32' : 'uint32');
  if (!Number.isInteger(value) && Math.abs(value) !== Infinity) return 'float32';
  return dtype === 'bool' || (dtype === 'uint32' && value < 0) ? 'int32' : dtype;
}

/** The names among `all` that an expression mentions. */
const named = <T>(expression: string, all: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => new RegExp(`\\b${name}\\b`).test(expression)));

/**
 * A derivative's expression over all elements of `over`, summed down to `shape`: the gradient for an operand of that shape, or the part of a
 * result's tangent that comes from an operand's tangent g, which may have to be repeated to the result's shape.
 */
function derivative(
  name: string,
  expression: string,
  all: Record<string, Tensor>,
  scalars: readonly Numeric[],
  shape: Shape,
  over: Shape = all.g.shape,
): Tensor {
  if (expression === 'g' && sameShape(all.g.shape, shape)) return all.g;
  const operands = named(expression, all);
  return evaluateTo(shape, {
    name: `${name} gradient`,
    expression,
    operands,
    scalars,
    shape: over,
    compute: 'float32',
  });
}

function unary(name: string, row: UnaryRow) {
  const defaults = Object.values(row.scalars ?? {});
  return (x: Tensor, ...given: (Numeric | null | undefined)[]): Tensor => {
    requireTensor(name, x);
    for (const s of given) if (s !== undefined && s !== null) requireOperand(name, s, x);
    const scalars = defaults.map((value, i) => given[i] ?? value);
    const dtype = scalars.reduce<DType>((type, s) => promote(type, numberType(s, x.dtype)), x.dtype);
    const { expression, compute, result } = typed(name, row, dtype);
    const y = evaluate({ name, expression, operands: { a: x }, scalars, shape: x.shape, result, compute });
    const { da } = row;
    if (!da || !needsGradient(x)) return y;
    const kept = named(da, { a: x, y });
    const rule: Rule = (g) => [derivative(name, da, { ...kept, g }, scalars, x.shape)];
    return record(name, [x], y, Object.values(kept), rule, { push: SYMMETRIC });
  };
}

/** Integers beyond this are not exact in the float32 constants of a kernel. */
const EXACT = 2 ** 24;

function binary(name: string, row: BinaryRow) {
  return (first: Operand, second: Operand): Tensor => {
    const like = first instanceof Tensor ? first : second;
    requireTensor(name, like);
    for (const x of [first, second]) requireOperand(name, x, like);
    const type = (x: Operand): DType => (x instanceof Tensor ? x.dtype : numberType(x, like.dtype));
    const dtype = promote(type(first), type(second));
    const t = typed(name, row, dtype);
    // A number enters the expression as a scalar argument, so that all numbers share a kernel.
    const scalars: Numeric[] = [];
    const operands: Record<string, Tensor> = {};
    const enter = (letter: 'a' | 'b', x: Operand) => {
      if (x instanceof Tensor) operands[letter] = x;
      else if (typeof x === 'number' && t.compute !== 'float32' && t.compute !== 'bool' && Math.abs(x) > EXACT)
        operands[letter] = tensor(x, { dtype: t.compute });
      else scalars.push(x);
    };
    enter('a', first);
    enter('b', second);
    const entered = (expression: string, compute: DType) => {
      const letter = operands.a ? 'b' : 'a';
      if (!scalars.length) return expression;
      const word = scalars[0] instanceof Scalar && scalars[0].type === 'u32' ? 'bitcast<u32>(s)' : 's';
      return expression.replace(
        new RegExp(`\\b${letter}\\b`, 'g'),
        word === 's' && compute === 'float32' ? 's' : `${wgslType(compute)}(${word})`,
      );
    };
    const { a, b } = operands;
    const shape = a && b ? broadcastShapes(name, a.shape, b.shape) : (a ?? b).shape;
    const expression = entered(t.expression, t.compute);
    const y = evaluate({ name, expression, operands, scalars, shape, result: t.result, compute: t.compute });
    const { da, db } = row;
    const inputs = [a, b].filter(Boolean);
    if (!da || !db || !needsGradient(...inputs)) return y;
    const rules = [a && entered(da, 'float32'), b && entered(db, 'float32')].filter(Boolean) as string[];
    const needed = rules.filter((_, i) => inputs[i].requiresGrad).join(' ');
    const kept = named(needed, { ...operands, y });
    const rule: Rule = (g, needs) =>
      rules.map((expression, i) => needs[i] && derivative(name, expression, { ...kept, g }, scalars, inputs[i].shape));
    const push: PushForward = (...tangents) =>
      sumOfAll(...tangents.map((t, i) => t && derivative(name, rules[i], { ...kept, g: t }, scalars, shape, shape)));
    return record(name, inputs, y, Object.values(kept), rule, { push });
  };
}

function requireTensor(name: string, x: unknown): asserts x is Tensor {
  if (!(x instanceof Tensor))
    throw inputError(
      name,
      `expected a tensor, got ${typeof x === 'object' ? (x?.constructor?.name ?? 'null') : typeof x}`,
      {},
      'Make one with tensor(data).',
    );
}

function requireOperand(name: string, x: unknown, like: Tensor): void {
  if (x instanceof Tensor || x instanceof Scalar || typeof x === 'number') return;
  const problem = `the other operand is ${typeof x === 'string' ? `'${x}'` : String(x)}`;
  throw inputError(name, problem, { a: like }, 'Use a tensor or a number.');
}

type Scalars<K extends UnaryName> = (typeof unaryOps)[K] extends { scalars: Record<string, number> }
  ? (Numeric | null)[]
  : [];
export type UnaryFunctions = { [K in UnaryName]: (x: Tensor, ...scalars: Scalars<K>) => Tensor };
export type BinaryFunctions = { [K in BinaryName]: (a: Operand, b: Operand) => Tensor };

const made = <T>(rows: object, make: (name: string, row: never) => unknown) =>
  Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, make(name, row as never)])) as T;

export const unaryFunctions = made<UnaryFunctions>(unaryOps, unary);
export const binaryFunctions = made<BinaryFunctions>(binaryOps, binary);

export const { neg, abs, sign, square, exp, exp2, expm1, log, log2, log10, log1p, sqrt, rsqrt, reciprocal } =
  unaryFunctions;
export const { sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, erf, erfc } = unaryFunctions;
export const { floor, ceil, round, trunc, isnan, isinf, isfinite, logicalNot, clamp, threshold } = unaryFunctions;
export const { relu, relu6, sigmoid, logSigmoid, silu, mish, softsign, selu, hardSwish, leakyRelu, elu, celu } =
  unaryFunctions;
export const { softplus, hardSigmoid, hardTanh } = unaryFunctions;
export const {
  add,
  sub,
  mul,
  div,
  floorDiv,
  remainder,
  fmod,
  pow,
  maximum,
  minimum,
  squaredDifference,
  hypot,
  atan2,
  prelu,
} = binaryFunctions;
export const { eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor } = binaryFunctions;

/** Gaussian error linear unit x·Φ(x); with `approximate: 'tanh'` by x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))). */
export function gelu(x: Tensor, { approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}): Tensor {
  return approximate === 'tanh' ? unaryFunctions.geluTanh(x) : unaryFunctions.geluErf(x);
}

/** The elements of `a` where `condition` is true (non-zero), of `b` elsewhere; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const like = a instanceof Tensor ? a : b instanceof Tensor ? b : condition;
  const operands: Record<string, Tensor> = { c: condition };
  const scalars: Numeric[] = [0, 0];
  let dtype: DType | null = null;
  for (const [i, value] of [a, b].entries()) {
    requireOperand('where', value, condition);
    const type = value instanceof Tensor ? value.dtype : numberType(value, like === condition ? 'float32' : like.dtype);
    dtype = dtype ? promote(dtype, type) : type;
    if (value instanceof Tensor) operands['ab'[i]] = value;
    else scalars[i] = value;
  }
  const shape = Object.values(operands).reduce<Shape>((all, t) => broadcastShapes('where', all, t.shape), []);
  const compute = dtype === 'bool' ? 'uint32' : dtype!;
  const type = wgslType(compute);
  const expression = `select(${operands.b ? `${type}(b)` : `${type}(t)`}, ${operands.a ? `${type}(a)` : `${type}(s)`}, bool(c))`;
  const y = evaluate({ name: 'where', expression, operands, scalars, shape, result: dtype! });
  const inputs = [operands.a, operands.b].filter(Boolean);
  if (!needsGradient(...inputs)) return y;
  const rules = [operands.a && 'select(0.0, g, bool(c))', operands.b && 'select(g, 0.0, bool(c))'].filter(Boolean);
  const push: PushForward = (...tangents) =>
    sumOfAll(...tangents.map((t, i) => t && derivative('where', rules[i], { g: t, c: condition }, [], shape, shape)));
  const rule: Rule = (g, needs) =>
    rules.map((expression, i) => {
      const e = { name: 'where gradient', expression, operands: { g, c: condition }, shape: g.shape };
      return needs[i] && evaluateTo(inputs[i].shape, e);
    });
  return record('where', inputs, y, [condition], rule, { push });
}

/** The elements as another type: floats are truncated towards zero for integers, bool is true where non-zero. The gradient passes through float32. */
export function cast(x: Tensor, dtype: DType): Tensor {
  checkDType('cast', dtype);
  return x.dtype === dtype ? x : copy(x, dtype);
}
