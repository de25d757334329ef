// The page of `dawnfield browser` as static files, by Vite, which only examples/browser has among its packages.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages } from './packages.mjs';
import { root } from './places.mjs';
import { SetupError } from './say.mjs';

const home = join(root, 'examples/browser');

/**
 * Builds the page, with its packages installed first where they are not there.
 * @param {string} folder where to
 */
export function buildPage(folder) {
  ensurePackages(home);
  const vite = [join(home, 'node_modules/vite/bin/vite.js'), 'build', '--config', join(home, 'vite.config.ts')];
  const { status } = spawnSync(process.execPath, [...vite, '--outDir', folder], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new SetupError('the page could not be built (the message is above).');
}
