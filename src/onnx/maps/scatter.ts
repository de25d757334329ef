// What brings values to positions along a dimension.
import { at } from '../../../shaders/checked';
import type { addedAt, reducedAt, ScatterReduce, setAt } from '../../ops/scatter';
import { sameShape } from '../../tensor/shape';
import type { Tensor } from '../../tensor/tensor';
import { type Draft, typeOf } from '../draft';
import { as, axis, type Mappings, of, whole } from './mapping';

const REDUCTIONS = { sum: 'add', mean: 'add', prod: 'mul', amax: 'max', amin: 'min' } as const;

/** What changes no result of a reduction. */
const neutral = (reduce: ScatterReduce, x: Tensor): number => {
  if (reduce === 'sum' || reduce === 'mean') return 0;
  if (reduce === 'prod') return 1;
  const most = x.dtype === 'float32' || x.dtype === 'float16' ? Infinity : 2 ** 31 - 1;
  return reduce === 'amin' ? most : -most;
};

/** `updates`, as large as the index, to their places in a value. */
const scattered = (
  e: Draft,
  x: string,
  rank: Tensor,
  dim: number,
  index: Tensor,
  updates: string,
  reduction = 'none',
) => e.node('ScatterElements', [x, as(e, index, 'int32'), updates], { axis: axis(rank, dim), reduction });

/** The part of a source that the index covers. */
function covered(e: Draft, source: Tensor, index: Tensor): string {
  if (sameShape(source.shape, index.shape)) return e.of(source);
  const cut = index.shape.flatMap((n, d) => (n === source.shape[d] ? [] : [d]));
  const starts = whole(
    e,
    cut.map(() => 0),
  );
  return e.node('Slice', [e.of(source), starts, e.sizes(cut.map((d) => at(index.shape, d))), whole(e, cut)]);
}

const filled = (e: Draft, value: string, like: Tensor): string => e.node('Expand', [value, e.sizes(like.shape)]);

export const scatters: Mappings = {
  setAt: of<typeof setAt>((e, _, _op, x, dim, index, source) =>
    scattered(e, e.of(x), x, dim, index, covered(e, source, index)),
  ),
  addedAt: of<typeof addedAt>((e, _, _op, x, dim, index, source) =>
    scattered(e, e.of(x), x, dim, index, covered(e, source, index), 'add'),
  ),
  reducedAt: of<typeof reducedAt>((e, y, _op, x, dim, index, source, reduce, { includeSelf = true } = {}) => {
    const type = typeOf(y);
    const over = (value: string, by: number) =>
      scattered(e, value, x, dim, index, filled(e, e.number(by, type), index));
    const base = includeSelf ? e.of(x) : over(e.of(x), neutral(reduce, x));
    const result = scattered(e, base, x, dim, index, covered(e, source, index), REDUCTIONS[reduce]);
    if (reduce !== 'mean') return result;
    const one = e.number(1, type);
    const self = filled(e, one, x);
    const own = includeSelf ? self : over(self, 0);
    return e.node('Div', [result, scattered(e, own, x, dim, index, filled(e, one, index), 'add')]);
  }),
};
