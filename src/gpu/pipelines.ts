// Pipelines and bind-group layouts, each created once per distinct source.
import type { Kernel } from '../../shaders/kernel';
import { GpuError } from './errors';
import type { Outbox } from './outbox';
import type { Watch } from './watch';

/** A compiled kernel. */
export interface Compiled {
  /** Null while it compiles aside, and where that has failed. */
  pipeline: GPUComputePipeline | null;
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
  /** Whether kernels compile side by side, off this thread, while what is launched waits. */
  aside = false;

  constructor(
    readonly device: GPUDevice,
    readonly watch: Watch,
    readonly outbox: Outbox,
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
    const compiled: Compiled = { pipeline: null, layout, layoutId: id, checking: null, error: null };
    const create = this.aside ? this.#createAside : this.#create;
    create.call(this, compiled, kernel, kernel.uniforms ? uniform : plain);
    return compiled;
  }

  /** Creates it before this returns; where errors come late, it may turn out to be none. */
  #create(compiled: Compiled, kernel: Kernel, layout: GPUPipelineLayout): void {
    let answered = () => {};
    if (!this.watch.atOnce) compiled.checking = new Promise((resolve) => (answered = resolve));
    const settle = (problem: string | null) => {
      if (problem) compiled.error = failure(kernel, problem);
      compiled.checking = null;
      answered();
    };
    let module!: GPUShaderModule;
    compiled.pipeline = this.watch.run(
      () => {
        module = this.#module(kernel);
        return this.device.createComputePipeline(descriptor(kernel, layout, module));
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
  }

  /** Creates it while the program goes on. What is launched from now on waits for it. */
  #createAside(compiled: Compiled, kernel: Kernel, layout: GPUPipelineLayout): void {
    let said: string | null = null;
    const module = this.watch.run(
      () => this.#module(kernel),
      (error) => (said = error?.message ?? null),
    );
    const explained = async (reason: unknown): Promise<string> => {
      const message = said ?? (reason instanceof Error ? reason.message : String(reason));
      if (this.watch.atOnce) return withLines(message, kernel);
      return (await notes(module, kernel).catch(() => null)) ?? message;
    };
    const made = this.device.createComputePipelineAsync(descriptor(kernel, layout, module)).then(
      (pipeline) => {
        compiled.pipeline = pipeline;
      },
      async (reason: unknown) => {
        compiled.error = failure(kernel, await explained(reason));
      },
    );
    compiled.checking = made.then(() => {
      compiled.checking = null;
    });
    this.watch.track(compiled.checking);
    this.outbox.holdUntil(compiled.checking);
  }

  #module({ code, name }: Kernel): GPUShaderModule {
    return this.device.createShaderModule({ code, label: name });
  }
}

const descriptor = ({ name }: Kernel, layout: GPUPipelineLayout, module: GPUShaderModule) => ({
  label: name,
  layout,
  compute: { module, entryPoint: 'main' },
});

const failure = ({ name }: Kernel, problem: string): GpuError =>
  new GpuError(`compiling the kernel '${name}': ${problem}`);

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
