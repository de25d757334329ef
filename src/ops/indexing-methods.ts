// The methods of Tensor that index, scatter, sort, search and rearrange.
import type { Tensor } from '../tensor/tensor';
import { gather } from './gather';
import { indexSelect } from './index-select';
import { index, indexFill, indexPut, put, take, takeAlongDim } from './indexing';
import { logcumsumexp } from './log-scan';
import * as mask from './mask';
import { nonzero } from './nonzero';
import * as rank from './rank';
import { diff, fliplr, flipud, movedim, roll, rot90, tensorSplit, unbind, unflatten } from './rearrange';
import { cumprod, cumsum } from './scan';
import { indexAdd, indexCopy, indexReduce, scatter, scatterAdd, scatterReduce } from './scatter';
import { bincount, bucketize, histc, isin } from './search';
import type { Sorted } from './sort';
import { argsort, msort, sort, topk } from './sort';
import { tril, triu } from './triangle';
import { type RepeatInterleaveOptions, repeatInterleave, unique, uniqueConsecutive } from './unique';
import * as part from './view-scatter';

// All but what serves other files.
const { firsts: _firsts, ...ranks } = rank;
const { scatterView: _scatterView, viewed: _viewed, ...parts } = part;

export const indexingMethods = {
  gather,
  index,
  indexFill,
  indexPut,
  indexSelect,
  put,
  take,
  takeAlongDim,
  ...mask,
  nonzero,
  ...ranks,
  diff,
  fliplr,
  flipud,
  movedim,
  roll,
  rot90,
  tensorSplit,
  unbind,
  unflatten,
  cumprod,
  cumsum,
  logcumsumexp,
  indexAdd,
  indexCopy,
  indexReduce,
  scatter,
  scatterAdd,
  scatterReduce,
  bincount,
  bucketize,
  histc,
  isin,
  argsort,
  msort,
  sort,
  topk,
  tril,
  triu,
  repeatInterleave,
  unique,
  uniqueConsecutive,
  ...parts,
};

/** The methods whose result depends on their arguments. */
export interface OverloadedMethods {
  median(): Tensor;
  median(dim: number, keepDim?: boolean): Sorted;
  nanmedian(): Tensor;
  nanmedian(dim: number, keepDim?: boolean): Sorted;
  repeatInterleave(repeats: number, options?: RepeatInterleaveOptions): Tensor;
  repeatInterleave(repeats: Tensor, options: RepeatInterleaveOptions & { outputSize: number }): Tensor;
  repeatInterleave(repeats: Tensor, options?: RepeatInterleaveOptions): Promise<Tensor>;
}
