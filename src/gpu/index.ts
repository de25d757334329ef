// The device room: adapters, memory, kernels and the command queue. It knows no tensor.

import type { Device } from './device';
import { AdapterError, DeviceLostError, InputError } from './errors';
import { openDevice } from './open';
import { checked, is, type OptionTable, word } from './options';
import type { AdapterOptions } from './provider';
import type { TuneOptions, TuningTable } from './tuning';

export { type Binding, Storage, type TypedBinding } from './blocks';
export { type Constant, f32, Scalar, scalar } from './constants';
export type { Device, Grid } from './device';
export * from './errors';
export { chromeTrace, type ProfiledLaunch, summarize } from './profiler';
export type { AdapterOptions } from './provider';
export type { DeviceStats } from './stats';
export type { TuneOptions, TuningTable } from './tuning';

const ADAPTER: OptionTable<AdapterOptions> = {
  adapter: is.text,
  powerPreference: word('low-power', 'high-performance'),
  profile: word('safe', 'fast'),
  autotune: is.flag,
  subgroupMatrix: is.flag,
  asyncPipelines: is.flag,
  memoryLimit: is.number,
};

/** Told by the layer that knows modules where launches come from. */
let describePath: () => string = () => '';

export function setPath(describe: () => string): void {
  describePath = describe;
}

/** What the layer that knows tensors does about the bytes that the program holds. */
interface HeldMemory {
  /** Bytes held now. */
  bytes(): number;
  /** Sets the most that may be held; null where the program has not said. */
  limit(bytes: number | null): void;
}
let heldMemory: HeldMemory = { bytes: () => 0, limit: () => undefined };

export function setHeldMemory(held: HeldMemory): void {
  heldMemory = held;
}

let current: Device | null = null;
/** The device that is being opened, with the options it was asked for. */
let opening: { device: Promise<Device>; options: AdapterOptions } | null = null;

/**
 * Opens the GPU. Call it once, before the first tensor; a second call returns the same device, with another `memoryLimit` if given.
 * Throws AdapterError with what to do when there is no usable adapter, or when a second call asks for other options.
 */
export async function init(options: AdapterOptions = {}): Promise<Device> {
  checked('init', options, ADAPTER);
  const { memoryLimit } = options;
  if (memoryLimit !== undefined && !(memoryLimit > 0))
    throw new InputError(`init: memoryLimit is ${memoryLimit}, it must be a number of bytes above 0`);
  if (memoryLimit !== undefined || !(opening || (current && !current.lost))) heldMemory.limit(memoryLimit ?? null);
  if (current && !current.lost) {
    requireSame(current.options, options);
    return current;
  }
  if (opening) requireSame(opening.options, options);
  else {
    shutdown();
    opening = { device: openDevice(options), options };
  }
  const mine = opening;
  try {
    const opened = await mine.device;
    if (opening !== mine && current !== opened) {
      opened.destroy();
      throw new DeviceLostError('init: shutdown() was called before the device was open');
    }
    current = opened;
    current.path = describePath;
    current.bytesHeld = heldMemory.bytes;
    return current;
  } finally {
    if (opening === mine) opening = null;
  }
}

/** One device serves all: what was asked for first holds. */
function requireSame(first: AdapterOptions, second: AdapterOptions): void {
  for (const key of ['adapter', 'powerPreference', 'profile', 'autotune', 'subgroupMatrix', 'asyncPipelines'] as const)
    if (second[key] !== undefined && second[key] !== first[key])
      throw new AdapterError(
        `init: the device was opened with ${key} ${first[key] ?? 'not set'}, now it is asked for with ${key} ${second[key]}. ` +
          'Pass the same options, or call shutdown() before init(): tensors on the device are lost then.',
      );
}

/** The device in use. Throws when `init()` was not awaited. */
export function device(): Device {
  if (!current) throw new AdapterError('no device yet: `await init()` once before the first tensor is made');
  return current;
}

/**
 * Chooses the fastest kernels for the convolutions and matrix products that ran since `init({ autotune: true })`: from the cache of this
 * adapter, else by trying the variants of each on scratch memory. Launches from then on use them; a compiled step keeps what it was
 * traced with, so call it after the first, uncompiled step. Another variant may add up in another order: the last bits may change, once.
 * Resolves to what was chosen other than built in, by operation, shape and adapter class. Throws InputError where tuning is off.
 *
 *     await init({ autotune: true });
 *     step(images, labels);
 *     await tune();
 */
export function tune(options?: TuneOptions): Promise<TuningTable> {
  return device().tuning.tune(checked('tune', options, { onNotice: is.func }));
}

const closing: (() => void)[] = [];

/** Has `action` run whenever a device goes: for caches of what lies on it. */
export function onShutdown(action: () => void): void {
  closing.push(action);
}

/** Frees the GPU and everything on it; after it Node ends by itself. `init()` may be called again. */
export function shutdown(): void {
  if (current) for (const action of closing) action();
  current?.destroy();
  current = opening = null;
}
