// Asks Dawn for its adapters in a child process, since a bad driver may crash it. Run as a program, this file is that child.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ name: string, text: string, software: boolean }} Found name: for people; text: all that DAWNFIELD_ADAPTER may match
 */

/**
 * The adapters on which a device can be made and memory read back.
 * @param {string} node the node binary to ask with
 * @param {Record<string, string>} env added to this process's environment
 * @returns {Found[]}
 */
export function probe(node, env) {
  const { status, stdout } = spawnSync(node, [fileURLToPath(import.meta.url), 'child'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 60_000,
  });
  return status === 0 ? JSON.parse(stdout) : [];
}

async function child() {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const gpu = create([]);
  /** @type {Map<string, Found>} */
  const found = new Map();
  /** @type {GPURequestAdapterOptions[]} */
  const requests = [
    { powerPreference: 'high-performance' },
    { powerPreference: 'low-power' },
    { forceFallbackAdapter: true },
  ];
  for (const request of requests) {
    const adapter = await gpu.requestAdapter(request);
    if (!adapter) continue;
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
    const text = `${vendor} ${architecture} ${device} ${description}`;
    if (found.has(text)) continue;
    const works = await adapter.requestDevice();
    const buffer = works.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    await buffer.mapAsync(GPUMapMode.READ);
    found.set(text, { name: description || device, text, software: isFallbackAdapter });
  }
  process.stdout.write(JSON.stringify([...found.values()]), () => process.exit(0)); // Dawn would keep the process alive
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === 'child') await child();
