// Indexing, scattering, sorting, searching and rearranging, under PyTorch's names.

import { embedding, embeddingBag } from '../../../src/ops/embedding';
import { gather, oneHot } from '../../../src/ops/gather';
import { indexSelect } from '../../../src/ops/index-select';
import * as at from '../../../src/ops/indexing';
import * as joins from '../../../src/ops/join';
import { logcumsumexp } from '../../../src/ops/log-scan';
import * as masks from '../../../src/ops/mask';
import { nonzero, nonzeroTuple } from '../../../src/ops/nonzero';
import * as ranks from '../../../src/ops/rank';
import * as turns from '../../../src/ops/rearrange';
import { max, min } from '../../../src/ops/reduce';
import * as scans from '../../../src/ops/scan';
import * as scatters from '../../../src/ops/scatter';
import * as searches from '../../../src/ops/search';
import * as sorts from '../../../src/ops/sort';
import * as triangles from '../../../src/ops/triangle';
import { repeatInterleave, unique, uniqueConsecutive } from '../../../src/ops/unique';
import * as parts from '../../../src/ops/view-scatter';
import * as views from '../../../src/ops/views';
import { where } from '../../../src/ops/where';
import { Tensor } from '../../../src/tensor/tensor';
import type { Operation } from './operations';

/** Values and indices, or a tensor alone. */
const sorted = (result: sorts.Sorted | Tensor) => (result instanceof Tensor ? result : [result.values, result.indices]);
const values = async (results: object) => Object.values(await results).filter((t) => t instanceof Tensor);

/** An index as the cases write it: names of inputs, slices, integers, 'None'. */
const indices: (list: (string | number)[], lookUp: (name: string) => Tensor | undefined) => at.Index[] = (
  list,
  lookUp,
) => list.map((item) => (item === 'None' ? null : typeof item === 'string' ? (lookUp(item) ?? item) : item));

