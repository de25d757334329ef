// Opens the adapter that the program and the environment ask for.
import { Device } from './device';
import { AdapterError } from './errors';
import { type AdapterOptions, provider } from './provider';
import { isSoftware, matrixUnit, SUBGROUP_MATRIX, subgroupSizeOf } from './target';

/** Features that are asked for where the adapter offers them. */
const WANTED = ['subgroups', 'shader-f16', 'timestamp-query'] as const;
/** Limits that are asked for as high as the adapter has them. */
const HIGHEST = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

/** The device of the adapter that `options` and the environment ask for. Throws AdapterError when there is none. */
export async function openDevice(given: AdapterOptions = {}): Promise<Device> {
  const options = { profile: 'safe' as const, autotune: false, ...provider().environment?.(), ...given };
  const adapter = await provider().requestAdapter(options);
  if (!adapter) throw new AdapterError(`there is no WebGPU adapter. ${provider().explain()}`);
  const wanted: string[] = [...WANTED, ...(wantsMatrices(adapter, options) ? [SUBGROUP_MATRIX] : [])];
  const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  const requiredLimits = Object.fromEntries(HIGHEST.map((limit) => [limit, adapter.limits[limit]]));
  let gpu: GPUDevice;
  try {
    gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits, label: 'dawnfield' });
  } catch (error) {
    throw new AdapterError(
      `the adapter '${adapter.info.description}' gave no device: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return new Device(gpu, adapter, options);
}

/** Lanes of lavapipe's subgroups beyond which multiplying matrices crashes it (Mesa 25 and 26, LLVM 19). */
const MOST_CPU_LANES = 8;

/** Whether matrix units are to be opened: asked for, or worth a trial by the autotune. Throws AdapterError where they are asked for and cannot be had. */
function wantsMatrices({ features, info }: GPUAdapter, { subgroupMatrix, autotune }: AdapterOptions): boolean {
  if (subgroupMatrix === false) return false;
  const needed = [SUBGROUP_MATRIX, 'subgroups', 'shader-f16'];
  const missing = needed.find((feature) => !features.has(feature));
  const software = isSoftware(info);
  const problem = missing
    ? `has no '${missing}'`
    : !matrixUnit(info)
      ? 'multiplies no matrices of float16 with sums in float32'
      : !subgroupSizeOf(info)
        ? `may choose subgroups of ${info.subgroupMinSize} to ${info.subgroupMaxSize} lanes`
        : software && subgroupSizeOf(info) > MOST_CPU_LANES
          ? 'crashes with vectors this wide: set LP_NATIVE_VECTOR_WIDTH=256'
          : null;
  if (subgroupMatrix && problem)
    throw new AdapterError(
      `subgroupMatrix (init, DAWNFIELD_SUBGROUP_MATRIX): the adapter '${info.description}' ${problem}. Leave it out, or choose another adapter.`,
    );
  return !problem && (subgroupMatrix === true || (autotune === true && !software));
}
