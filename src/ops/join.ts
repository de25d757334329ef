// Joining tensors, splitting them, and adding elements at their borders.
import type { PushForward, Rule } from '../autograd/tape';
import { record } from '../autograd/tape';
import { checked, is } from '../gpu/options';
import { inputError, requireNumbers } from '../tensor/context';
import { zeros } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import { promote } from '../tensor/dtype';
import { copy } from '../tensor/elementwise';
import { existingAxis, normalizeAxis, requireList, sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireTensors } from '../tensor/tensor';
import { embed, place, slice, stepsFrom } from '../tensor/views';
import { expand, flip, narrow, unsqueeze } from './views';

/** Checks that tensors can be joined along a dimension. */
function checkJoin(op: string, tensors: readonly Tensor[], axis: number): number {
  if (!Array.isArray(tensors) || !tensors.length)
    throw inputError(op, 'no list of tensors, or an empty one', {}, 'Give an array of at least one.');
  requireTensors(op, Object.fromEntries(tensors.map((t, i) => [`tensor ${i}`, t])));
  const [first] = tensors;
  const at = normalizeAxis(op, axis, first.shape);
  const others = (t: Tensor) => t.shape.filter((_, i) => i !== at);
  const odd = tensors.findIndex((t) => t.ndim !== first.ndim || !sameShape(others(t), others(first)));
  if (odd > 0 || first.ndim === 0)
    throw inputError(
      op,
      `the tensors cannot be joined along dimension ${at}`,
      { 'tensor 0': first, ...(odd > 0 && { [`tensor ${odd}`]: tensors[odd] }) },
      'They agree in all other dimensions, and have at least one; stack makes a new dimension.',
    );
  return at;
}

/** `concat`, not recorded. */
function joined(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  const dtype = tensors.reduce<DType>((type, t) => promote(type, t.dtype), first.dtype);
  const length = tensors.reduce((sum, t) => sum + t.shape[axis], 0);
  const out = empty('concat', first.shape.with(axis, length), dtype);
  let start = 0;
  for (const t of tensors) {
    place(slice(out, stepsFrom(start, axis, t.shape)), t.dtype === dtype ? t : copy(t, dtype));
    start += t.shape[axis];
  }
  return out;
}

/** As `torch.cat`: joins tensors along a dimension; all other dimensions agree. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const at = checkJoin('concat', tensors, axis);
  const tangentOf = (t: Tensor | null, i: number) => t ?? zeros(tensors[i].shape);
  const push: PushForward = (...tangents) => joined(tangents.map(tangentOf), at);
  const rule: Rule = (g, needs) => {
    let end = 0;
    return tensors.map((t, k) => {
      end += t.shape[at];
      return needs[k] && slice(g, stepsFrom(end - t.shape[at], at, t.shape));
    });
  };
  return record('concat', tensors, joined(tensors, at), [], rule, { push });
}

/** As `torch.stack`: joins tensors of the same shape along a new dimension. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (!tensors.length) throw inputError('stack', 'an empty list of tensors', {}, 'Give at least one.');
  const odd = tensors.findIndex((t) => !sameShape(t.shape, tensors[0].shape));
  if (odd > 0)
    throw inputError(
      'stack',
      'tensors of different shapes',
      { 'tensor 0': tensors[0], [`tensor ${odd}`]: tensors[odd] },
      'concat joins along a dimension that is there.',
    );
  return concat(
    tensors.map((t) => unsqueeze(t, axis)),
    axis < 0 ? axis : normalizeAxis('stack', axis, [...tensors[0].shape, 1]),
  );
}

/** As `torch.split`, parts along a dimension: of `sizes` elements each (the last may be shorter), or of the listed sizes. Views. */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
  const at = existingAxis('split', axis, x.shape);
  const length = x.shape[at];
  if (typeof sizes === 'number' && !(Number.isInteger(sizes) && sizes > 0))
    throw inputError('split', `parts of ${sizes} elements`, { input: x }, 'Use a positive integer.');
  const list =
    typeof sizes === 'number'
      ? Array.from({ length: Math.max(1, Math.ceil(length / sizes)) }, (_, i) => Math.min(sizes, length - i * sizes))
      : requireList('split', sizes);
  const total = list.reduce((sum, n) => sum + n, 0);
  if (total !== length)
    throw inputError(
      'split',
      `parts of [${list.join(', ')}] are ${total} elements, dimension ${at} has ${length}`,
      { input: x },
      'A single number makes parts of that size, and a shorter last one.',
    );
  let start = 0;
  return list.map((n) => {
    const part = narrow(x, at, start, n);
    start += n;
    return part;
  });
}

