// The exceptions of the framework. Every message says what was done, with which shapes, where, and what to do about it.

/** Base class: `error instanceof DawnfieldError` tells our errors from others. */
export class DawnfieldError extends Error {
  /** Name of the class, to tell errors apart where `instanceof` cannot. */
  override name = 'DawnfieldError';
}

/** The operation does not accept these shapes, types or options. Thrown before anything reaches the GPU. */
export class InputError extends DawnfieldError {
  /** 'InputError'. */
  override name = 'InputError';
}

/** No adapter, or none that can run the framework. */
export class AdapterError extends DawnfieldError {
  /** 'AdapterError'. */
  override name = 'AdapterError';
}

/** The GPU refused a command or a shader: an error of the framework or of a custom kernel. */
export class GpuError extends DawnfieldError {
  /** 'GpuError'. */
  override name = 'GpuError';
}

/** The adapter's memory, or a limit on the size of one buffer, is exhausted. */
export class OutOfMemoryError extends GpuError {
  /** 'OutOfMemoryError'. */
  override name = 'OutOfMemoryError';
}

/** The device is gone: driver reset, GPU unplugged, or `shutdown()` was called. */
export class DeviceLostError extends GpuError {
  /** 'DeviceLostError'. */
  override name = 'DeviceLostError';
}

/** A tensor whose memory was released is used. */
export class ReleasedError extends DawnfieldError {
  /** 'ReleasedError'. */
  override name = 'ReleasedError';
}

/** Refuses what is no whole number within [least, most], before a loop or a model of that size begins. */
export function requireWhole(what: string, value: unknown, least: number, most: number): void {
  if (!(Number.isInteger(value) && (value as number) >= least && (value as number) <= most))
    throw new InputError(`${what} is ${value}: it must be a whole number from ${least} to ${most}`);
}

/** Bytes for humans: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(bytes < 10 ? 2 : 1)} ${units[unit]}`;
}
