// `npm run cifar-train`, `npm test` and the like: sets the machine up as far as needed, then runs the program.
//   node scripts/run.mjs NAME [arguments]      NAME: test, bench, kills, or a program of examples/
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ensureBuild } from './setup/build.mjs';
import { findDriver } from './setup/driver.mjs';
import { ensurePackages } from './setup/packages.mjs';
import { root } from './setup/places.mjs';
import { perform, SetupError } from './setup/say.mjs';

await perform(async () => {
  const [name, ...args] = process.argv.slice(2);
  ensurePackages();
  const driver = findDriver({ again: name === 'doctor' });
  const source = { test: 'tests/run.ts', bench: 'bench/main.ts', kills: 'tests/kills/main.ts' }[name];
  const program = source ? ['--import', 'tsx', join(root, source)] : [await built(name)];
  const env = { ...process.env, ...driver.env, DAWNFIELD_DRIVER: driver.why };
  process.exitCode = await run(driver.node, [...program, ...args], env);
});

/** @param {string | undefined} name */
async function built(name) {
  await ensureBuild();
  const folder = join(root, 'dist/examples');
  const file = join(folder, `${name}.js`);
  if (existsSync(file)) return file;
  const names = readdirSync(folder).flatMap((entry) => /^([a-z0-9-]+)\.js$/.exec(entry)?.[1] ?? []);
  throw new SetupError(
    `there is no program '${name}': choose one of ${names.filter((n) => !n.startsWith('chunk-')).join(', ')}, test, bench, kills.`,
  );
}

/**
 * Runs the program and waits for it whatever comes: on Ctrl-C it may want to save first.
 * @param {string} node @param {string[]} args @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} its exit code
 */
function run(node, args, env) {
  const child = spawn(node, args, { env, stdio: 'inherit' });
  // A signal sent to npm alone ends npm and its shell, not this process: then stop the program as Ctrl-C does.
  const parent = process.ppid;
  const orphaned = () => process.ppid !== parent && child.kill('SIGINT') && clearInterval(watch);
  const watch = setInterval(orphaned, 1000).unref();
  // npm ends of the signals below as well, but the program knows already: once more would mean that it should quit without saving.
  const passOn = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal) && clearInterval(watch);
  // A terminal sends Ctrl-C to the child as well; only without one must it be passed on.
  process.on('SIGINT', () => (process.stdin.isTTY ? clearInterval(watch) : passOn('SIGINT')));
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, passOn);
  if (!process.env.npm_lifecycle_event) clearInterval(watch);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)));
  });
}
