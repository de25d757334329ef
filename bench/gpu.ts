// The adapter that every contestant runs on: chosen as dawnfield chooses it, with the same Dawn toggles, and waited for in the same way.
import { isSoftware } from '../src/gpu/target';
import '../src/gpu/node';
import { provider } from '../src/gpu/provider';
import type { Wait } from './workload';

/** Bounds checks and validation off, as `cifar-train` runs, unless DAWNFIELD_PROFILE says otherwise. */
export const options = { profile: 'fast' as const, ...provider().environment?.() };

export async function openAdapter(): Promise<GPUAdapter> {
  const adapter = await provider().requestAdapter(options);
  if (!adapter) throw new Error(provider().explain());
  return adapter;
}

/** Naps while `promise` is pending where the adapter is a processor: dawn.node's polling would take a core from the driver. */
export function waiter(adapter: GPUAdapterInfo): Wait {
  const { nap } = provider();
  if (!nap || !isSoftware(adapter)) return (promise) => promise;
  return async (promise) => {
    let waiting = true;
    const doze = () => {
      if (!waiting) return;
      nap();
      setImmediate(doze);
    };
    setImmediate(doze);
    try {
      return await promise;
    } finally {
      waiting = false;
    }
  };
}

/** Puts the adapter where browser libraries look for it. */
export function defineNavigator(): void {
  const gpu = { requestAdapter: openAdapter, getPreferredCanvasFormat: () => 'rgba8unorm' as const };
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'Node' }, configurable: true });
}

const COUNTED = {
  dispatches: ['GPUComputePassEncoder', ['dispatchWorkgroups']],
  submits: ['GPUQueue', ['submit']],
  objects: ['GPUDevice', ['createBuffer', 'createBindGroup', 'createComputePipeline', 'createComputePipelineAsync']],
} as const;

export type Commands = Record<keyof typeof COUNTED, number>;

/** Counts what `body` asks of WebGPU, whoever asks. */
export async function countCommands(body: () => Promise<void>): Promise<Commands> {
  const counts: Commands = { dispatches: 0, submits: 0, objects: 0 };
  const undo: (() => void)[] = [];
  for (const key of Object.keys(COUNTED) as (keyof Commands)[]) {
    const [owner, methods] = COUNTED[key];
    const prototype = (globalThis as unknown as Record<string, { prototype: Record<string, unknown> }>)[owner]
      .prototype;
    for (const method of methods) {
      const original = prototype[method] as (...args: unknown[]) => unknown;
      prototype[method] = function (this: unknown, ...args: unknown[]) {
        counts[key]++;
        return original.apply(this, args);
      };
      undo.push(() => (prototype[method] = original));
    }
  }
  try {
    await body();
  } finally {
    for (const restore of undo) restore();
  }
  return counts;
}
