// Which formulation of the kernels an adapter gets. The table is short on purpose: a class of adapter, not a model.
import type { Back } from '../../shaders/kernel';

/** True for drivers that run shaders on the CPU (lavapipe, SwiftShader, WARP). */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return /llvmpipe|swiftshader|lavapipe|warp|basic render/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}

/** The back for an adapter: lane-broadcast kernels on software drivers with subgroups, workgroup-memory tiles elsewhere. */
export function backFor(info: GPUAdapterInfo, features: ReadonlySet<string>): Back {
  const subgroups = features.has('subgroups');
  const size = (subgroups && info.subgroupMinSize === info.subgroupMaxSize && info.subgroupMinSize) || 0;
  return { kind: isSoftware(info) ? 'software' : 'simt', subgroups, subgroupSize: size };
}
