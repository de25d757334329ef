// `npm run build`: dist/ with types and the page, also before `npm pack`.
import { build } from './setup/build.mjs';
import { ensurePackages } from './setup/packages.mjs';
import { perform } from './setup/say.mjs';

await perform(async () => {
  ensurePackages();
  await build({ whole: true });
});
