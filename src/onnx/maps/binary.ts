// Elementwise functions of two operands, choices between elements, and conversions of type.
import type { castTo } from '../../autograd/cast';
import { type Operand, resultType } from '../../ops/operands';
import { Tensor } from '../../tensor/tensor';
import { type Draft, typeOf } from '../draft';
import type { ElementType } from '../format';
import { as, type Mapping, type Mappings, of, unmapped } from './mapping';
import { negative } from './unary';

/** An operand in a type. */
function operand(e: Draft, x: Operand, type: ElementType): string {
  if (x instanceof Tensor) return as(e, x, type);
  if (typeof x === 'number') return e.number(x, type);
  throw unmapped(e, 'has a number that changes between calls');
}

type Formula = (e: Draft, a: string, b: string, type: ElementType) => string;

const plain =
  (op: string): Formula =>
  (e, a, b) =>
    e.node(op, [a, b]);

const floored: Formula = (e, a, b) => e.node('Floor', [e.node('Div', [a, b])]);
/** a − b·⌊a/b⌋. */
const remainder: Formula = (e, a, b, type) =>
  type === 'float32'
    ? e.node('Sub', [a, e.node('Mul', [b, floored(e, a, b, type)])])
    : e.node('Mod', [a, b], { fmod: 0 });

/** max(a, b) + log(1 + e^(−|a − b|)), in units of a logarithm. */
const logarithmOfSum =
  (unit: number): Formula =>
  (e, a, b) => {
    const distance = e.node('Mul', [e.node('Abs', [e.node('Sub', [a, b])]), e.number(-unit)]);
    const more = e.node('Log', [e.node('Add', [e.node('Exp', [distance]), e.number(1)])]);
    return e.node('Add', [e.node('Max', [a, b]), unit === 1 ? more : e.node('Div', [more, e.number(unit)])]);
  };

/** a · f(b), 0 where a is. */
const timesLog =
  (log: (e: Draft, b: string) => string): Formula =>
  (e, a, b) => {
    const zero = e.number(0);
    const product = e.node('Where', [e.node('Equal', [a, zero]), zero, e.node('Mul', [a, log(e, b)])]);
    return e.node('Where', [e.node('IsNaN', [b]), b, product]);
  };

/** Computed in the type of the result. */
const FORMULAS: Readonly<Record<string, Formula>> = {
  add: plain('Add'),
  sub: plain('Sub'),
  mul: plain('Mul'),
  div: plain('Div'),
  pow: plain('Pow'),
  floatPower: plain('Pow'),
  maximum: plain('Max'),
  minimum: plain('Min'),
  remainder,
  fmod: (e, a, b) => e.node('Mod', [a, b], { fmod: 1 }),
  floorDiv: (e, a, b, type) =>
    type === 'float32' ? floored(e, a, b, type) : e.node('Div', [e.node('Sub', [a, remainder(e, a, b, type)]), b]),
  truncDiv: (e, a, b, type) => {
    const quotient = e.node('Div', [a, b]);
    if (type !== 'float32') return quotient;
    return e.node('Mul', [e.node('Sign', [quotient]), e.node('Floor', [e.node('Abs', [quotient])])]);
  },
  squaredDifference: (e, a, b) => {
    const difference = e.node('Sub', [a, b]);
    return e.node('Mul', [difference, difference]);
  },
  hypot: (e, a, b) => e.node('Sqrt', [e.node('Add', [e.node('Mul', [a, a]), e.node('Mul', [b, b])])]),
  logaddexp: logarithmOfSum(1),
  logaddexp2: logarithmOfSum(Math.LN2),
  atan2: (e, y, x) => {
    const zero = e.number(0);
    const half = e.node('Where', [negative(e, y), e.number(-Math.PI), e.number(Math.PI)]);
    const angle = e.node('Atan', [e.node('Div', [y, x])]);
    const other = e.node('Where', [negative(e, x), e.node('Add', [angle, half]), angle]);
    const upright = e.node('Where', [e.node('Equal', [y, zero]), other, e.node('Mul', [half, e.number(0.5)])]);
    // Where both are zero the quotient is NaN: the angle is 0 or π, with the sign of y.
    const none = e.node('Where', [negative(e, x), half, y]);
    const isNone = e.node('And', [e.node('Equal', [x, zero]), e.node('Equal', [y, zero])]);
    return e.node('Where', [isNone, none, e.node('Where', [e.node('Equal', [x, zero]), upright, other])]);
  },
  copysign: (e, a, b) => {
    const size = e.node('Abs', [a]);
    return e.node('Where', [negative(e, b), e.node('Neg', [size]), size]);
  },
  heaviside: (e, a, b, type) => {
    const zero = e.number(0, type);
    const step = e.cast(e.node('Greater', [a, zero]), type);
    return e.node('Where', [e.node('Equal', [a, zero]), b, step]);
  },
  ldexp: (e, a, b) => e.node('Mul', [a, e.node('Pow', [e.number(2), b])]),
  xlogy: timesLog((e, b) => e.node('Log', [b])),
  xlog1py: timesLog((e, b) => e.node('Log', [e.node('Add', [b, e.number(1)])])),
  bitwiseLeftShift: (e, a, b, type) => e.node('Mul', [a, e.node('Pow', [e.number(2, type), b])]),
  bitwiseRightShift: (e, a, b, type) => {
    const unit = e.node('Pow', [e.number(2, type), b]);
    return e.node('Div', [e.node('Sub', [a, e.node('Mod', [a, unit], { fmod: 0 })]), unit]);
  },
};

