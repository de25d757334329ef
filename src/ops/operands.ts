// What elementwise functions share: what numbers next to tensors stand for, checks of operands, and the record with its derivatives.
import type { PushForward, Rule } from '../autograd/tape';
import { needsGradient, record, sumOfAll } from '../autograd/tape';
import { Scalar } from '../gpu';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { promote } from '../tensor/dtype';
import { evaluateTo } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

/** A number, or a `scalar()` that compiled steps read again. */
export type Numeric = number | Scalar;
/** What an elementwise function takes: a tensor or a number. */
export type Operand = Tensor | Numeric;

/** The type that a number stands for next to a tensor of `dtype`: whole numbers take the tensor's, fractions float32. */
export function numberType(value: Numeric, dtype: DType): DType {
  if (value instanceof Scalar) return promote(dtype, value.type === 'f32' ? 'float32' : 'uint32');
  if (!Number.isInteger(value)) return 'float32';
  return dtype === 'bool' || (dtype === 'uint32' && value < 0) ? 'int32' : dtype;
}

/** The names among `all` that an expression mentions. */
const named = <T>(expression: string, all: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(all).filter(([name]) => new RegExp(`\\b${name}\\b`).test(expression)));

/**
 * Records the elementwise result `y` of `inputs`, given a WGSL expression a derivative: over its gradient g and the names of `all`, of which those
 * mentioned are saved. Gradients are summed down to their input's shape; a tangent may have to be repeated to the result's.
 */
export function recordElementwise(
  name: string,
  inputs: readonly Tensor[],
  y: Tensor,
  rules: readonly string[],
  all: Record<string, Tensor>,
  scalars: readonly Numeric[] = [],
  compute: DType | undefined = 'float32',
): Tensor {
  if (!needsGradient(...inputs)) return y;
  const saved = named(rules.filter((_, i) => inputs[i].requiresGrad).join(' '), all);
  const times = (expression: string, g: Tensor, to: Shape): Tensor => {
    if (expression === 'g' && sameShape(g.shape, to)) return g;
    const operands = named(expression, { ...saved, g });
    return evaluateTo(to, { name: `${name} gradient`, expression, operands, scalars, shape: y.shape, compute });
  };
  const rule: Rule = (g, needs) => rules.map((e, i) => needs[i] && times(e, g, inputs[i].shape));
  const push: PushForward = (...tangents) => sumOfAll(...tangents.map((t, i) => t && times(rules[i], t, y.shape)));
  return record(name, inputs, y, Object.values(saved), rule, { push });
}

/** Refuses what is no tensor where one has to be. */
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

/** Refuses what is neither a tensor nor a number. */
export function requireOperand(name: string, x: unknown, like: Tensor): void {
  if (x instanceof Tensor || x instanceof Scalar || typeof x === 'number') return;
  const problem = `the other operand is ${typeof x === 'string' ? `'${x}'` : String(x)}`;
  throw inputError(name, problem, { a: like }, 'Use a tensor or a number.');
}
