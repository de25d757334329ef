// `npm run check`: the types of everything, then those of what is shipped with indices that may find nothing. Folders with packages of their own
// are checked with these, so that they are installed first. TypeScript 7 takes a third of 5.9's processor time (18 s for 63); 5.9 stays for
// tsup, which needs its API, and tests/package checks the published types with both.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages } from './setup/packages.mjs';
import { root } from './setup/places.mjs';
import { perform } from './setup/say.mjs';

await perform(() => {
  for (const folder of ['', 'examples/browser', 'tests/browser', 'tests/package/checks'])
    ensurePackages(join(root, folder));
  for (const config of ['tsconfig.json', 'tsconfig.strict.json']) {
    const tsc = [join(root, 'tests/package/checks/node_modules/typescript-7/bin/tsc'), '-p', config];
    const { status } = spawnSync(process.execPath, tsc, { cwd: root, stdio: 'inherit' });
    if (status !== 0) return void (process.exitCode = 1);
  }
});
