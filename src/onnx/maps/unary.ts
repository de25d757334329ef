// Elementwise functions of one tensor: rows of ops/table.ts.
import { rowOf, type UnaryRow } from '../../ops/row';
import * as rows from '../../ops/unary';
import type { Tensor } from '../../tensor/tensor';
import { type Draft, typeOf } from '../draft';
import { as, type Mapping, type Mappings, unmapped } from './mapping';
import { special } from './special';

/** From the input's value and the numbers of the row. */
type Formula = (e: Draft, a: string, ...scalars: number[]) => string;

/** An operator with these attributes, named as ONNX has it. */
const plain =
  (op: string, attributes: (...scalars: number[]) => Record<string, number | string> = () => ({})): Formula =>
  (e, a, ...scalars) => {
    const given = Object.entries(attributes(...scalars));
    return e.node(op, [a], Object.fromEntries(given.map(([k, v]) => [k, typeof v === 'number' ? { float: v } : v])));
  };

/** An operator between the input and a number. */
const by =
  (op: string, number: number): Formula =>
  (e, a) =>
    e.node(op, [a, e.number(number)]);

const then =
  (first: Formula, second: Formula): Formula =>
  (e, a, ...scalars) =>
    second(e, first(e, a, ...scalars));

/** Whole parts are taken of floats; integers are whole. */
const trunc: Formula = (e, a) => e.node('Mul', [e.node('Sign', [a]), e.node('Floor', [e.node('Abs', [a])])]);
const clip =
  (least: number | null, most: number | null): Formula =>
  (e, a) =>
    e.node('Clip', [a, least === null ? null : e.number(least), most === null ? null : e.number(most)]);
const normal: Formula = (e, a) =>
  by('Mul', 0.5)(e, by('Add', 1)(e, e.node('Erf', [e.node('Mul', [a, e.number(Math.SQRT1_2)])])));

const { trigamma, ...specials } = special;

const FORMULAS: Readonly<Record<string, Formula>> = {
  ...specials,
  polygamma: (e, a, n = 0) => {
    if (n > 1) throw unmapped(e, 'is a higher derivative');
    return n ? trigamma(e, a) : special.digamma(e, a);
  },
  neg: plain('Neg'),
  abs: plain('Abs'),
  sign: plain('Sign'),
  square: (e, a) => e.node('Mul', [a, a]),
  exp: plain('Exp'),
  exp2: then(by('Mul', Math.LN2), plain('Exp')),
  expm1: then(plain('Exp'), by('Sub', 1)),
  log: plain('Log'),
  log2: then(plain('Log'), by('Mul', Math.LOG2E)),
  log10: then(plain('Log'), by('Mul', Math.LOG10E)),
  log1p: then(by('Add', 1), plain('Log')),
  sqrt: plain('Sqrt'),
  rsqrt: then(plain('Sqrt'), plain('Reciprocal')),
  reciprocal: plain('Reciprocal'),
  sin: plain('Sin'),
  cos: plain('Cos'),
  tan: plain('Tan'),
  asin: plain('Asin'),
  acos: plain('Acos'),
  atan: plain('Atan'),
  sinh: plain('Sinh'),
  cosh: plain('Cosh'),
  tanh: plain('Tanh'),
  asinh: plain('Asinh'),
  acosh: plain('Acosh'),
  atanh: plain('Atanh'),
  erf: plain('Erf'),
  erfc: (e, a) => e.node('Sub', [e.number(1), e.node('Erf', [a])]),
  floor: plain('Floor'),
  ceil: plain('Ceil'),
  round: plain('Round'),
  trunc,
  relu: plain('Relu'),
  relu6: clip(0, 6),
  sigmoid: plain('Sigmoid'),
  logSigmoid: then(plain('Neg'), then(plain('Softplus'), plain('Neg'))),
  silu: (e, a) => e.node('Mul', [a, e.node('Sigmoid', [a])]),
  mish: plain('Mish'),
  softsign: plain('Softsign'),
  selu: plain('Selu'),
  hardSwish: plain('HardSwish'),
  geluErf: plain('Gelu', () => ({ approximate: 'none' })),
  geluTanh: plain('Gelu', () => ({ approximate: 'tanh' })),
  leakyRelu: plain('LeakyRelu', (alpha = 0) => ({ alpha })),
  elu: plain('Elu', (alpha = 1) => ({ alpha })),
  celu: plain('Celu', (alpha = 1) => ({ alpha })),
  softplus: (e, a, beta = 1, threshold = 20) => {
    const scaled = beta === 1 ? a : e.node('Mul', [a, e.number(beta)]);
    const soft = e.node('Softplus', [scaled]);
    const y = beta === 1 ? soft : e.node('Div', [soft, e.number(beta)]);
    return e.node('Where', [e.node('Greater', [scaled, e.number(threshold)]), a, y]);
  },
  hardSigmoid: plain('HardSigmoid', (alpha = 0, beta = 0) => ({ alpha, beta })),
  hardTanh: (e, a, min = -1, max = 1) => clip(min, max)(e, a),
  hardshrink: (e, a, lambd = 0) =>
    e.node('Where', [e.node('LessOrEqual', [e.node('Abs', [a]), e.number(lambd)]), e.number(0), a]),
  softshrink: (e, a, lambd = 0) =>
    e.node('Mul', [e.node('Sign', [a]), e.node('Relu', [e.node('Sub', [e.node('Abs', [a]), e.number(lambd)])])]),
  tanhshrink: (e, a) => e.node('Sub', [a, e.node('Tanh', [a])]),
  frac: (e, a) => e.node('Sub', [a, trunc(e, a)]),
  deg2rad: by('Mul', Math.PI / 180),
  rad2deg: by('Mul', 180 / Math.PI),
  logit: (e, a, eps = -1) => {
    const x = eps < 0 ? a : clip(eps, 1 - eps)(e, a);
    return e.node('Log', [e.node('Div', [x, e.node('Sub', [e.number(1), x])])]);
  },
  ndtr: normal,
  nanToNum: (e, a, nan = 0, posinf = 0, neginf = 0) => {
    const positive = e.node('IsInf', [a], { detect_negative: 0 });
    const negative = e.node('IsInf', [a], { detect_positive: 0 });
    const finite = e.node('Where', [positive, e.number(posinf), e.node('Where', [negative, e.number(neginf), a])]);
    return e.node('Where', [e.node('IsNaN', [a]), e.number(nan), finite]);
  },
};

