// Pipelines and bind-group layouts, each created once per distinct source.
import type { Kernel } from '../../shaders/kernel';
import { GpuError } from './errors';

/** A compiled kernel. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Position in the order of creation: part of the bind-group key. */
  readonly layoutId: number;
}

/** Caches pipelines by kernel object, then by source text. */
export class Pipelines {
  #byKernel = new WeakMap<Kernel, Compiled>();
  #bySource = new Map<string, Compiled>();
  #layouts = new Map<
    string,
    { layout: GPUBindGroupLayout; id: number; plain: GPUPipelineLayout; uniform: GPUPipelineLayout }
  >();
  readonly uniformLayout: GPUBindGroupLayout;
  created = 0;

  constructor(
    readonly device: GPUDevice,
    readonly report: (what: string, error: Promise<GPUError | null>) => void,
  ) {
    const buffer: GPUBufferBindingLayout = { type: 'uniform', hasDynamicOffset: true };
    this.uniformLayout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer }],
    });
  }

  get(kernel: Kernel): Compiled {
    let compiled = this.#byKernel.get(kernel);
    if (!compiled) {
      const key = `${kernel.access}${kernel.uniforms ? 'u' : ''}\n${kernel.code}`;
      compiled = this.#bySource.get(key);
      if (!compiled) this.#bySource.set(key, (compiled = this.#compile(kernel)));
      this.#byKernel.set(kernel, compiled);
    }
    return compiled;
  }

  #layout(access: string) {
    const key = access.replaceAll('x', 'w');
    let found = this.#layouts.get(key);
    if (!found) {
      const limit = this.device.limits.maxStorageBuffersPerShaderStage;
      if (key.length > limit)
        throw new GpuError(`a kernel binds ${key.length} storage buffers, this adapter allows ${limit}`);
      const entries = [...key].map((letter, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: letter === 'r' ? 'read-only-storage' : 'storage' } as GPUBufferBindingLayout,
      }));
      const layout = this.device.createBindGroupLayout({ entries });
      const plain = this.device.createPipelineLayout({ bindGroupLayouts: [layout] });
      const uniform = this.device.createPipelineLayout({ bindGroupLayouts: [layout, this.uniformLayout] });
      this.#layouts.set(key, (found = { layout, id: this.#layouts.size, plain, uniform }));
    }
    return found;
  }

  #compile(kernel: Kernel): Compiled {
    const { layout, id, plain, uniform } = this.#layout(kernel.access);
    this.created++;
    this.device.pushErrorScope('validation');
    const module = this.device.createShaderModule({ code: kernel.code, label: kernel.name });
    const pipeline = this.device.createComputePipeline({
      label: kernel.name,
      layout: kernel.uniforms ? uniform : plain,
      compute: { module, entryPoint: 'main' },
    });
    this.report(
      `compiling the kernel '${kernel.name}'`,
      this.device.popErrorScope().then((error) => withSource(error, module, kernel)),
    );
    return { pipeline, layout, layoutId: id };
  }
}

/** Adds the WGSL lines that the compiler complains about. */
async function withSource(error: GPUError | null, module: GPUShaderModule, kernel: Kernel): Promise<GPUError | null> {
  if (!error) return null;
  const lines = kernel.code.split('\n');
  const notes = (await module.getCompilationInfo()).messages
    .filter((message) => message.type === 'error')
    .map((m) => `  line ${m.lineNum}:${m.linePos}: ${m.message}\n    ${lines[m.lineNum - 1]?.trim() ?? ''}`);
  return notes.length ? { message: `WGSL does not compile\n${notes.join('\n')}` } : { message: error.message };
}
