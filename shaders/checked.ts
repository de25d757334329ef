// Reading lists whose length the types do not know: what must be there is there, or the mistake is heard of at once. A failure here is an error
// of the framework, never of its user, whose input was checked before.

/** `N` items of type T; a list where it is not known how many. */
export type Tuple<T, N extends number, L extends readonly T[] = []> = number extends N
  ? readonly T[]
  : L['length'] extends N
    ? L
    : Tuple<T, N, readonly [...L, T]>;

/** An index from the front: of literals the compiler refuses negative ones. */
type Index<N extends number> = `${N}` extends `-${string}` ? never : N;

/**
 * The item at `index`. Throws RangeError where there is none: unlike those of `Array.prototype.at`, negative indices have no meaning, so that
 * `indexOf` of something missing does not find the last one.
 */
export function at<T, N extends number>(list: readonly (T | undefined)[], index: Index<N>): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`internal error: no item ${index} in a list of ${list.length}`);
  return item;
}

/** The item that is `n`-th from the end, 1 the last. Throws RangeError where there is none. */
export const fromEnd = <T>(list: readonly (T | undefined)[], n: number): T => at(list, list.length - n);

/** A value that must be there; `what` names it. Throws RangeError where it is not. */
export function there<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new RangeError(`internal error: no ${what}`);
  return value;
}

/** The value of `key`, which the map has. Throws RangeError that names the key where it has not. */
export function valueAt<K, V>(map: { get(key: K): V | undefined }, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new RangeError(`internal error: no value of ${String(key)} in a map`);
  return value;
}

/** The same list, of exactly so many items: `const [n, c, h, w] = tuple(x.shape, 4)`. Throws RangeError where there are more or fewer. */
export function tuple<T, N extends number>(list: readonly T[], length: N): Tuple<T, N> {
  if (list.length !== length)
    throw new RangeError(`internal error: ${length} items expected, a list of ${list.length} found`);
  return list as unknown as Tuple<T, N>;
}

/** `list.map(f)` with as many results as the list has items: `const [h, w] = mapTuple([input, kernel], size)`. */
export const mapTuple = <const T extends readonly unknown[], U>(
  list: T,
  f: (item: T[number], index: number) => U,
): { -readonly [K in keyof T]: U } => list.map(f) as { -readonly [K in keyof T]: U };
