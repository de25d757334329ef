// Pipelines and bind-group layouts, each created once per distinct source.
import type { Kernel } from '../../shaders/kernel';
import { GpuError } from './errors';
import type { Watch } from './watch';

/** A compiled kernel. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Position in the order of creation: part of the bind-group key. */
  readonly layoutId: number;
  /** Resolves when the compiler has answered; null once it has. */
  checking: Promise<void> | null;
  /** Why it does not compile. */
  error: GpuError | null;
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
    readonly watch: Watch,
  ) {
    const buffer: GPUBufferBindingLayout = { type: 'uniform', hasDynamicOffset: true };
    this.uniformLayout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer }],
    });
  }

  /** The kernel, compiled. Throws where the compiler has refused it, now or before. */
  get(kernel: Kernel): Compiled {
    let compiled = this.#byKernel.get(kernel);
    if (!compiled) {
      const key = `${kernel.access}${kernel.uniforms ? 'u' : ''}\n${kernel.code}`;
      compiled = this.#bySource.get(key);
      if (!compiled) this.#bySource.set(key, (compiled = this.#compile(kernel)));
      this.#byKernel.set(kernel, compiled);
    }
    if (compiled.error) throw new GpuError(compiled.error.message);
    return compiled;
  }

  #layout(access: string) {
    const key = access.replace(/[xc]/g, 'w');
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
    const compiled: Omit<Compiled, 'pipeline'> = { layout, layoutId: id, checking: null, error: null };
    let answered = () => {};
    if (!this.watch.atOnce) compiled.checking = new Promise((resolve) => (answered = resolve));
    const settle = (problem: string | null) => {
      if (problem) compiled.error = new GpuError(`compiling the kernel '${kernel.name}': ${problem}`);
      compiled.checking = null;
      answered();
    };
    let module!: GPUShaderModule;
    const pipeline = this.watch.run(
      () => {
        module = this.device.createShaderModule({ code: kernel.code, label: kernel.name });
        return this.device.createComputePipeline({
          label: kernel.name,
          layout: kernel.uniforms ? uniform : plain,
          compute: { module, entryPoint: 'main' },
        });
      },
      (error) => {
        if (!error) settle(null);
        else if (this.watch.atOnce) settle(withLines(error.message, kernel));
        // The message of a scope may not say where: the module knows.
        else
          this.watch.track(
            notes(module, kernel).then(
              (found) => settle(found ?? error.message),
              () => settle(error.message),
            ),
          );
      },
    );
    return Object.assign(compiled, { pipeline });
  }
}

const refused = (lines: string[]) => `WGSL does not compile\n${lines.join('\n')}`;

function note({ code, userCode }: Kernel, line: number, column: number, message: string): string {
  const own = userCode ? line - userCode.from : -1;
  const place =
    userCode && own >= 0 && own < userCode.lines ? `line ${own + 1} of your code` : `line ${line}:${column}`;
  return `  ${place}: ${message}\n    ${code.split('\n')[line - 1]?.trim() ?? ''}`;
}

/** The errors that the compiler tells of the module. */
async function notes(module: GPUShaderModule, kernel: Kernel): Promise<string | null> {
  const errors = (await module.getCompilationInfo()).messages.filter((message) => message.type === 'error');
  return errors.length ? refused(errors.map((m) => note(kernel, m.lineNum, m.linePos, m.message))) : null;
}

/** The same from Dawn's message, which has them as `:5:13 error: …`. */
function withLines(message: string, kernel: Kernel): string {
  const errors = [...message.matchAll(/:(\d+):(\d+) error: (.*)/g)];
  return errors.length
    ? refused(errors.map(([, line, column, text]) => note(kernel, Number(line), Number(column), text ?? '')))
    : message;
}
