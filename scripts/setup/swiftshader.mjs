// Google's software Vulkan driver (SwiftShader) out of Debian's chromium-common package: slower than lavapipe, the last thing to try.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { requireApt, unpackDebian } from './apt.mjs';
import { appear } from './files.mjs';
import { SetupError, say } from './say.mjs';

const inChromium = 'usr/lib/chromium/vk_swiftshader_icd.json';
const triplets = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

/**
 * Takes the one of an installed chromium, else unpacks the package in a private folder.
 * @param {string} cache
 * @returns {{ node: string, env: Record<string, string> }} how to run a program on it
 */
export function swiftshader(cache) {
  const home = join(cache, 'swiftshader');
  const triplet = triplets[/** @type {keyof typeof triplets} */ (process.arch)];
  if (!triplet) throw new SetupError(`Debian's SwiftShader is known here for x64 and arm64, not for ${process.arch}`);
  const loader = existsSync(`/usr/lib/${triplet}/libvulkan.so.1`);
  const installed = loader && existsSync(`/${inChromium}`);
  if (!installed && !existsSync(home)) {
    requireApt();
    say(
      `fetching SwiftShader out of Debian's chromium-common package (about 30 MB) into ${home}: no other Vulkan driver can be had`,
    );
    const packages = ['chromium-common', 'libvulkan1'];
    appear(home, (part) => unpackDebian(part, { suites: ['bookworm'], packages, dependencies: false }));
  }
  const icd = join(installed ? '/' : home, inChromium);
  /** @type {Record<string, string>} */
  const env = { VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd };
  if (!installed) {
    const libraries = join(home, 'usr/lib', triplet);
    env.LD_LIBRARY_PATH = process.env.LD_LIBRARY_PATH ? `${libraries}:${process.env.LD_LIBRARY_PATH}` : libraries;
  }
  return { node: process.execPath, env };
}
