// clamp, whose bounds may be numbers or tensors.

import type { PushForward, Rule } from '../autograd/tape';
import { needsGradient, record, sumOfAll } from '../autograd/tape';
import type { DType } from '../tensor/dtype';
import { promote } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import type { Shape } from '../tensor/shape';
import { broadcastShapes } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { unaryFunctions } from './elementwise';
import { derivative, numberTensor, type Operand, requireOperand, requireTensor } from './operands';

type Bound = Operand | null | undefined;

/**
 * x between min and max, numbers or tensors that broadcast with it; either may be left out. Where min is above max the result is max, and NaN
 * stays, in x and in tensor bounds. The gradient goes to what the result was taken from: at a tie to x.
 */
export function clamp(x: Tensor, min?: Bound, max?: Bound): Tensor {
  requireTensor('clamp', x);
  for (const bound of [min, max]) if (bound !== null && bound !== undefined) requireOperand('clamp', bound, x);
  if (!(min instanceof Tensor || max instanceof Tensor)) return unaryFunctions.clamp(x, min ?? null, max ?? null);
  const all: Record<string, Tensor> = { a: x };
  if (min !== null && min !== undefined) all.low = min instanceof Tensor ? min : numberTensor(min, x.dtype);
  if (max !== null && max !== undefined) all.high = max instanceof Tensor ? max : numberTensor(max, x.dtype);
  return between(all);
}

function between(all: Record<string, Tensor>): Tensor {
  const operands = Object.values(all);
  const dtype = operands.reduce<DType>((type, t) => promote(type, t.dtype), 'bool');
  const shape = operands.reduce<Shape>((wide, t) => broadcastShapes('clamp', wide, t.shape), []);
  const nan = (name: string) => (dtype === 'float32' ? ` || isNan(${name})` : '');
  const raised = all.low ? `select(a, low, a < low${nan('low')})` : 'a';
  const crossed = all.low ? ` || (low > high && ${dtype === 'float32' ? '!isNan(a)' : 'true'})` : '';
  const value = all.high ? `select(${raised}, high, a > high${crossed}${nan('high')})` : raised;
  const compute = dtype === 'bool' ? 'uint32' : dtype;
  const y = evaluate({ name: 'clamp', expression: value, operands: all, shape, result: dtype, compute });
  if (!needsGradient(...operands)) return y;
  const inside = [all.low && 'a >= low', all.high && 'a <= high'].filter(Boolean).join(' && ');
  const conditions: Record<string, string> = {
    a: inside,
    low: all.high ? 'a < low && low < high' : 'a < low',
    high: all.low ? 'a > high || high < low' : 'a > high',
  };
  const rules = Object.keys(all).map((name) => `select(0.0, g, ${conditions[name]})`);
  const rule: Rule = (g, needs) =>
    rules.map((e, i) => needs[i] && derivative('clamp', e, { ...all, g }, [], operands[i].shape));
  const push: PushForward = (...tangents) =>
    sumOfAll(...tangents.map((t, i) => t && derivative('clamp', rules[i], { ...all, g: t }, [], shape, shape)));
  return record('clamp', operands, y, operands, rule, { push });
}
