// The Node adapter: Dawn through the npm package `webgpu`. The only place under src/gpu that knows Node.

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { createContext, runInNewContext, Script } from 'node:vm';
import { create, globals } from 'webgpu';
import { AdapterError } from './errors';
import { type AdapterOptions, type AsyncContext, setProvider, type TextStore } from './provider';
import { quietly } from './quiet.node.js';
import { isSoftware } from './target';

Object.assign(globalThis, globals);

// Dawn's `GPU` objects stay referenced to the end: when one is collected while anything of a device is left, even of a destroyed one,
// the process crashes. They do not keep it alive.
const gpus = new Map<string, GPU>();

const SAFE_ON = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
const FAST_ON = [
  'disable_robustness',
  'skip_validation',
  'disable_workgroup_init',
  'disable_polyfills_on_integer_div_and_mod',
  'disable_lazy_clear_for_mapped_at_creation_buffer',
];

function dawnFlags(profile: 'safe' | 'fast'): string[] {
  const on = profile === 'fast' ? [...SAFE_ON, ...FAST_ON] : SAFE_ON;
  return [`enable-dawn-features=${on.join(',')}`, 'disable-dawn-features=timestamp_quantization'];
}

function matches(adapter: GPUAdapter, wanted: string): boolean {
  if (wanted === 'software' || wanted === 'gpu') return isSoftware(adapter.info) === (wanted === 'software');
  const { vendor, architecture, device, description } = adapter.info;
  return `${vendor} ${architecture} ${device} ${description}`.toLowerCase().includes(wanted.toLowerCase());
}

function environment(): AdapterOptions {
  const { DAWNFIELD_ADAPTER: adapter, DAWNFIELD_PROFILE: profile, DAWNFIELD_AUTOTUNE: autotune } = process.env;
  const { DAWNFIELD_SUBGROUP_MATRIX: matrices } = process.env;
  if (profile && profile !== 'safe' && profile !== 'fast')
    throw new AdapterError(`DAWNFIELD_PROFILE is '${profile}': it must be 'safe' or 'fast'`);
  if (autotune && autotune !== '1')
    throw new AdapterError(`DAWNFIELD_AUTOTUNE is '${autotune}': it must be 1, or not set`);
  if (matrices && matrices !== '0' && matrices !== '1')
    throw new AdapterError(`DAWNFIELD_SUBGROUP_MATRIX is '${matrices}': it must be 0 or 1, or not set`);
  return {
    ...(adapter && { adapter }),
    ...(profile && { profile: profile as 'safe' | 'fast' }),
    ...(autotune && { autotune: true }),
    ...(matrices && { subgroupMatrix: matrices === '1' }),
  };
}

async function requestAdapter(options: AdapterOptions): Promise<GPUAdapter | null> {
  const { adapter: wanted, profile = 'safe' } = options;
  const gpu = gpus.get(profile) ?? create(dawnFlags(profile));
  gpus.set(profile, gpu);
  const preferences: GPUPowerPreference[] = options.powerPreference
    ? [options.powerPreference]
    : ['high-performance', 'low-power'];
  const seen: string[] = [];
  for (const powerPreference of preferences)
    for (const forceFallbackAdapter of wanted === 'software' ? [true, false] : [false, true]) {
      const adapter = await quietly(() => gpu.requestAdapter({ powerPreference, forceFallbackAdapter }));
      if (!adapter) continue;
      if (!wanted || matches(adapter, wanted)) return adapter;
      seen.push(adapter.info.description || adapter.info.device);
    }
  if (seen.length)
    throw new AdapterError(
      `no adapter matches '${wanted}' (DAWNFIELD_ADAPTER or init({ adapter })); there is: ${[...new Set(seen)].join(', ')}`,
    );
  return null;
}

/** Files in `$XDG_CACHE_HOME/dawnfield`, by default `~/.cache/dawnfield`. */
const store: TextStore = {
  place: (name) => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dawnfield', `${name}.json`),
  read: (name) =>
    statSync(store.place(name), { throwIfNoEntry: false }) ? readFileSync(store.place(name), 'utf8') : null,
  write(name, text) {
    const path = store.place(name);
    mkdirSync(dirname(path), { recursive: true });
    const made = `${path}.${randomUUID()}.tmp`;
    try {
      writeFileSync(made, text, { flag: 'wx' });
      renameSync(made, path);
    } catch (error) {
      rmSync(made, { force: true });
      throw error;
    }
  },
};

/**
 * V8's collector, which also works in the middle of a synchronous loop: a context with a queue of microtasks of its own ends its turn when a
 * script in it ends, and V8 then forgets which WeakRefs were looked at in this turn. Null where an engine does not work like that.
 */
function collector(): (() => void) | null {
  try {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const context = createContext({}, { microtaskMode: 'afterEvaluate' });
    const turn = new Script('0');
    const collect = (): void => {
      turn.runInContext(context);
      gc();
    };
    const made = (() => new WeakRef({}))();
    collect();
    return made.deref() ? null : collect;
  } catch {
    return null;
  }
}

function asyncContext<T>(): AsyncContext<T> {
  const storage = new AsyncLocalStorage<T>();
  return { run: (value, body) => storage.run(value, body), get: () => storage.getStore() };
}

const cell = new Int32Array(new SharedArrayBuffer(4));

setProvider({
  environment,
  requestAdapter,
  store,
  errorsAtOnce: true,
  collector,
  asyncContext,
  explain: () =>
    'Dawn found no Vulkan, Metal or D3D12 adapter that it accepts. Run `npx dawnfield doctor`: it looks for a driver and, on Debian, ' +
    'installs a software one in a private folder, on which `npx dawnfield run FILE` runs your program. Elsewhere install the GPU driver, or Mesa 24 or newer (mesa-vulkan-drivers).',
  // With 0.5 ms one image through ResNet-20 took 8.5 ms (median of three), with 0.2 it takes 6.6, with less no less in every round.
  nap: () => void Atomics.wait(cell, 0, 0, 0.2),
});
