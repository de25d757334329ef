// What can be found from a value: the items of collections, and the memory of tensors.
import { isPlain } from '../autograd/tape';
import type { Memory } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';

/** What a module's field holds by names: the items of arrays, plain objects, maps and sets; null of anything else. */
export function entriesOf(value: unknown): Iterable<[unknown, unknown]> | null {
  if (Array.isArray(value) || isPlain(value)) return Object.entries(value);
  if (value instanceof Map) return value.entries();
  return value instanceof Set ? [...value].entries() : null;
}

/** The memory of every tensor that can be found from a value: in arrays, maps, sets and fields of objects, modules among them. */
export function* reachable(...values: unknown[]): Iterable<Memory> {
  const seen = new Set<unknown>();
  while (values.length) {
    const value = values.pop();
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) continue;
    if (value instanceof Tensor) {
      yield value.memory;
      continue;
    }
    seen.add(value);
    if (Array.isArray(value) && typeof value[0] === 'number') continue;
    const isCollection = Array.isArray(value) || value instanceof Set || value instanceof Map;
    const inside: Iterable<unknown> = isCollection ? value.values() : Object.values(value);
    for (const item of inside) if (typeof item === 'object' && item !== null) values.push(item);
  }
}
