// What a data set is.

/** Samples by number. `get` may be async (decoding a file, say). */
export interface Dataset<S> {
  /** Number of samples; `get` takes the positions 0 … length − 1. */
  readonly length: number;
  /** The sample at a position from 0, or a promise of it, such as a file that is read. */
  get(index: number): S | Promise<S>;
  /** The collated batch of some samples at once, or a promise of it, where that is less work. Not asked where a `collate` or `dtype` is given. */
  getBatch?(indices: readonly number[]): unknown;
}

/** A data set, or an array of samples. */
export type Samples<S> = Dataset<S> | readonly S[];

export const sampleAt = <S>(data: Samples<S>, i: number): S | Promise<S> =>
  'get' in data ? data.get(i) : (data[i] as S);
