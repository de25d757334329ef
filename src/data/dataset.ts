// What a data set is.

/** Samples by number. `get` may be async (decoding a file, say). */
export interface Dataset<S> {
  /** How many there are. */
  readonly length: number;
  /** The sample at a position. */
  get(index: number): S | Promise<S>;
  /** The collated batch of some samples at once, or a promise of it, where that is less work. Not asked where a `collate` or `dtype` is given. */
  getBatch?(indices: readonly number[]): unknown;
}

/** A data set, or an array of samples. */
export type Samples<S> = Dataset<S> | readonly S[];

export const sampleAt = <S>(data: Samples<S>, i: number): S | Promise<S> =>
  'get' in data ? data.get(i) : (data[i] as S);
