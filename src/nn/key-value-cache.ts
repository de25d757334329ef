// Keys and values of the tokens so far, for generating text token by token.
import { at } from '../../shaders/checked';
import { isRecording } from '../autograd/tape';
import { device, InputError, requireWhole, Scalar, scalar } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { add, cast, le } from '../ops/elementwise';
import { reshape } from '../ops/views';
import { inputError } from '../tensor/context';
import { arange, zeros } from '../tensor/create';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { place, slice, stepsFrom } from '../tensor/views';

/** What a cache has room for. */
export interface KeyValueCacheOptions {
  /** Layers that attend. */
  layers: number;
  /** Sequences (default 1). */
  batch?: number;
  /** Heads of keys and values. */
  heads: number;
  /** Most tokens of a sequence. */
  capacity: number;
  /** Features of a head; those of its values where they differ. */
  width: number;
  /** Features of a value (default `width`). */
  valueWidth?: number;
}

const OPTIONS: OptionTable<KeyValueCacheOptions> = {
  layers: is.number,
  batch: is.number,
  heads: is.number,
  capacity: is.number,
  width: is.number,
  valueWidth: is.number,
};

/** The tokens of one pass: where they stand, and what they see of the cache. */
export interface CachedPass {
  /** [n], int32. */
  readonly positions: Tensor;
  /** [n, capacity], true for a token and those before it: `attnMask` of `F.scaledDotProductAttention`. */
  readonly mask: Tensor;
}

/**
 * The keys and values that a decoder has computed, so that each further token costs one row instead of all. Each pass begins with `advance(n)`, then each
 * layer stores its own with `append` and attends to all that come back:
 *
 *     const { positions, mask } = cache.advance(tokens);
 *     const { keys, values } = cache.append(layer, k, v);           // k, v: [batch, heads, tokens, width]
 *     const y = F.scaledDotProductAttention(q, keys, values, { attnMask: mask });
 *
 * All shapes stay, so a pass can be compiled: its replays go on where the last one ended.
 */
export class KeyValueCache {
  /** The options, defaults filled in. */
  readonly options: Required<KeyValueCacheOptions>;
  readonly #keys: Tensor[];
  readonly #values: Tensor[];
  #length = 0;
  #count = 0;
  /** Where the tokens of this pass begin. */
  #start = new Scalar(0);

  constructor(options: KeyValueCacheOptions) {
    const { batch = 1, ...o } = checked('KeyValueCache', options, OPTIONS);
    this.options = { batch, valueWidth: o.width, ...o };
    for (const [name, value] of Object.entries(this.options)) requireWhole(`KeyValueCache: ${name}`, value, 1, 2 ** 24);
    const { layers, heads, capacity, width, valueWidth } = this.options;
    const make = (features: number) =>
      Array.from({ length: layers }, () => zeros([batch, heads, capacity, features]).keep());
    this.#keys = make(width);
    this.#values = make(valueWidth);
  }

  /** How many tokens are in it. */
  get length(): number {
    return this.#length;
  }

  /** Forgets all tokens. */
  reset(): void {
    this.#length = 0;
  }

  /** Begins a pass over the next `count` tokens. Throws InputError where they do not fit. */
  advance(count: number): CachedPass {
    const { capacity } = this.options;
    const start = scalar(0);
    device().effect(() => {
      const before = this.#length;
      if (before + count > capacity)
        throw new InputError(
          `KeyValueCache: ${count} more tokens after ${before} do not fit into a capacity of ${capacity}; reset() forgets all`,
        );
      start.value = before;
      this.#length = before + count;
      return () => {
        this.#length = before;
      };
    });
    this.#start = start;
    this.#count = count;
    const rows = add(arange(0, count), start);
    return {
      positions: cast(rows, 'int32'),
      mask: le(arange(0, capacity), reshape(rows, [count, 1])),
    };
  }

  /** Stores the keys and values [batch, heads, tokens, width] of a layer for this pass; returns those of all tokens, [batch, heads, capacity, width]. */
  append(layer: number, keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    const [allKeys, allValues] = [this.#keys[layer], this.#values[layer]];
    if (!allKeys || !allValues)
      throw inputError('KeyValueCache', `there is no layer ${layer}`, {}, `It has ${this.options.layers}.`);
    if (isRecording() && (keys.requiresGrad || values.requiresGrad))
      throw inputError('KeyValueCache', 'a cache has no gradient', { keys, values }, 'Generate inside noGrad().');
    this.#store(allKeys, keys);
    this.#store(allValues, values);
    return { keys: allKeys, values: allValues };
  }

  #store(all: Tensor, part: Tensor): void {
    const shape = all.shape.with(2, this.#count);
    if (!sameShape(part.shape, shape))
      throw inputError(
        'KeyValueCache',
        'keys or values do not fit',
        { given: part, wanted: shape },
        'advance(tokens) begins a pass.',
      );
    place(slice(all, stepsFrom(0, 2, shape)), part, offsetOf(this.#start, all.offset, at(all.strides, 2)));
    all.memory.written();
  }

  /** Releases its memory. */
  dispose(): void {
    for (const x of [...this.#keys, ...this.#values]) x.dispose();
  }
}

/** offset + start · stride at the time of each launch. */
const offsetOf = (start: Scalar, offset: number, stride: number): Scalar =>
  Object.create(Scalar.prototype, { type: { value: 'u32' }, value: { get: () => offset + start.value * stride } });