export const indexing: Record<string, Operation> = {
  index: ([x], { index }, lookUp) => masks.maskedIndex(x, indices(index, lookUp)),
  'torch.index_put': ([x, list, value], o) => masks.maskedIndexPut(x, list, value, o),
  'torch.take': ([x, i]) => at.take(x, i),
  'Tensor.put': ([x, i, source], o) => at.put(x, i, source, o),
  'torch.take_along_dim': ([x, i], o) => at.takeAlongDim(x, i, o),
  'torch.index_fill': ([x], { dim, index, value }) => at.indexFill(x, dim, index, value),
  'Tensor.masked_fill': ([x, mask, tensor], { value }) => masks.maskedFill(x, mask, tensor ?? value),
  'torch.masked_select': ([x, mask]) => masks.maskedSelect(x, mask),
  'Tensor.masked_scatter': ([x, mask, source]) => masks.maskedScatter(x, mask, source),
  'torch.nonzero': ([x], { asTuple }) => (asTuple ? nonzeroTuple(x) : nonzero(x)),
  'torch.count_nonzero': ([x], { dim }) => masks.countNonzero(x, dim),
  'torch.where': ([c, a, b], { self, other }) => {
    const [first, second] = [a ?? self, b ?? other];
    return first === undefined ? where(c) : where(c, first, second);
  },
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
  'torch.kthvalue': ([x], { k, dim, keepdim }) => sorted(ranks.kthvalue(x, k, dim, keepdim)),
  'torch.median': ([x], { dim, keepdim }) => sorted(ranks.median(x, dim, keepdim)),
  'torch.nanmedian': ([x], { dim, keepdim }) => sorted(ranks.nanmedian(x, dim, keepdim)),
  'torch.mode': ([x], { dim, keepdim }) => sorted(ranks.mode(x, dim, keepdim)),
  'torch.max': ([x], { dim, keepdim }) => (dim === undefined ? max(x) : sorted(ranks.maxWithIndices(x, dim, keepdim))),
  'torch.min': ([x], { dim, keepdim }) => (dim === undefined ? min(x) : sorted(ranks.minWithIndices(x, dim, keepdim))),
  'torch.aminmax': ([x], { dim, keepdim }) => values(ranks.aminmax(x, dim, keepdim)),
  'torch.cummax': ([x], { dim }) => sorted(ranks.cummax(x, dim)),
  'torch.cummin': ([x], { dim }) => sorted(ranks.cummin(x, dim)),
  'torch.cumsum': ([x], { dim }) => scans.cumsum(x, dim),
  'torch.cumprod': ([x], { dim }) => scans.cumprod(x, dim),
  'torch.logcumsumexp': ([x], { dim }) => logcumsumexp(x, dim),
  'torch.searchsorted': ([s, x], o) => searches.searchsorted(s, x ?? o.input, o),
  'torch.bucketize': ([x, boundaries], o) => searches.bucketize(x, boundaries, o),
  'torch.bincount': ([x], o) => searches.bincount(x, o),
  'torch.histc': ([x], o) => searches.histc(x, o),
  'torch.isin': ([x, test], { testElement, ...o }) => searches.isin(x, test ?? testElement, o),
  'torch.tril': ([x], o) => triangles.tril(x, o),
  'torch.triu': ([x], o) => triangles.triu(x, o),
  'torch.tril_indices': (_, { row, col, ...o }) => triangles.trilIndices(row, col, o),
  'torch.triu_indices': (_, { row, col, ...o }) => triangles.triuIndices(row, col, o),
  'torch.diag': ([x], o) => parts.diag(x, o),
  'torch.diagonal': ([x], o) => parts.diagonal(x, o),
  'torch.diag_embed': ([x], o) => parts.diagEmbed(x, o),
  'torch.diagflat': ([x], o) => parts.diagflat(x, o),
  'torch.diagonal_scatter': ([x, src], o) => parts.diagonalScatter(x, src, o),
  'torch.select_scatter': ([x, src], { dim, index }) => parts.selectScatter(x, src, dim, index),
  'torch.slice_scatter': ([x, src], o) => parts.sliceScatter(x, src, o),
  'Tensor.unfold': ([x], { dimension, size, step }) => parts.unfold(x, dimension, size, step),
  'torch.roll': ([x], { shifts, ...o }) => turns.roll(x, shifts, o),
  'torch.rot90': ([x], o) => turns.rot90(x, o),
  'torch.flip': ([x], { dims }) => views.flip(x, dims),
  'torch.fliplr': ([x]) => turns.fliplr(x),
  'torch.flipud': ([x]) => turns.flipud(x),
  'torch.movedim': ([x], { source, destination }) => turns.movedim(x, source, destination),
  'torch.unflatten': ([x], { dim, sizes }) => turns.unflatten(x, dim, sizes),
  'torch.chunk': ([x], { chunks, dim }) => joins.chunk(x, chunks, dim),
  'torch.split': ([x], { splitSizeOrSections, dim }) => joins.split(x, splitSizeOrSections, dim),
  'torch.tensor_split': ([x], { indicesOrSections, dim }) => turns.tensorSplit(x, indicesOrSections, dim),
  'torch.unbind': ([x], { dim }) => turns.unbind(x, dim),
  'torch.hstack': ([list]) => turns.hstack(list),
  'torch.vstack': ([list]) => turns.vstack(list),
  'torch.dstack': ([list]) => turns.dstack(list),
  'torch.block_diag': (list) => turns.blockDiag(...list),
  'torch.select': ([x], { dim, index }) => views.select(x, dim, index),
  'torch.narrow': ([x], { dim, start, length }) => views.narrow(x, dim, start, length),
  'torch.meshgrid': ([list], o) => turns.meshgrid(list, o),
  'torch.cartesian_prod': (list) => turns.cartesianProd(...list),
  'torch.combinations': ([x], o) => turns.combinations(x, o),
  'torch.diff': ([x], o) => turns.diff(x, o),
  'torch.nn.utils.rnn.pad_sequence': ([list], o) => turns.padSequence(list, o),
  'torch.unique': ([x], o) => values(unique(x, o)),
  'torch.unique_consecutive': ([x], o) => values(uniqueConsecutive(x, o)),
  'torch.repeat_interleave': ([x, r], { repeats = r, ...o }) => repeatInterleave(x, repeats, o),
  'F.one_hot': ([i], { numClasses = -1 }) => (numClasses < 0 ? oneHot(i) : oneHot(i, numClasses)),
  'F.embedding': ([i, w], o) => embedding(w, i, o),
  'F.embedding_bag': ([i, w], o) => embeddingBag(w, i, o),
};