/** What keeps integers as they are, or has operators for them. */
const OF_INTEGERS: Readonly<Record<string, Formula>> = {
  ...{ neg: plain('Neg'), abs: plain('Abs'), sign: plain('Sign'), bitwiseNot: plain('BitwiseNot') },
  square: (e, a) => e.node('Mul', [a, a]),
  ...Object.fromEntries(['floor', 'ceil', 'round', 'trunc'].map((name) => [name, plain('Identity')])),
};

const all = { ...rows };

const formula =
  (name: keyof typeof rows): Mapping =>
  (e, result, input, ...given) => {
    const [y, x] = [result as Tensor, input as Tensor];
    const standards = (rowOf(all[name]) as UnaryRow).scalars ?? {};
    const scalars = Object.values(standards).map((standard, i) => given[i] ?? standard);
    if (!scalars.every((s) => typeof s === 'number')) throw unmapped(e, 'has a number that changes between calls');
    const found = typeOf(y) === 'float32' ? FORMULAS[name] : OF_INTEGERS[name];
    if (!found) throw unmapped(e, `computes in ${y.dtype}`);
    return found(e, as(e, x, typeOf(y)), ...scalars);
  };

/** Whether the sign is set, also of −0. */
export const negative = (e: Draft, x: string): string =>
  e.node('Or', [e.node('Less', [x, e.number(0)]), e.node('Equal', [e.node('Reciprocal', [x]), e.number(-Infinity)])]);

/** Comparisons with a number, and truth values. */
const asFloat =
  (f: Formula): Mapping =>
  (e, _, input) =>
    f(e, as(e, input as Tensor, 'float32'));

const names = [...Object.keys(FORMULAS), 'bitwiseNot'] as (keyof typeof rows)[];

export const unary: Mappings = {
  ...Object.fromEntries(names.map((name) => [name, formula(name)])),
  clamp: (e, result, input, min, max) => {
    const type = typeOf(result as Tensor);
    const bound = (x: unknown) => (typeof x === 'number' && Number.isFinite(x) ? e.number(x, type) : null);
    return e.node('Clip', [as(e, input as Tensor, type), bound(min), bound(max)]);
  },
  threshold: (e, result, input, threshold, value) => {
    const type = typeOf(result as Tensor);
    const x = as(e, input as Tensor, type);
    const number = (n: unknown) => e.number(typeof n === 'number' ? n : 0, type);
    return e.node('Where', [e.node('LessOrEqual', [x, number(threshold)]), number(value), x]);
  },
  logicalNot: (e, _, input) => e.node('Not', [as(e, input as Tensor, 'bool')]),
  signbit: (e, _, input) => negative(e, as(e, input as Tensor, 'float32')),
  isnan: asFloat(plain('IsNaN')),
  isinf: asFloat(plain('IsInf')),
  isfinite: asFloat((e, a) => e.node('Not', [e.node('Or', [e.node('IsNaN', [a]), e.node('IsInf', [a])])])),
};
