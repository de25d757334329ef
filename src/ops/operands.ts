// What elementwise functions share: what numbers next to tensors stand for, checks of operands, and the record with its derivatives.
import { at } from '../../shaders/checked';
import { derivative } from '../../shaders/derivative';
import type { Library } from '../../shaders/functions';
import type { PushForward, Rule } from '../autograd/tape';
import { needsGradient, record, recordLinear, sumOfAll } from '../autograd/tape';
import { Scalar } from '../gpu';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { floatOf, isFloat, promote } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { evaluateTo, sumTo } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { broadcastShapes, sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { expand } from '../tensor/views';

/** A number, or a `scalar()` that compiled steps read again. */
export type Numeric = number | Scalar;
/** What an elementwise function takes: a tensor or a number. */
export type Operand = Tensor | Numeric;

/** The type that a number stands for next to a tensor of `dtype`: whole numbers take the tensor's, fractions a float type, by default float32. */
export function numberType(value: Numeric, dtype: DType): DType {
  if (isFloat(dtype)) return dtype;
  if (value instanceof Scalar) return promote(dtype, value.type === 'f32' ? 'float32' : 'uint32');
  if (!Number.isInteger(value)) return 'float32';
  return dtype === 'bool' || (dtype === 'uint32' && value < 0) ? 'int32' : dtype;
}

/**
 * The type of a result of `operands`, as in PyTorch: floats over integers, and among floats those with dimensions over those without, and over
 * numbers. `like` is the type that numbers stand next to.
 */
export function resultType(operands: readonly Operand[], like: DType): DType {
  let [all, floats, solid]: (DType | null)[] = [null, null, null];
  const joined = (a: DType | null | undefined, b: DType) => (a ? promote(a, b) : b);
  for (const x of operands) {
    const isTensor = x instanceof Tensor;
    const type = isTensor ? x.dtype : numberType(x, like);
    all = joined(all, type);
    if (!isTensor || !isFloat(type)) continue;
    floats = joined(floats, type);
    if (x.ndim) solid = joined(solid, type);
  }
  return solid ?? floats ?? all ?? like;
}

const words = new Map<string, ReadonlySet<string>>();

/** The names among `all` that an expression mentions. */
function named<T>(expression: string, all: Readonly<Record<string, T>>): Record<string, T> {
  let mentioned = words.get(expression);
  if (!mentioned) words.set(expression, (mentioned = new Set(expression.match(/\w+/g))));
  const found: Record<string, T> = {};
  for (const name in all) if (mentioned.has(name)) found[name] = all[name] as T;
  return found;
}

/**
 * Records the elementwise result `y` of `inputs`, given a WGSL expression a derivative: over its gradient g and the names of `all`, of which those
 * mentioned are saved. Gradients are summed down to their input's shape; a tangent may have to be repeated to the result's. `library`: what the
 * derivatives call beyond the functions for every expression.
 */
export function recordElementwise(
  name: string,
  inputs: readonly Tensor[],
  y: Tensor,
  rules: readonly (string | null)[],
  all: Record<string, Tensor>,
  scalars: readonly Numeric[] = [],
  compute: DType | undefined = 'float32',
  library?: Library,
): Tensor {
  if (!needsGradient(...inputs)) return y;
  const saved = named(rules.filter((_, i) => at(inputs, i).requiresGrad).join(' '), all);
  const times = (expression: string, g: Tensor, to: Shape, result: DType): Tensor => {
    if (expression === 'g' && sameShape(g.shape, to)) return g;
    const operands = named(expression, { ...saved, g });
    const e = { name: `${name} gradient`, expression, operands, scalars, shape: y.shape, compute, result, library };
    return evaluateTo(to, e);
  };
  const rule: Rule = (g, needs) =>
    rules.map((e, i) => {
      if (!needs[i] || !e) return null;
      const { shape, dtype } = at(inputs, i);
      return times(e, g, shape, floatOf(dtype));
    });
  const push: PushForward = (...tangents) => {
    const terms = tangents.map((t, i) => {
      const e = rules[i];
      return t && e ? times(e, t, y.shape, floatOf(y.dtype)) : null;
    });
    return terms.some(Boolean)
      ? sumOfAll(...terms)
      : evaluate({ name, expression: '0.0', operands: {}, shape: y.shape });
  };
  const differentiable: Rule = (g, needs) =>
    rules.map((e, i) => {
      if (!needs[i] || !e) return null;
      const product = expression(`${name} gradient`, e, named(e, { ...saved, g }), scalars, y.shape, library);
      return summedTo(product, at(inputs, i).shape);
    });
  return record(name, inputs, y, Object.values(saved), rule, { push, differentiable });
}

/** The sum over the dimensions along which a tensor of `shape` was broadcast to x's, recorded. */
export const summedTo = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape)
    ? x
    : recordLinear(
        'sum to',
        x,
        (t) => sumTo(t, shape),
        (g) => expand(g, x.shape),
      );

/**
 * A WGSL expression of tensors that broadcast to `shape`, in float32, recorded: its derivatives are made of its text (shaders/derivative.ts), and
 * theirs of theirs. s, t, u, v are the scalars. `library`: what it calls beyond the functions for every expression.
 */
export function expression(
  name: string,
  text: string,
  operands: Record<string, Tensor>,
  scalars: readonly Numeric[] = [],
  shape: Shape = Object.values(operands).reduce<Shape>((all, x) => broadcastShapes(name, all, x.shape), []),
  library?: Library,
): Tensor {
  // In rules g is the gradient of the result: an operand of that name takes another.
  const free = at(
    [...'hkmnpqr'].filter((letter) => !(letter in operands)),
    0,
  );
  const own = operands.g ? text.replace(/\bg\b/g, free) : text;
  const renamed = Object.fromEntries(Object.entries(operands).map(([key, x]) => [key === 'g' ? free : key, x]));
  const y = evaluate({ name, expression: own, operands: renamed, scalars, shape, compute: 'float32', library });
  const inputs = Object.values(renamed);
  if (!needsGradient(...inputs)) return y;
  const rules = Object.entries(renamed).map(([key, x]) => {
    const slope = x.requiresGrad ? derivative(own, key, library?.derivatives) : null;
    return slope && (slope === '1.0' ? 'g' : `g * ${slope}`);
  });
  return recordElementwise(name, inputs, y, rules, renamed, scalars, 'float32', library);
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
