// Views, joining and splitting, padding, and what picks elements by their positions.

import { at } from '../../../shaders/checked';
import { callWith } from '../../autograd/operation';
import type { alongAxis } from '../../ops/axis-map';
import type { gathered } from '../../ops/gather';
import type { selected } from '../../ops/index-select';
import type { positionsOf } from '../../ops/indexing';
import type { concat, split } from '../../ops/join';
import type { PadMode, pad } from '../../ops/pad';
import type { clone, expand, flip, permute, reshape, sliceSteps } from '../../ops/views';
import type { Tensor } from '../../tensor/tensor';
import { type Draft, typeOf } from '../draft';
import { as, axesOf, axis, type Instead, insteadOf, type Mappings, of, whole } from './mapping';

/** Beyond the end of every dimension. */
const END = Number.MAX_SAFE_INTEGER;

/** Only what a step leaves out is sliced, so that other dimensions may have any size. */
const slice = of<typeof sliceSteps>((e, _, x, steps) => {
  const cut = steps.flatMap((step, d) => (step.start === 0 && step.step === 1 && step.count === x.shape[d] ? [] : [d]));
  if (!cut.length) return e.of(x);
  const parts = cut.map((d) => {
    const { start, count, step } = at(steps, d);
    const end = start + count * step;
    return { start, step, end: end < 0 ? -END : step > 0 && end >= at(x.shape, d) ? END : end };
  });
  const inputs = [
    e.sizes(parts.map(({ start }) => start)),
    e.sizes(parts.map(({ end }) => end)),
    whole(e, cut),
    whole(
      e,
      parts.map(({ step }) => step),
    ),
  ];
  return e.node('Slice', [e.of(x), ...inputs]);
});

/** x with its dimension `along` last, as `body` takes it, and back. */
export function withLast(e: Draft, value: string, rank: number, along: number, body: (x: string) => string): string {
  if (along === rank - 1) return body(value);
  const perm = Array.from({ length: rank }, (_, d) => (d === along ? rank - 1 : d === rank - 1 ? along : d));
  return e.node('Transpose', [body(e.node('Transpose', [value], { perm }))], { perm });
}

/** The product with a matrix [from, to] of rows of weights along a dimension. */
export function resampled(
  e: Draft,
  value: string,
  rank: number,
  along: number,
  rows: readonly (readonly (readonly [number, number])[])[],
  inputs: number,
): string {
  const matrix = new Float32Array(inputs * rows.length);
  for (const [o, row] of rows.entries()) for (const [i, weight] of row) matrix[i * rows.length + o] = weight;
  const weights = e.data('float32', [inputs, rows.length], matrix);
  return withLast(e, value, rank, along, (x) => e.node('MatMul', [x, weights]));
}

/** ONNX's modes; 'symmetric' is made of others. */
const PAD_MODES: Readonly<Record<Exclude<PadMode, 'symmetric'>, string>> = {
  ...{ constant: 'constant', reflect: 'reflect' },
  ...{ replicate: 'edge', edge: 'edge', circular: 'wrap', wrap: 'wrap' },
};

/** What is added before and after each dimension. */
function sidesOf(x: Tensor, amounts: Parameters<typeof pad>[1]): (readonly [number, number])[] {
  const flat = amounts.every((n) => typeof n === 'number');
  return x.shape.map((_, d): readonly [number, number] => {
    const given = amounts[flat ? 2 * (x.ndim - 1 - d) : d];
    if (typeof given !== 'number') return given ?? [0, 0];
    const after = amounts[2 * (x.ndim - 1 - d) + 1];
    return [given, typeof after === 'number' ? after : 0];
  });
}

