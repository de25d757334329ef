// What a Trainer takes batches from: data on the GPU, a DataLoader, or anything else that can be gone through once an epoch.
import { isPlain, tensorsIn } from '../autograd/tape';
import type { BatchOptions, BatchSource } from '../data/batches';
import { InputError } from '../gpu';
import { Tensor } from '../tensor/tensor';

/**
 * Batches: a BatchSource, which is told size, order and augmentation; or an iterable, which makes its own, such as a `DataLoader`. The Trainer
 * sets an iterable's `epoch` and `start` before each pass where there are such fields, else a resumed run passes over what it has seen.
 */
export type Loader<B> = BatchSource<B> | Iterable<B> | AsyncIterable<B>;

export type Batches<B> = Iterable<B> | AsyncIterable<B>;

export const isSource = <B>(loader: Loader<B>): loader is BatchSource<B> => 'batches' in loader;

/** Samples of an epoch; Infinity where the loader does not say. */
export function countOf(loader: Loader<unknown>): number {
  const { count } = loader as { count?: unknown };
  return typeof count === 'number' ? count : Infinity;
}

/** The batches of an epoch from sample `start` on. */
export function batchesOf<B>(loader: Loader<B>, options: Partial<BatchOptions>): Batches<B> {
  if (isSource(loader)) return loader.batches(options as BatchOptions);
  const { epoch = 0, start = 0 } = options;
  const settable = loader as { epoch?: number; start?: number };
  if ('epoch' in settable) settable.epoch = epoch;
  if (!('start' in settable)) return start ? from(loader, start) : loader;
  settable.start = start;
  return loader;
}

async function* from<B>(batches: Batches<B>, start: number): AsyncGenerator<B> {
  let passed = 0;
  for await (const batch of batches) {
    if (passed >= start) yield batch;
    passed += sizeOf(batch);
  }
}

/** Samples of a batch: the first dimension of its first tensor. */
export function sizeOf(batch: unknown): number {
  for (const { shape } of tensorsIn(batch)) if (shape[0] !== undefined) return shape[0];
  throw new InputError(
    'Trainer: a batch holds no tensor whose first dimension counts its samples. Batches are tensors, or arrays and plain objects of them.',
  );
}

/**
 * A batch as a step gets it: without `size` and `index`, which say where in the epoch it is. In a compiled step any other number would stay
 * what it was in the first batch: refused.
 */
export function forStep<B>(batch: B, compiled: boolean): B {
  const given = isPlain(batch) ? { ...batch, size: undefined, index: undefined } : batch;
  const odd = compiled ? notTensor(given, '') : null;
  if (odd)
    throw new InputError(
      `Trainer: a batch holds ${odd}, which a compiled step would not see change. Make it a tensor in the loader, or pass { compile: false }.`,
    );
  return given;
}

function notTensor(value: unknown, path: string): string | null {
  if (value instanceof Tensor || value === null || value === undefined) return null;
  if (!Array.isArray(value) && !isPlain(value)) return `${String(value)} at ${path || 'its top'}`;
  for (const [key, item] of Object.entries(value)) {
    const found = notTensor(item, path ? `${path}.${key}` : key);
    if (found) return found;
  }
  return null;
}

/**
 * Calls `each` for batch after batch until it says false. Where neither the batches nor `each` are async, it does not wait between them: no
 * other function runs between two steps.
 */
export async function visit<B>(batches: Batches<B>, each: (batch: B) => unknown): Promise<void> {
  const iterator = Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
  let open = true;
  try {
    for (;;) {
      const next = iterator.next();
      const { value, done } = next instanceof Promise ? await next : next;
      if (done) {
        open = false;
        return;
      }
      const answer = each(value);
      if ((answer instanceof Promise ? await answer : answer) === false) return;
    }
  } finally {
    if (open) await iterator.return?.();
  }
}
