// What kernels are made for on an adapter. A class of adapter decides, not a model.
import { type KernelTarget, kernelTarget } from '../../shaders/target';

/** Whether the adapter runs shaders on the CPU (lavapipe, SwiftShader, WARP). Implementations that do not say so are told by name. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter ||
  /llvmpipe|lavapipe|swiftshader|\bwarp\b|basic render|software (?:adapter|rasterizer|renderer)/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );

/** The target of an adapter. `features` are those that the device was opened with. */
export function targetOf(info: GPUAdapterInfo, features: ReadonlySet<string>): KernelTarget {
  const known = features.has('subgroups') && info.subgroupMinSize === info.subgroupMaxSize;
  return kernelTarget({ isCpu: isSoftware(info), subgroupSize: (known && info.subgroupMinSize) || 0 });
}
