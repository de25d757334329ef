// Choices between elements: `where`, and `clamp` with numbers or tensors as bounds.

import type { DType } from '../tensor/dtype';
import { isFloat } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { choose, computed } from './choose';
import { nonzeroTuple } from './nonzero';
import {
  type Numeric,
  numberType,
  type Operand,
  recordElementwise,
  requireOperand,
  requireTensor,
  resultType,
} from './operands';
import * as unary from './unary';

/** As `torch.where`: the elements of `a` where `condition` is true (non-zero), of `b` elsewhere; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor;
/** The positions where `condition` is true, a tensor (int32 [N]) for each dimension. Waits for the GPU. */
export function where(condition: Tensor): Promise<Tensor[]>;
export function where(condition: Tensor, a?: Operand, b?: Operand): Tensor | Promise<Tensor[]> {
  if (a === undefined && b === undefined) return nonzeroTuple(condition);
  return choose(condition, a as Operand, b as Operand);
}

/** A number as a tensor without dimensions, of the type that it stands for beside one of `dtype`. */
const numberTensor = (value: Numeric, dtype: DType): Tensor =>
  evaluate({
    name: 'number',
    expression: 's',
    operands: {},
    scalars: [value],
    shape: [],
    result: numberType(value, dtype),
  });

type Bound = Operand | null | undefined;

/**
 * As `torch.clamp`: x between min and max, numbers or tensors that broadcast with it; either may be left out. Where min is above max the result is max, and NaN
 * stays, in x and in tensor bounds. The gradient goes to what the result was taken from: at a tie to x.
 */
export function clamp(x: Tensor, min?: Bound, max?: Bound): Tensor {
  requireTensor('clamp', x);
  for (const bound of [min, max]) if (bound !== null && bound !== undefined) requireOperand('clamp', bound, x);
  if (!(min instanceof Tensor || max instanceof Tensor)) return unary.clamp(x, min ?? null, max ?? null);
  const all: Record<string, Tensor> = { a: x };
  if (min !== null && min !== undefined) all.low = min instanceof Tensor ? min : numberTensor(min, x.dtype);
  if (max !== null && max !== undefined) all.high = max instanceof Tensor ? max : numberTensor(max, x.dtype);
  return between(all);
}

function between(all: Record<string, Tensor>): Tensor {
  const operands = Object.values(all);
  const dtype = resultType(operands, 'float32');
  const shape = operands.reduce<Shape>((wide, t) => broadcastShapes('clamp', wide, t.shape), []);
  const nan = (name: string) => (isFloat(dtype) ? ` || isNan(${name})` : '');
  const raised = all.low ? `select(a, low, a < low${nan('low')})` : 'a';
  const crossed = all.low ? ` || (low > high && ${isFloat(dtype) ? '!isNan(a)' : 'true'})` : '';
  const value = all.high ? `select(${raised}, high, a > high${crossed}${nan('high')})` : raised;
  const y = evaluate({
    name: 'clamp',
    expression: value,
    operands: all,
    shape,
    result: dtype,
    compute: computed(dtype),
  });
  const inside = [all.low && 'a >= low', all.high && 'a <= high'].filter(Boolean).join(' && ');
  const conditions: Record<string, string> = {
    a: inside,
    low: all.high ? 'a < low && low < high' : 'a < low',
    high: all.low ? 'a > high || high < low' : 'a > high',
  };
  const rules = Object.keys(all).map((name) => `select(0.0, g, ${conditions[name]})`);
  return recordElementwise('clamp', operands, y, rules, all);
}
