// Set-up step 1: node_modules as the lock file says, for the project and for those of its folders that have packages of their own.
import { spawnSync } from 'node:child_process';
import { join, relative } from 'node:path';
import { alone, readJson } from './files.mjs';
import { root } from './places.mjs';
import { SetupError, say } from './say.mjs';

/**
 * @typedef {{ version?: string, optional?: boolean, peer?: boolean }} Entry
 * @typedef {{ packages?: Record<string, Entry> }} Lock
 */

/**
 * The first package that is missing or has another version, or null. Optional packages (those of other platforms) may be absent.
 * @param {Lock} lock package-lock.json
 * @param {Lock | null} installed node_modules/.package-lock.json, which npm writes
 */
export function firstDifference(lock, installed) {
  for (const [path, entry] of Object.entries(lock.packages ?? {})) {
    if (path === '') continue;
    const there = installed?.packages?.[path];
    if (there ? there.version !== entry.version : !entry.optional) return path.replace(/^node_modules\//, '');
  }
  return null;
}

/**
 * Installs the packages where node_modules is missing or differs from the lock file. Of processes that find this at once, one installs and
 * the others wait for it.
 * @param {string} folder
 */
export function ensurePackages(folder = root) {
  const name = relative(root, join(folder, 'package-lock.json'));
  const lock = readJson(join(folder, 'package-lock.json'));
  if (!lock) throw new SetupError(`${name} is missing or damaged: restore it with git.`);
  const installed = () => readJson(join(folder, 'node_modules', '.package-lock.json'));
  if (firstDifference(lock, installed()) === null) return;
  alone(join(folder, 'node_modules.lock'), () => {
    const there = installed();
    const different = firstDifference(lock, there);
    if (different === null) return;
    const why = there ? `'${different}' is not the locked version` : 'there is no node_modules yet';
    say(`installing the packages of ${name} (npm ci): ${why}`);
    const flags = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
    const npm = process.env.npm_execpath;
    const stdio = /** @type {const} */ (['ignore', 'ignore', 'inherit']);
    const { status } = npm?.endsWith('.js')
      ? spawnSync(process.execPath, [npm, ...flags], { cwd: folder, stdio: [...stdio] })
      : spawnSync('npm', flags, { cwd: folder, stdio: [...stdio], shell: process.platform === 'win32' });
    if (status !== 0)
      throw new SetupError(`npm ci of ${name} failed (its message is above): is the package registry reachable?`);
  });
}
