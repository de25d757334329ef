/** The first of some items; throws RangeError where there is none. */
export function first<T>(items: Iterable<T>): T {
  for (const item of items) return item;
  throw new RangeError('there is nothing to take the first item of');
}
