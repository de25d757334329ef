// `npm run site`: the documents, the API reference and the page as static files that any host can serve, in dist/site.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePackages } from './setup/packages.mjs';
import { root } from './setup/places.mjs';
import { perform, SetupError } from './setup/say.mjs';

await perform(async () => {
  ensurePackages();
  ensurePackages(join(root, 'docs/site'));
  const args = ['--import', 'tsx', join(root, 'docs/site/main.ts'), ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new SetupError('the site could not be made (the message is above).');
});
