// Set-up step 2: which driver to run on, and with which node. A real adapter, else an installed software driver that Dawn accepts,
// else lavapipe, else SwiftShader. DAWNFIELD_ADAPTER (gpu, software or a part of an adapter's name) narrows the choice.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hashOf, readJson, writeWhole } from './files.mjs';
import { lavapipe } from './lavapipe.mjs';
import { cacheFolder } from './places.mjs';
import { probe } from './probe.mjs';
import { SetupError, say } from './say.mjs';
import { swiftshader } from './swiftshader.mjs';

/**
 * @typedef {{ node: string, env: Record<string, string> }} Runner a node binary and what it adds to the environment
 * @typedef {Runner & { driver: string, adapter: string, why: string }} Choice
 * @typedef {{ name: string, says: string, get: () => Runner }} Install a software driver that can be installed: `get` does it, or throws
 *   a SetupError; says: part of what its adapter is called
 * @typedef {(node: string, env: Record<string, string>) => import('./probe.mjs').Found[]} Probe
 */

/**
 * @param {string | undefined} wanted DAWNFIELD_ADAPTER
 * @param {Probe} ask
 * @param {Install[]} installs in the order to try
 * @returns {Choice}
 */
export function choose(wanted, ask, installs) {
  /** @param {import('./probe.mjs').Found} found */
  const fits = ({ text, software }) => {
    if (!wanted) return true;
    if (wanted === 'software' || wanted === 'gpu') return software === (wanted === 'software');
    return text.toLowerCase().includes(wanted.toLowerCase());
  };
  const here = { node: process.execPath, env: {} };
  const installed = ask(here.node, here.env);
  const real = installed.find((found) => fits(found) && !found.software);
  if (real) return { ...here, driver: 'system', adapter: real.name, why: 'a real adapter' };
  const names = installed.map(({ name }) => name).join(', ') || 'none';
  if (wanted === 'gpu')
    throw new SetupError(`DAWNFIELD_ADAPTER=gpu, but Dawn finds no real adapter (found: ${names}).\n${advice}`);
  const reason = wanted ? `DAWNFIELD_ADAPTER=${wanted}` : 'no real adapter';
  const software = installed.find((found) => fits(found));
  if (software)
    return { ...here, driver: 'system', adapter: software.name, why: `${reason}; an installed software driver` };

  const failures = [];
  for (const { name, says, get } of installs) {
    const named = wanted && wanted !== 'software';
    if (named && ![name, says].includes(wanted.toLowerCase())) continue;
    try {
      const runner = get();
      const [found] = ask(runner.node, runner.env);
      // With this environment the driver is the only one: programs need not match the name again.
      const env = named ? { ...runner.env, DAWNFIELD_ADAPTER: 'software' } : runner.env;
      if (found)
        return { ...runner, env, driver: name, adapter: found.name, why: `${reason}; ${name} in a private folder` };
      failures.push(`${name}: Dawn does not accept it`);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      failures.push(`${name}: ${error.message}`);
    }
  }
  throw new SetupError(
    `no Vulkan, Metal or D3D12 adapter${wanted ? ` fits DAWNFIELD_ADAPTER=${wanted}` : ''} (installed: ${names}).\n` +
      `${failures.map((line) => `  ${line}\n`).join('')}${advice}`,
  );
}

const advice =
  'Install a driver: that of your GPU (with its Vulkan part), or Mesa 24 or newer, which has a software one:\n' +
  '  Debian 13, Ubuntu 24.04 and later: apt install libvulkan1 mesa-vulkan-drivers\n' +
  '  Fedora: dnf install vulkan-loader mesa-vulkan-drivers    Arch: pacman -S vulkan-icd-loader vulkan-swrast\n' +
  '  Debian 12: apt install libvulkan1 chromium (its own Mesa is too old for Dawn; chromium brings SwiftShader)';

/** Everything that could change the choice: the cached one holds while this stays the same. */
function circumstances() {
  const {
    DAWNFIELD_ADAPTER,
    VK_ICD_FILENAMES,
    VK_DRIVER_FILES,
    VK_ADD_DRIVER_FILES,
    LD_LIBRARY_PATH,
    LP_NATIVE_VECTOR_WIDTH,
  } = process.env;
  const folders = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/dev/dri'];
  const seen = [
    process.execPath,
    process.version,
    [DAWNFIELD_ADAPTER, VK_ICD_FILENAMES, VK_DRIVER_FILES, VK_ADD_DRIVER_FILES, LD_LIBRARY_PATH],
    [LP_NATIVE_VECTOR_WIDTH, hashOf(import.meta.dirname, ['lavapipe.mjs', 'swiftshader.mjs'])], // a newer set-up may have a better driver
    folders.map((folder) => (existsSync(folder) ? readdirSync(folder) : [])),
    existsSync('/dev/nvidiactl'),
  ];
  return createHash('sha256').update(JSON.stringify(seen)).digest('hex');
}

/**
 * The driver to use: the cached choice where nothing that it rests on has changed.
 * @param {{ again?: boolean }} [options] again: choose again
 * @returns {Choice}
 */
export function findDriver({ again = false } = {}) {
  const { DAWNFIELD_DRIVER } = process.env; // set by an outer run of this set-up, whose choice holds
  if (DAWNFIELD_DRIVER) {
    return { node: process.execPath, env: {}, driver: 'inherited', adapter: '', why: DAWNFIELD_DRIVER };
  }
  const cache = cacheFolder();
  const file = join(cache, 'driver.json');
  const key = circumstances();
  const cached = again ? null : readJson(file);
  const icd = cached?.env?.VK_ICD_FILENAMES;
  if (cached?.key === key && existsSync(cached.node) && (!icd || existsSync(icd))) return cached;

  const choice = choose(process.env.DAWNFIELD_ADAPTER, probe, [
    { name: 'lavapipe', says: 'llvmpipe', get: () => lavapipe(cache) },
    { name: 'swiftshader', says: 'swiftshader', get: () => swiftshader(cache) },
  ]);
  say(`running on ${choice.adapter}: ${choice.why}`);
  writeWhole(file, JSON.stringify({ key, ...choice }, null, 2));
  return choice;
}
