// Opens the adapter that the program and the environment ask for.
import { Device } from './device';
import { AdapterError } from './errors';
import { type AdapterOptions, provider } from './provider';

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
  const requiredFeatures = WANTED.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
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
