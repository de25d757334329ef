// The methods of Tensor that index, scatter, sort, search and rearrange.
import type { Tensor } from '../tensor/tensor';
import * as gather from './gather';
import * as indexSelect from './index-select';
import * as indexing from './indexing';
import * as logScan from './log-scan';
import * as mask from './mask';
import * as nonzero from './nonzero';
import * as rank from './rank';
import * as rearrange from './rearrange';
import * as scan from './scan';
import * as scatter from './scatter';
import * as search from './search';
import type { Sorted } from './sort';
import * as sort from './sort';
import * as triangle from './triangle';
import type { RepeatInterleaveOptions } from './unique';
import * as uniqueFunctions from './unique';
import * as part from './view-scatter';

/** Some functions of a file, with what an editor shows of each. */
export const pick = <T extends object, K extends keyof T>(from: T, ...names: K[]): Pick<T, K> =>
  Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>;

// All but what serves other files.
const { firsts: _firsts, ...ranks } = rank;
const { scatterView: _scatterView, viewed: _viewed, ...parts } = part;

export const indexingMethods = {
  ...pick(gather, 'gather'),
  ...pick(indexing, 'index', 'indexFill', 'indexPut', 'put', 'take', 'takeAlongDim'),
  ...pick(indexSelect, 'indexSelect'),
  ...mask,
  ...pick(nonzero, 'nonzero'),
  ...ranks,
  ...pick(rearrange, 'diff', 'fliplr', 'flipud', 'movedim', 'roll', 'rot90', 'tensorSplit', 'unbind', 'unflatten'),
  ...pick(scan, 'cumprod', 'cumsum'),
  ...pick(logScan, 'logcumsumexp'),
  ...pick(scatter, 'indexAdd', 'indexCopy', 'indexReduce', 'scatter', 'scatterAdd', 'scatterReduce'),
  ...pick(search, 'bincount', 'bucketize', 'histc', 'isin'),
  ...pick(sort, 'argsort', 'msort', 'sort', 'topk'),
  ...pick(triangle, 'tril', 'triu'),
  ...pick(uniqueFunctions, 'repeatInterleave', 'unique', 'uniqueConsecutive'),
  ...parts,
};

/** The methods whose result depends on their arguments. */
export interface OverloadedMethods {
  /** The median of all; with `dim`, values and positions along it. Of two the lower. */
  median(): Tensor;
  median(dim: number, keepDim?: boolean): Sorted;
  /** The same without NaN. */
  nanmedian(): Tensor;
  nanmedian(dim: number, keepDim?: boolean): Sorted;
  /** Each element several times, as `torch.repeat_interleave`; a tensor of repeats is read first, without `outputSize`. */
  repeatInterleave(repeats: number, options?: RepeatInterleaveOptions): Tensor;
  repeatInterleave(repeats: Tensor, options: RepeatInterleaveOptions & { outputSize: number }): Tensor;
  repeatInterleave(repeats: Tensor, options?: RepeatInterleaveOptions): Promise<Tensor>;
}
