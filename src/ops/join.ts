// Joining tensors and splitting them.

import { at } from '../../shaders/checked';
import { recordOutputs } from '../autograd/custom-function';
import { operation } from '../autograd/operation';
import type { PushForward, Rule } from '../autograd/tape';
import { needsGradient, record, recordLinear } from '../autograd/tape';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import { promote } from '../tensor/dtype';
import { copy } from '../tensor/elementwise';
import { existingAxis, normalizeAxis, requireList, type Shape, sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireTensors } from '../tensor/tensor';
import { embed, place, type Steps, slice, stepsFrom } from '../tensor/views';
import { narrow, sliceSteps, unsqueeze } from './views';

/** Checks that tensors can be joined along a dimension. */
function checkJoin(op: string, tensors: readonly Tensor[], axis: number): number {
  if (!Array.isArray(tensors) || !tensors.length)
    throw inputError(op, 'no list of tensors, or an empty one', {}, 'Give an array of at least one.');
  requireTensors(op, Object.fromEntries(tensors.map((t, i) => [`tensor ${i}`, t])));
  const first: Tensor = at(tensors, 0);
  const along = normalizeAxis(op, axis, first.shape);
  const others = (t: Tensor) => t.shape.filter((_, i) => i !== along);
  const odd = tensors.findIndex((t) => t.ndim !== first.ndim || !sameShape(others(t), others(first)));
  if (odd > 0 || first.ndim === 0)
    throw inputError(
      op,
      `the tensors cannot be joined along dimension ${along}`,
      { 'tensor 0': first, ...(odd > 0 && { [`tensor ${odd}`]: at(tensors, odd) }) },
      'They agree in all other dimensions, and have at least one; stack makes a new dimension.',
    );
  return along;
}

/** `concat`, not recorded. */
function joined(tensors: readonly Tensor[], axis: number): Tensor {
  const first = at(tensors, 0);
  const dtype = tensors.reduce<DType>((type, t) => promote(type, t.dtype), first.dtype);
  const length = tensors.reduce((sum, t) => sum + at(t.shape, axis), 0);
  const out = empty('concat', first.shape.with(axis, length), dtype);
  let start = 0;
  for (const t of tensors) {
    place(slice(out, stepsFrom(start, axis, t.shape)), t.dtype === dtype ? t : copy(t, dtype));
    start += at(t.shape, axis);
  }
  return out;
}

/** As `torch.cat`: joins tensors along a dimension; all other dimensions agree. */
export const concat = operation('concat', function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const along = checkJoin('concat', tensors, axis);
  const tangentOf = (t: Tensor | null, i: number) => t ?? zeros(at(tensors, i).shape);
  const push: PushForward = (...tangents) => joined(tangents.map(tangentOf), along);
  const parts =
    (cut: typeof slice): Rule =>
    (g, needs) => {
      let start = 0;
      return tensors.map((t, k) => {
        const steps = stepsFrom(start, along, t.shape);
        start += at(t.shape, along);
        return needs[k] && cut(g, steps);
      });
    };
  const options = { push, differentiable: parts(sliceSteps) };
  return record('concat', tensors, joined(tensors, along), [], parts(slice), options);
});

/** As `torch.stack`: joins tensors of the same shape along a new dimension. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (!tensors.length) throw inputError('stack', 'an empty list of tensors', {}, 'Give at least one.');
  const first = at(tensors, 0);
  const odd = tensors.findIndex((t) => !sameShape(t.shape, first.shape));
  if (odd > 0)
    throw inputError(
      'stack',
      'tensors of different shapes',
      { 'tensor 0': first, [`tensor ${odd}`]: at(tensors, odd) },
      'concat joins along a dimension that is there.',
    );
  return concat(
    tensors.map((t) => unsqueeze(t, axis)),
    axis < 0 ? axis : normalizeAxis('stack', axis, [...first.shape, 1]),
  );
}

/** As `torch.split`, parts along a dimension: of `sizes` elements each (the last may be shorter), or of the listed sizes. Views. */
export const split = operation(
  'split',
  function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
    const along = existingAxis('split', axis, x.shape);
    const length = at(x.shape, along);
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
        `parts of [${list.join(', ')}] are ${total} elements, dimension ${along} has ${length}`,
        { input: x },
        'A single number makes parts of that size, and a shorter last one.',
      );
    let start = 0;
    const places = list.map((n) => {
      const place = stepsFrom(start, along, x.shape.with(along, n));
      start += n;
      return place;
    });
    const cut = (t: Tensor) => places.map((place) => slice(t, place));
    const parts = cut(x);
    if (list.length === 1) return [narrow(x, along, 0, length)];
    if (!list.length || !needsGradient(x)) return parts;
    /** One gradient for all: those of the parts side by side. As many slices would each fill one of the whole size, to be added up. */
    const whole =
      (embed: typeof embedded, join: typeof joined) =>
      (gradients: readonly (Tensor | undefined)[]): Tensor[] => {
        const given = parts.flatMap((_, k) => {
          const gradient = gradients[k];
          return gradient ? [{ gradient, place: at(places, k) }] : [];
        });
        const [first, ...more] = given;
        if (first && !more.length) return [embed(first.gradient, x.shape, first.place)];
        return [
          join(
            parts.map((part, k) => gradients[k] ?? zeros(part.shape, { dtype: x.dtype })),
            along,
          ),
        ];
      };
    recordOutputs('split', [x], parts, [], {
      pull: whole(embedded, joined),
      push: ([t]) => cut(t ?? zeros(x.shape, { dtype: x.dtype })),
      differentiable: whole(
        (g, shape, to) =>
          recordLinear(
            'slice gradient',
            g,
            (t) => embedded(t, shape, to),
            (t) => slice(t, to),
          ),
        concat,
      ),
    });
    return parts;
  },
);

/** Zeros with `g` at some steps. */
const embedded = (g: Tensor, shape: Shape, steps: readonly Steps[]): Tensor => embed('slice gradient', g, shape, steps);

/** At most `chunks` parts of equal size along a dimension, the last may be shorter, as `torch.chunk`: `chunks` empty ones of nothing. Views. */
export function chunk(x: Tensor, chunks: number, axis = 0): Tensor[] {
  const along = existingAxis('chunk', axis, x.shape);
  if (!(Number.isInteger(chunks) && chunks > 0)) throw inputError('chunk', `${chunks} parts`, { input: x });
  const n = at(x.shape, along);
  return split(x, n ? Math.ceil(n / chunks) : new Array<number>(chunks).fill(0), along);
}
