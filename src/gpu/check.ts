// What is refused before a launch is encoded: with it the GPU would compute something else, or nothing, and say so late or never.
import { at } from '../../shaders/checked';
import { elementsOf, showElements } from '../../shaders/elements';
import type { Kernel, Workgroups } from '../../shaders/kernel';
import { type Binding, overlap, type Pool, type TypedBinding } from './blocks';
import { bindingSize, MOST_UNIFORMS } from './commands';
import type { Constant } from './constants';
import { DeviceLostError, formatBytes, GpuError, InputError, OutOfMemoryError } from './errors';
import { VirtualBlock } from './trace';

/** Throws before anything is encoded: bindings, constants, memory, element types and limits of one launch. */
export function checkLaunch(
  { limits, pool }: { readonly limits: GPUSupportedLimits; readonly pool: Pool },
  kernel: Kernel,
  storages: readonly TypedBinding[],
  constants: readonly Constant[],
  grid: Workgroups,
): void {
  const { name, access } = kernel;
  if (storages.length !== access.length)
    throw new GpuError(`${name}: ${storages.length} buffers for ${access.length} bindings`);
  if (constants.length * 4 > (kernel.uniforms ?? 0))
    throw new GpuError(`${name}: ${constants.length} constants for ${kernel.uniforms ?? 0} bytes`);
  if ((kernel.uniforms ?? 0) > MOST_UNIFORMS)
    throw new GpuError(`${name}: ${kernel.uniforms} bytes of constants, at most ${MOST_UNIFORMS}`);
  const limit = limits.maxStorageBufferBindingSize;
  const align = limits.minStorageBufferOffsetAlignment;
  const declared = elementsOf(kernel);
  storages.forEach((storage, i) => {
    checkHome(pool, name, i, storage);
    const own = at(declared, i);
    if ((storage.element & own.element) === 0)
      throw new InputError(
        `${name}: '${own.name}' (binding ${i}) is memory of ${showElements(own.element)}, ` +
          `it was given a tensor of ${showElements(storage.element)}. Convert the tensor first: x.to(dtype).`,
      );
    if (bindingSize(storage) > limit)
      throw new OutOfMemoryError(
        `${name}: binding ${i} has ${formatBytes(storage.bytes)}, this adapter allows ${formatBytes(limit)} (maxStorageBufferBindingSize). ` +
          'Use a smaller batch or split the tensor.',
      );
    if (storage.offset % align || storage.offset + bindingSize(storage) > storage.block.size)
      throw new GpuError(
        `${name}: binding ${i}, bytes ${storage.offset} to ${storage.offset + bindingSize(storage)}, must begin at a multiple of ${align} ` +
          `and lie within the buffer's ${storage.block.size} bytes`,
      );
    if (access[i] === 'r') return;
    for (let j = 0; j < storages.length; j++) {
      const other = at(storages, j);
      if (j !== i && other.block === storage.block && (access[j] === 'r' || overlap(other, storage)))
        throw new GpuError(`${name}: bindings ${j} and ${i} share a buffer and one of them is written`);
    }
  });
  const most = limits.maxComputeWorkgroupsPerDimension;
  if (grid.some((n) => n > most || !Number.isInteger(n)))
    throw new InputError(`${name}: a grid of ${grid.join('×')} workgroups, at most ${most} each`);
}

/** Memory of a device that was shut down must not reach this one. */
export function checkHome(pool: Pool, name: string, i: number, { block }: Binding): void {
  if (!(block instanceof VirtualBlock) && block.pool !== pool)
    throw new DeviceLostError(
      `${name}: binding ${i} lies on a device that is gone (shutdown() or a loss, then init()): make the tensor again`,
    );
}
