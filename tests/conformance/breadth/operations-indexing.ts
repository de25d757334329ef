// Indexing, scattering, sorting, searching and rearranging, under PyTorch's names.
import { gather } from '../../../src/ops/gather';
import { indexSelect } from '../../../src/ops/index-select';
import * as scatters from '../../../src/ops/scatter';
import * as sorts from '../../../src/ops/sort';
import type { Operation } from './operations';

const sorted = ({ values, indices }: sorts.Sorted) => [values, indices];

export const indexing: Record<string, Operation> = {
  'torch.gather': ([x], { dim, index }) => gather(x, dim, index),
  'torch.index_select': ([x], { dim, index }) => indexSelect(x, dim, index),
  'torch.scatter': ([x], { dim, index, src, value, ...o }) => scatters.scatter(x, dim, index, src ?? value, o),
  'torch.scatter_add': ([x], { dim, index, src }) => scatters.scatterAdd(x, dim, index, src),
  'torch.scatter_reduce': ([x], { dim, index, src, reduce, ...o }) =>
    scatters.scatterReduce(x, dim, index, src, reduce, o),
  'torch.index_add': ([x], { dim, index, source, ...o }) => scatters.indexAdd(x, dim, index, source, o),
  'torch.index_copy': ([x], { dim, index, source }) => scatters.indexCopy(x, dim, index, source),
  'torch.index_reduce': ([x], { dim, index, source, reduce, ...o }) =>
    scatters.indexReduce(x, dim, index, source, reduce, o),
  'torch.sort': ([x], o) => sorted(sorts.sort(x, o)),
  'torch.argsort': ([x], o) => sorts.argsort(x, o),
  'torch.msort': ([x]) => sorts.msort(x),
  'torch.topk': ([x], { k, ...o }) => sorted(sorts.topk(x, k, o)),
};
