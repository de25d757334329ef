// `npm run build`: dist/ with types, also before `npm pack`.
import { build } from './setup/build.mjs';
import { ensurePackages } from './setup/packages.mjs';
import { SetupError, say } from './setup/say.mjs';

try {
  ensurePackages();
  build({ types: true });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