/** At most `chunks` parts of equal size along a dimension, the last may be shorter, as `torch.chunk`. Views. */
export function chunk(x: Tensor, chunks: number, axis = 0): Tensor[] {
  const at = existingAxis('chunk', axis, x.shape);
  if (!(Number.isInteger(chunks) && chunks > 0)) throw inputError('chunk', `${chunks} parts`, { input: x });
  return split(x, Math.max(1, Math.ceil(x.shape[at] / chunks)), at);
}

/** 'reflect' mirrors without repeating the border, 'symmetric' with it; 'edge' (or 'replicate') repeats it; 'wrap' (or 'circular') goes round. */
export type PadMode = 'constant' | 'reflect' | 'symmetric' | 'edge' | 'replicate' | 'wrap' | 'circular';

/**
 * Adds elements before and after each dimension: `amounts[i]` = [before, after] of dimension i, in the order of the dimensions.
 * 'constant' adds `value`, the other modes repeat what is there.
 */
export function pad(
  x: Tensor,
  amounts: readonly (readonly [number, number])[],
  options: { mode?: PadMode; value?: number } = {},
): Tensor {
  const { mode = 'constant', value = 0 } = checked('pad', options, { mode: is.text, value: is.number });
  requireNumbers('pad', { value });
  if (!Array.isArray(amounts) || amounts.length !== x.ndim || amounts.flat().some((n) => !Number.isInteger(n) || n < 0))
    throw inputError(
      'pad',
      `the amounts are ${JSON.stringify(amounts)}`,
      { input: x },
      `Give [before, after] for each of ${x.ndim} dimensions, integers of at least 0.`,
    );
  if (mode !== 'constant')
    return amounts.reduce((y, [before, after], axis) => padAxis(y, axis, before, after, mode), x);
  const steps = x.shape.map((count, i) => ({ start: amounts[i][0], count, step: 1 }));
  const shape = x.shape.map((n, i) => n + amounts[i][0] + amounts[i][1]);
  return record('pad', [x], embed('pad', x, shape, steps, value), [], (g) => [slice(g, steps)], {
    push: (t) => embed('pad', t!, shape, steps, 0),
  });
}

function padAxis(x: Tensor, axis: number, before: number, after: number, mode: PadMode): Tensor {
  if (!before && !after) return x;
  const n = x.shape[axis];
  const most = mode === 'reflect' ? n - 1 : mode === 'edge' || mode === 'replicate' ? (n ? Infinity : 0) : n;
  if (Math.max(before, after) > most)
    throw inputError(
      'pad',
      `mode '${mode}' cannot add ${Math.max(before, after)} elements to dimension ${axis} of size ${n}`,
      { input: x },
      `At most ${most} on a side.`,
    );
  const part = (start: number, count: number) => narrow(x, axis, start, count);
  const repeated = (start: number, count: number) => expand(part(start, 1), x.shape.with(axis, count));
  const skip = mode === 'reflect' ? 1 : 0;
  const sides: Record<string, () => [Tensor, Tensor]> = {
    mirror: () => [flip(part(skip, before), axis), flip(part(n - skip - after, after), axis)],
    edge: () => [repeated(0, before), repeated(n - 1, after)],
    wrap: () => [part(n - before, before), part(0, after)],
  };
  const [front, back] =
    sides[
      mode === 'edge' || mode === 'replicate' ? 'edge' : mode === 'wrap' || mode === 'circular' ? 'wrap' : 'mirror'
    ]();
  return concat([front, x, back], axis);
}
