// Tables of embeddings.
import type { EmbeddingBagOptions, EmbeddingOptions } from '../../ops/embedding';
import type { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { as, type Mappings, of, unmapped, whole } from './mapping';

function rows(e: Draft, weight: Tensor, index: Tensor, { maxNorm }: EmbeddingOptions): string {
  if (maxNorm !== null && maxNorm !== undefined) throw unmapped(e, 'changes the table (maxNorm)');
  return e.node('Gather', [e.of(weight), as(e, index, 'int32')], { axis: 0 });
}

export const lookup: Mappings = {
  embedding: of<(weight: Tensor, index: Tensor, options?: EmbeddingOptions) => Tensor>((e, _, weight, index, o = {}) =>
    rows(e, weight, index, o),
  ),
  embeddingBag: of<(weight: Tensor, index: Tensor, options?: EmbeddingBagOptions) => Tensor>(
    (e, _, weight, index, o = {}) => {
      const { mode = 'mean', offsets, perSampleWeights, paddingIdx = null } = o;
      if (offsets || index.ndim !== 2 || paddingIdx !== null) throw unmapped(e, 'has bags of different lengths');
      const all = rows(e, weight, index, o);
      const factors = perSampleWeights && e.node('Unsqueeze', [e.of(perSampleWeights), whole(e, [-1])]);
      const op = { sum: 'ReduceSum', mean: 'ReduceMean', max: 'ReduceMax' }[mode];
      return e.node(op, [factors ? e.node('Mul', [all, factors]) : all, whole(e, [1])], { keepdims: 0 });
    },
  ),
};
