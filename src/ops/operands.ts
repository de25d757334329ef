// Operands of elementwise functions: what numbers beside tensors stand for, checks, and the derivatives' evaluation.
import { Scalar } from '../gpu';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { promote } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { evaluateTo } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

/** A number, or a `scalar()` that compiled steps read again. */
export type Numeric = number | Scalar;
export type Operand = Tensor | Numeric;

/** The type that a number stands for beside a tensor of `dtype`: whole numbers take the tensor's, fractions float32. */
export function numberType(value: Numeric, dtype: DType): DType {
  if (value instanceof Scalar) return promote(dtype, value.type === 'f32' ? 'float32' : 'uint32');
  if (!Number.isInteger(value)) return 'float32';
  return dtype === 'bool' || (dtype === 'uint32' && value < 0) ? 'int32' : dtype;
}

/** A number as a tensor without dimensions, of the type that it stands for beside one of `dtype`. */
export const numberTensor = (value: Numeric, dtype: DType): Tensor =>
  evaluate({
    name: 'number',
    expression: 's',
    operands: {},
    scalars: [value],
    shape: [],
    result: numberType(value, dtype),
  });

/** The names among `all` that an expression mentions. */
export const named = <T>(expression: string, all: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => new RegExp(`\\b${name}\\b`).test(expression)));

/**
 * A derivative's expression over all elements of `over`, summed down to `shape`: the gradient for an operand of that shape, or the part of a
 * result's tangent that comes from an operand's tangent g, which may have to be repeated to the result's shape.
 */
export function derivative(
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

export function requireTensor(name: string, x: unknown): asserts x is Tensor {
  if (!(x instanceof Tensor))
    throw inputError(
      name,
      `expected a tensor, got ${typeof x === 'object' ? (x?.constructor?.name ?? 'null') : typeof x}`,
      {},
      'Make one with tensor(data).',
    );
}

/** Refuses what is no number for a scalar argument. */
export function requireNumber(name: string, argument: string, s: unknown, x: Tensor): void {
  if (typeof s === 'number' || s instanceof Scalar) return;
  throw inputError(name, `${argument} is ${String(s)}`, { input: x }, 'Use a number.');
}

export function requireOperand(name: string, x: unknown, like: Tensor): void {
  if (x instanceof Tensor || x instanceof Scalar || typeof x === 'number') return;
  const problem = `the other operand is ${typeof x === 'string' ? `'${x}'` : String(x)}`;
  throw inputError(name, problem, { a: like }, 'Use a tensor or a number.');
}
