// Packages that a folder of tests has for itself, in its package.json: installed when a test first needs them.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensurePackages } from '../scripts/setup/packages.mjs';
import { SetupError, say } from '../scripts/setup/say.mjs';
import { root } from './bundle';

/** Installs the packages of a folder, given by its path below the root. False, with a line that says why, where they cannot be had. */
export function hasPackages(folder: string): boolean {
  try {
    ensurePackages(join(root, folder));
    return true;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`${error.message} Tests that need these packages are skipped.`);
    return false;
  }
}

/** A module of such a folder. An `import` would look for it from where a bundle of the test is. */
export const packageOf = async <T>(folder: string, name: string): Promise<T> =>
  import(pathToFileURL(createRequire(join(root, folder, 'package.json')).resolve(name)).href);
