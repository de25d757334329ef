// Mesa's software Vulkan driver (lavapipe) for Debian 13 in a private folder, for systems whose own Mesa is too old for Dawn: the one of
// Debian's backports, which compiles and loads several times as fast as Debian 13's own (docs/performance.md, "Which lavapipe"). Its
// libraries need the newer glibc that lies beside them, so it is used by a copy of node whose interpreter and rpath point there.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { requireApt, sh, unpackDebian } from './apt.mjs';
import { appear, partOf, readJson, sweep } from './files.mjs';
import { SetupError, say } from './say.mjs';

/** @type {Record<string, { triplet: string, loader: string }>} */
const platforms = {
  x64: { triplet: 'x86_64-linux-gnu', loader: 'usr/lib64/ld-linux-x86-64.so.2' },
  arm64: { triplet: 'aarch64-linux-gnu', loader: 'usr/lib/ld-linux-aarch64.so.1' },
};

/** What may be installed, the best first: a folder's name, the parts of Debian that it comes from, and whether wide vectors gain with it. */
const releases = [
  { folder: 'lavapipe-backports', suites: ['trixie', 'trixie-backports'], wide: true },
  { folder: 'lavapipe', suites: ['trixie'], wide: false },
];

/**
 * Installs what is missing.
 * @param {string} cache
 * @returns {{ node: string, env: Record<string, string> }} how to run a program on it
 */
export function lavapipe(cache) {
  const { triplet, loader } = platforms[process.arch] ?? {};
  if (!triplet) throw new SetupError(`Debian's lavapipe is known here for x64 and arm64, not for ${process.arch}`);
  const { home, wide } = installed(cache, triplet);
  const libraries = `${join(home, 'prefix/usr/lib', triplet)}:/usr/lib/${triplet}`;
  const node = patchedNode(home, join(home, 'prefix', loader), libraries);
  const icd = join(home, 'icd.json');
  const width = process.env.LP_NATIVE_VECTOR_WIDTH || (wide && avx512() ? '512' : '');
  // The driver's cache of compiled shaders does not tell vector widths apart (seen with Mesa 25.0): each has a folder.
  const shaders = join(cache, width ? `shaders-${width}` : 'shaders');
  const runtime = join(cache, 'runtime');
  mkdirSync(shaders, { recursive: true });
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  return {
    node,
    env: {
      VK_ICD_FILENAMES: icd,
      VK_DRIVER_FILES: icd,
      MESA_SHADER_CACHE_DIR: shaders,
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR || runtime,
      ...(width && { LP_NATIVE_VECTOR_WIDTH: width }),
    },
  };
}

/**
 * How to run another program, such as Deno, on the driver that the environment names: where that lies in a private folder, through the newer
 * glibc's loader, as a program of its own would not load the driver.
 * @param {string} program @param {NodeJS.ProcessEnv} env
 * @returns {string[]} the command and its first arguments
 */
export function commandFor(program, { VK_ICD_FILENAMES = '' }) {
  const { triplet, loader } = platforms[process.arch] ?? {};
  const prefix = join(dirname(VK_ICD_FILENAMES), 'prefix');
  if (!triplet || !loader || !existsSync(join(prefix, loader))) return [program];
  return [join(prefix, loader), '--library-path', `${join(prefix, 'usr/lib', triplet)}:/usr/lib/${triplet}`, program];
}

/** Whether the processor has vectors of 512 bits; the driver takes 256 unless told. */
function avx512() {
  const file = '/proc/cpuinfo';
  const flags = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => new RegExp(`\\b${flag}\\b`).test(flags));
}

/**
 * The best release that is there or can be had.
 * @param {string} cache @param {string} triplet
 */
function installed(cache, triplet) {
  let failure;
  for (const { folder, suites, wide } of releases) {
    const home = join(cache, folder);
    if (existsSync(home)) return { home, wide };
    requireApt();
    say(
      `fetching lavapipe (${suites[suites.length - 1]}, about 60 MB) into ${home}: no Vulkan driver that Dawn accepts is installed`,
    );
    try {
      appear(home, (part) => fill(part, home, triplet, suites));
      return { home, wide };
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      say(`that failed: ${error.message}`);
      failure = error;
    }
  }
  throw failure;
}

/**
 * @param {string} part folder to fill @param {string} home where it will stand @param {string} triplet @param {string[]} suites
 */
function fill(part, home, triplet, suites) {
  const prefix = join(part, 'prefix');
  unpackDebian(prefix, { suites, packages: ['mesa-vulkan-drivers', 'libvulkan1'], dependencies: true });
  // Debian 12's: the node that Debian 13's patchelf 0.18 writes crashes at once.
  unpackDebian(join(part, 'patchelf'), { suites: ['bookworm'], packages: ['patchelf'], dependencies: false });
  rmSync(join(prefix, 'usr/share/doc'), { recursive: true, force: true });
  const icds = join(prefix, 'usr/share/vulkan/icd.d');
  const name = readdirSync(icds).find((file) => file.startsWith('lvp_icd'));
  const icd = name && readJson(join(icds, name));
  if (!icd) throw new SetupError('the package mesa-vulkan-drivers holds no lvp_icd.json');
  icd.ICD.library_path = join(home, 'prefix/usr/lib', triplet, 'libvulkan_lvp.so');
  writeFileSync(join(part, 'icd.json'), JSON.stringify(icd));
}

/**
 * The copy of this node, made again when node's version changes.
 * @param {string} home @param {string} loader @param {string} libraries
 */
function patchedNode(home, loader, libraries) {
  const folder = join(home, `node-${process.version}`);
  const node = join(folder, 'node');
  if (existsSync(node)) return node;
  say(
    `making a copy of node ${process.version} that uses the libraries in ${join(home, 'prefix')}: lavapipe needs a newer glibc`,
  );
  mkdirSync(folder, { recursive: true });
  sweep(folder, 'node');
  const part = partOf(node);
  copyFileSync(process.execPath, part);
  chmodSync(part, 0o755);
  const patchelf = join(home, 'patchelf/usr/bin/patchelf');
  sh(patchelf, ['--set-interpreter', loader, '--force-rpath', '--set-rpath', libraries, part]);
  renameSync(part, node);
  return node;
}
