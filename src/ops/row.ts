// What a row of elementwise functions says (unary.ts, binary.ts), and the function made of it: types promoted, numbers entered as scalars,
// derivatives recorded.
import type { Library } from '../../shaders/functions';
import { inputError } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import { isFloat, promote, wgslType } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { autocasting } from './mixed';
import type { Numeric, Operand } from './operands';
import { numberType, recordElementwise, requireNumber, requireOperand, requireTensor, resultType } from './operands';

/**
 * What types go in and come out: 'float' computes in float32 and gives it; 'same' the (promoted) type of the inputs, 'number' refuses bool
 * and 'signed' also uint32; 'whole' is the identity for integers; 'compare' gives bool; 'logical' takes every input as true or false. 'bits'
 * refuses float32, and 'integer' bool as well.
 */
export type ResultType = 'float' | 'same' | 'number' | 'signed' | 'whole' | 'compare' | 'logical' | 'bits' | 'integer';

interface Row {
  value: string;
  da?: string;
  result: ResultType;
  /** The value for integers, where it is another expression. */
  int?: string;
  /** What the expressions call beyond the functions for every one. */
  library?: Library;
}

export interface UnaryRow extends Row {
  /** Names of scalar arguments with their defaults, called s, t, u, v in the expressions. */
  scalars?: Record<string, number>;
}

/** Of two operands. */
export interface BinaryRow extends Row {
  db?: string;
  /** Second numbers that the operation has no integer result for. */
  refused?: (b: number) => boolean;
}

const rows = new WeakMap<object, UnaryRow | BinaryRow>();

/** The row that an elementwise function is made of; tests look at it. @internal */
export const rowOf = (f: object): UnaryRow | BinaryRow | undefined => rows.get(f);

function made<F extends object>(name: string, row: UnaryRow | BinaryRow, f: F): F {
  const whole = autocasting(name, f);
  rows.set(whole, row);
  return whole;
}

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

/** A function of one tensor; without `scalars` in its row it takes no more. */
export function unary(name: string, row: UnaryRow & { scalars?: undefined }): (x: Tensor) => Tensor;
export function unary(name: string, row: UnaryRow): (x: Tensor, ...scalars: (Numeric | null)[]) => Tensor;
export function unary(name: string, row: UnaryRow) {
  const parameters = Object.entries(row.scalars ?? {});
  const formOf = formsOf(name, row);
  return made(name, row, (x: Tensor, ...given: (Numeric | null | undefined)[]): Tensor => {
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
    const { library } = row;
    const y = evaluate({ name, expression, operands: { a: x }, scalars, shape: x.shape, result, compute, library });
    return da ? recordElementwise(name, [x], y, [da], { a: x, y }, scalars, 'float32', library) : y;
  });
}

/** A function of two operands. */
export function binary(name: string, row: BinaryRow) {
  const formOf = formsOf(name, row);
  return made(name, row, (first: Operand, second: Operand): Tensor => {
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
    const { library } = row;
    const y = evaluate({ name, expression, operands, scalars, shape, result, compute, library });
    if (!da || !db) return y;
    const rules = a && b ? [da, db] : [a ? da : db];
    const inputs = a && b ? [a, b] : [like];
    return recordElementwise(name, inputs, y, rules, { ...operands, y }, scalars, 'float32', library);
  });
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