export const shapes: Mappings = {
  reshape: of<typeof reshape>((e, y, x) => e.reshape(e.of(x), x.shape, y.shape)),
  permute: of<typeof permute>((e, _, x, order) =>
    e.node('Transpose', [e.of(x)], { perm: order.map((d) => axis(x, d)) }),
  ),
  expand: of<typeof expand>((e, y, x) => {
    const lead = y.ndim - x.ndim;
    // 1 keeps the size that is there.
    const to = y.shape.map((n, d) => (d >= lead && x.shape[d - lead] === n ? 1 : n));
    return e.node('Expand', [e.of(x), e.sizes(to)]);
  }),
  slice,
  flip: of<typeof flip>((e, _, x, axes) => {
    const over = axesOf(x, axes);
    const all = (n: number) => over.map(() => n);
    return e.node('Slice', [e.of(x), whole(e, all(-1)), whole(e, all(-END)), whole(e, over), whole(e, all(-1))]);
  }),
  clone: of<typeof clone>((e, _, x) => e.node('Identity', [e.of(x)])),
  concat: of<typeof concat>((e, y, tensors, along = 0) =>
    e.node(
      'Concat',
      tensors.map((t) => as(e, t, typeOf(y))),
      { axis: axis(y, along) },
    ),
  ),
  split: of<typeof split>((e, parts, x, _, along = 0) => {
    const d = axis(x, along);
    if (parts.length === 1) return e.of(x);
    return e.several('Split', [e.of(x), e.sizes(parts.map((part) => at(part.shape, d)))], { axis: d }, parts.length);
  }),
  pad: of<typeof pad>((e, y, x, amounts, { mode = 'constant', value = 0 } = {}) => {
    const sides = sidesOf(x, amounts);
    const touched = sides.flatMap((pair, d) => (pair[0] || pair[1] ? [d] : []));
    if (!touched.length) return e.of(x);
    const type = typeOf(y);
    const pads = [...touched.map((d) => at(sides, d)[0]), ...touched.map((d) => at(sides, d)[1])];
    const filling = mode === 'constant' ? e.number(value, type) : null;
    return e.node('Pad', [as(e, x, type), whole(e, pads), filling, whole(e, touched)], {
      mode: mode === 'symmetric' ? '' : PAD_MODES[mode],
    });
  }),
  alongAxis: of<typeof alongAxis>((e, _y, _name, x, along, map) =>
    map.isIdentity ? e.of(x) : resampled(e, e.of(x), x.ndim, along, map.rows, map.inputs),
  ),
  selected: of<typeof selected>((e, _y, _op, x, dim, index) =>
    e.node('Gather', [e.of(x), as(e, index, 'int32')], { axis: axis(x, dim) }),
  ),
  gathered: of<typeof gathered>((e, y, _op, x, dim, index) => {
    const d = axis(x, dim);
    // Where the index leaves lines out in other dimensions, so does the input.
    const cut = y.shape.flatMap((n, k) => (k !== d && n !== x.shape[k] ? [k] : []));
    const ends = e.sizes(cut.map((k) => at(y.shape, k)));
    const starts = whole(
      e,
      cut.map(() => 0),
    );
    const from = cut.length ? e.node('Slice', [e.of(x), starts, ends, whole(e, cut)]) : e.of(x);
    return e.node('GatherElements', [from, as(e, index, 'int32')], { axis: d });
  }),
  positions: of<typeof positionsOf>((e, _y, _op, indices, extents) => {
    const each = indices.map((index, i) => {
      const [value, extent] = [as(e, index, 'int32'), e.number(at(extents, i), 'int32')];
      if (indices.length === 1) return value; // Gather counts negative ones from the end
      const positive = e.node('Where', [
        e.node('Less', [value, e.number(0, 'int32')]),
        e.node('Add', [value, extent]),
        value,
      ]);
      return positive;
    });
    return each.reduce((sum, value, i) =>
      e.node('Add', [e.node('Mul', [sum, e.number(at(extents, i), 'int32')]), value]),
    );
  }),
  oneHot: of<(labels: Tensor, classes: number) => Tensor>((e, y, labels, classes) => {
    const all = e.data(
      'int32',
      [classes],
      Int32Array.from({ length: classes }, (_, i) => i),
    );
    const wide = e.node('Unsqueeze', [as(e, labels, 'int32'), whole(e, [-1])]);
    return e.cast(e.node('Equal', [wide, all]), typeOf(y));
  }),
};

export const insteadOfShapes: Readonly<Record<string, Instead>> = {
  // ONNX repeats at one side only where it cuts at none.
  pad: insteadOf<typeof pad>((f, x, amounts, options) => {
    const mode = options?.mode ?? 'constant';
    const cuts = sidesOf(x, amounts).some(([a, b]) => a < 0 || b < 0);
    const isOne = mode === 'constant' || (mode !== 'symmetric' && !cuts);
    return isOne ? null : () => callWith(f, [x, amounts, options]);
  }),
};