const formula =
  (f: Formula): Mapping =>
  (e, result, a, b) => {
    const type = typeOf(result as Tensor);
    return f(e, operand(e, a as Operand, type), operand(e, b as Operand, type), type);
  };

const compared =
  (op: string, negated = false): Mapping =>
  (e, _, first, second) => {
    const [a, b] = [first as Operand, second as Operand];
    const found = [a, b].find((x) => x instanceof Tensor);
    const type = resultType([a, b], found?.dtype ?? 'float32');
    // ONNX compares numbers alone by size.
    const common = typeOf({ dtype: type === 'bool' ? 'int32' : type });
    const y = e.node(op, [operand(e, a, common), operand(e, b, common)]);
    return negated ? e.node('Not', [y]) : y;
  };

const logical =
  (op: string): Mapping =>
  (e, _, a, b) =>
    e.node(op, [operand(e, a as Operand, 'bool'), operand(e, b as Operand, 'bool')]);

const bits =
  (op: string): Mapping =>
  (e, result, a, b) => {
    const type = typeOf(result as Tensor);
    const given = [operand(e, a as Operand, type), operand(e, b as Operand, type)];
    return e.node(type === 'bool' ? op : `Bitwise${op}`, given);
  };

export const binary: Mappings = {
  ...Object.fromEntries(Object.entries(FORMULAS).map(([name, f]) => [name, formula(f)])),
  eq: compared('Equal'),
  ne: compared('Equal', true),
  lt: compared('Less'),
  le: compared('LessOrEqual'),
  gt: compared('Greater'),
  ge: compared('GreaterOrEqual'),
  logicalAnd: logical('And'),
  logicalOr: logical('Or'),
  logicalXor: logical('Xor'),
  bitwiseAnd: bits('And'),
  bitwiseOr: bits('Or'),
  bitwiseXor: bits('Xor'),
  prelu: of<(x: Operand, weight: Operand) => Tensor>((e, _, x, weight) => {
    const a = operand(e, x, 'float32');
    let slope = operand(e, weight, 'float32');
    const perChannel = x instanceof Tensor && weight instanceof Tensor && weight.ndim === 1 && x.ndim > 2;
    if (perChannel && weight.size > 1)
      slope = e.reshape(slope, weight.shape, [weight.size, ...x.shape.slice(2).map(() => 1)]);
    return e.node('Where', [e.node('Greater', [a, e.number(0)]), a, e.node('Mul', [slope, a])]);
  }),
  lerp: of<(x: Tensor, end: Tensor, weight: Operand) => Tensor>((e, _, x, end, weight) => {
    const [a, b] = [as(e, x, 'float32'), as(e, end, 'float32')];
    return e.node('Add', [a, e.node('Mul', [operand(e, weight, 'float32'), e.node('Sub', [b, a])])]);
  }),
  ...Object.fromEntries(
    (['addcmul', 'addcdiv'] as const).map((name) => [
      name,
      of<(x: Tensor, a: Tensor, b: Tensor, options?: { value?: number }) => Tensor>((e, y, x, a, b, o) => {
        const type = typeOf(y);
        const both = e.node(name === 'addcmul' ? 'Mul' : 'Div', [as(e, a, type), as(e, b, type)]);
        const value = o?.value ?? 1;
        return e.node('Add', [as(e, x, type), value === 1 ? both : e.node('Mul', [both, e.number(value, type)])]);
      }),
    ]),
  ),
  where: of<(condition: Tensor, a: Operand, b: Operand) => Tensor>((e, y, condition, a, b) => {
    const type = typeOf(y);
    return e.node('Where', [as(e, condition, 'bool'), operand(e, a, type), operand(e, b, type)]);
  }),
  cast: of<typeof castTo>((e, y, x) => as(e, x, typeOf(y))),
};
