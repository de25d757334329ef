// Types of the platform that the library's own types name: those of the program where it has them (from TypeScript's DOM library, `@webgpu/types`,
// `webgpu` or `@types/node`), else the few members that are of use without. Nothing is declared globally, so that nothing is declared twice.

type Known<Name extends string, Otherwise> = typeof globalThis extends { [key in Name]: { prototype: infer Type } }
  ? Type
  : Otherwise;

interface Labelled {
  label: string;
}

interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}

export type GPUAdapterInfo = Known<'GPUAdapterInfo', AdapterInfo>;
export type GPUAdapter = Known<'GPUAdapter', { readonly info: AdapterInfo }>;
export type GPUBindGroup = Known<'GPUBindGroup', Labelled>;
export type GPUBindGroupLayout = Known<'GPUBindGroupLayout', Labelled>;
export type GPUBuffer = Known<'GPUBuffer', Labelled & { readonly size: number }>;
export type GPUCommandEncoder = Known<'GPUCommandEncoder', Labelled>;
export type GPUComputePipeline = Known<'GPUComputePipeline', Labelled>;
export type GPUDevice = Known<'GPUDevice', Labelled>;
export type GPUError = Known<'GPUError', { readonly message: string }>;
export type GPUQueue = Known<'GPUQueue', Labelled>;
export type GPUQuerySet = Known<'GPUQuerySet', Labelled>;
export type GPUSupportedLimits = Known<'GPUSupportedLimits', object>;
export type GPUPowerPreference = 'low-power' | 'high-performance';
export interface GPUComputePassTimestampWrites {
  querySet: GPUQuerySet;
  beginningOfPassWriteIndex?: number;
  endOfPassWriteIndex?: number;
}
export type AbortSignal = Known<'AbortSignal', { readonly aborted: boolean; readonly reason: unknown }>;
