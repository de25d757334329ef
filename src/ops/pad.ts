// Adding elements at the borders of a tensor, and taking them away.

import { at } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import { record, recordLinear, sumOfAll } from '../autograd/tape';
import { checked, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { tensor } from '../tensor/create';
import { fillNumber } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { embed, slice } from '../tensor/views';
import { alongAxis, mapFor } from './axis-map';
import { indexSelect } from './index-select';
import { narrow } from './views';

/** 'reflect' mirrors without repeating the border, 'symmetric' with it; 'edge' (or 'replicate') repeats it; 'wrap' (or 'circular') goes round. */
export type PadMode = 'constant' | 'reflect' | 'symmetric' | 'edge' | 'replicate' | 'wrap' | 'circular';

/** Options of `pad`. */
export interface PadOptions {
  /** How the border is continued; 'constant' by default. */
  mode?: PadMode;
  /** What mode 'constant' adds; 0 by default. */
  value?: number;
}

const OPTIONS: OptionTable<PadOptions> = {
  mode: word('constant', 'reflect', 'symmetric', 'edge', 'replicate', 'wrap', 'circular'),
  value: { what: 'a number', fits: (value) => typeof value === 'number' },
};

type Amounts = readonly (readonly [number, number])[];

/** The amounts [before, after] of each dimension, from either form. */
function amountsOf(x: Tensor, given: Amounts | readonly number[]): Amounts {
  const list = Array.isArray(given) ? (given as readonly unknown[]) : [];
  if (list.length && list.every((n) => Number.isInteger(n)) && list.length % 2 === 0 && list.length <= 2 * x.ndim)
    return x.shape.map((_, i) => {
      const first = 2 * (x.ndim - 1 - i);
      return [(list[first] as number) ?? 0, (list[first + 1] as number) ?? 0];
    });
  const nested = list.length === x.ndim && list.every((n) => Array.isArray(n) && n.length === 2);
  if (!Array.isArray(given) || !nested || list.flat().some((n) => !Number.isInteger(n)))
    throw inputError(
      'pad',
      `the amounts are ${JSON.stringify(given)}`,
      { input: x },
      `Give [before, after] for each of ${x.ndim} dimensions, or PyTorch's flat list, the last dimension first; integers.`,
    );
  return given as Amounts;
}

/**
 * Adds elements before and after each dimension, and takes them away where an amount is negative: `amounts[i]` = [before, after] of dimension i, in
 * the order of the dimensions; or a flat list as of `torch.nn.functional.pad`, which begins with the last dimension: [left, right, top, bottom].
 * 'constant' adds `value`, the other modes repeat what is there.
 */
export const pad = operation(
  'pad',
  function pad(x: Tensor, amounts: Amounts | readonly number[], options: PadOptions = {}): Tensor {
    const { mode = 'constant', value = 0 } = checked('pad', options, OPTIONS);
    requireTensors('pad', { input: x });
    const sides = amountsOf(x, amounts);
    const odd = sides.findIndex(([before, after], i) => at(x.shape, i) + before + after < 0);
    if (odd >= 0)
      throw inputError('pad', `dimension ${odd} of size ${x.shape[odd]} cannot lose so many elements`, { input: x });
    if (mode !== 'constant')
      return sides.reduce((y, [before, after], axis) => padAxis(y, axis, before, after, mode), x);
    const inner = sides.reduce((y, [before, after], axis) => cropped(y, axis, before, after), x);
    if (inner !== x && sides.every((pair) => Math.max(...pair) <= 0)) return inner;
    const steps = inner.shape.map((count, i) => ({ start: Math.max(0, at(sides, i)[0]), count, step: 1 }));
    const shape = sides.map(([before, after], i) => at(x.shape, i) + before + after);
    const back = (g: Tensor) => slice(g, steps);
    const embedded = (t: Tensor, v: number) => embed('pad', t, shape, steps, v);
    return record('pad', [inner], embedded(inner, fillNumber('pad', value, x.dtype)), [], (g) => [back(g)], {
      push: (t) => sumOfAll(t && embedded(t, 0)),
      differentiable: (g) => [recordLinear('pad gradient', g, back, (t) => embedded(t, 0))],
    });
  },
);

/** Without the elements that negative amounts take away. */
function cropped(x: Tensor, axis: number, before: number, after: number): Tensor {
  const [front, back] = [Math.max(0, -before), Math.max(0, -after)];
  if (!front && !back) return x;
  // What goes beyond the other end is made up for by what the other side adds.
  const n = at(x.shape, axis);
  return narrow(x, axis, Math.min(front, n), Math.max(0, n - front - back));
}

function padAxis(x: Tensor, axis: number, before: number, after: number, mode: PadMode): Tensor {
  if (!before && !after) return x;
  const n = at(x.shape, axis);
  const most = mode === 'reflect' ? n - 1 : mode === 'edge' || mode === 'replicate' ? (n ? Infinity : 0) : n;
  if (Math.max(before, after) > most)
    throw inputError(
      'pad',
      `mode '${mode}' cannot add ${Math.max(before, after)} elements to dimension ${axis} of size ${n}`,
      { input: x },
      `At most ${most} on a side.`,
    );
  // Going round is to the other end of what is left; the other modes see what was taken away.
  const round = mode === 'wrap' || mode === 'circular';
  const [first, left] = round ? [Math.max(0, -before), n + Math.min(0, before) + Math.min(0, after)] : [0, n];
  if (left < 1) throw inputError('pad', `nothing is left of dimension ${axis}`, { input: x });
  const position = (o: number): number => {
    const i = o - before;
    if (round) return first + ((((i - first) % left) + left) % left);
    if (mode === 'edge' || mode === 'replicate') return Math.max(0, Math.min(n - 1, i));
    const skip = mode === 'reflect' ? 1 : 0;
    return i < 0 ? skip - 1 - i : i >= n ? 2 * n - 1 - skip - i : i;
  };
  const outputs = n + before + after;
  if (x.dtype !== 'float32')
    return indexSelect(x, axis, tensor(Int32Array.from({ length: outputs }, (_, o) => position(o))));
  const map = mapFor(['pad', mode, before, after], n, outputs, (o) => [[position(o), 1]]);
  return alongAxis('pad', x, axis, map);
}
