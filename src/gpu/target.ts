// What kernels are made for on an adapter. A class of adapter decides, not a model.
import { type KernelTarget, kernelTarget, type MatrixUnit } from '../../shaders/target';

/** Whether the adapter runs shaders on the CPU (lavapipe, SwiftShader, WARP). Implementations that do not say so are told by name. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter ||
  /llvmpipe|lavapipe|swiftshader|\bwarp\b|basic render|software (?:adapter|rasterizer|renderer)/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );

/** The experimental feature of WebGPU for matrices that a subgroup multiplies: matrix units, tensor cores. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

/** A size of matrices as the adapter tells of it. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The largest matrices of halves, with sums in float32, that the adapter tells of; null where there are none. */
export function matrixUnit(info: GPUAdapterInfo): MatrixUnit | null {
  const { subgroupMatrixConfigs: configs = [] } = info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> };
  const units = [...configs].filter((c) => c.componentType === 'f16' && c.resultComponentType === 'f32');
  const [largest] = units.sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return largest ? { m: largest.M, n: largest.N, k: largest.K } : null;
}

/** The size of an adapter's subgroups, or 0 where the driver may choose it. */
export const subgroupSizeOf = ({ subgroupMinSize = 0, subgroupMaxSize }: GPUAdapterInfo): number =>
  subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0;

/** The target of an adapter. `features` are those that the device was opened with; `first`: matrix units were asked for. */
export function targetOf(info: GPUAdapterInfo, features: ReadonlySet<string>, first = false): KernelTarget {
  const subgroupSize = features.has('subgroups') ? subgroupSizeOf(info) : 0;
  const unit = features.has(SUBGROUP_MATRIX) && subgroupSize ? matrixUnit(info) : null;
  return kernelTarget({ isCpu: isSoftware(info), subgroupSize, ...(unit && { matrix: { ...unit, first } }) });
}
