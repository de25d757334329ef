#!/usr/bin/env node
// The command `npx dawnfield NAME`, and in a clone `npm run NAME`: sets the machine up as far as needed, then runs the program.
//   node scripts/run.mjs NAME [arguments]      NAME: see `commands.mjs`; in a clone also custom-module, custom-kernel, test, kills, runtimes
import { spawn } from 'node:child_process';
import { existsSync, fstatSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { COMMANDS, completion, help } from './setup/commands.mjs';
import { findDriver } from './setup/driver.mjs';
import { withoutLimits } from './setup/limits.mjs';
import { root } from './setup/places.mjs';
import { perform, SetupError } from './setup/say.mjs';

/** Whether this is a clone, whose sources are built, and not the package. */
const clone = existsSync(join(root, 'tsup.config.ts'));
const programs = join(root, 'dist/examples');

/** What runs from its sources: in a clone only. @type {Record<string, string | undefined>} */
const SOURCES = {
  ...{ test: 'tests/run.ts', kills: 'tests/kills/main.ts', runtimes: 'tests/runtimes/main.ts' },
  ...(clone && { bench: 'bench/main.ts' }),
};

process.stdout.on('error', (error) => {
  if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPIPE') throw error; // `| head` has seen enough
  process.exit(0);
});

await perform(async () => {
  const [name = '--help', ...args] = process.argv.slice(2);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  if (['--help', '-h', 'help'].includes(name)) return void process.stdout.write(help(version));
  if (['--version', '-V'].includes(name)) return void process.stdout.write(`${version}\n`);
  if (name === 'completion') return void process.stdout.write(await completion(args[0], built));

  if (clone) (await import('./setup/packages.mjs')).ensurePackages();
  const program = await programOf(name, args);
  // What only tells the options needs no GPU.
  const told = args.some((arg) => arg === '--help' || arg === '-h');
  const driver = told ? { node: process.execPath, env: {}, why: '' } : findDriver({ again: name === 'doctor' });
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, ...driver.env, ...(driver.why && { DAWNFIELD_DRIVER: driver.why }) };
  if (!clone || !process.env.npm_lifecycle_event) env.DAWNFIELD_COMMAND = 'npx dawnfield';
  process.exitCode = await run(driver.node, program, env);
});

/**
 * What Node runs.
 * @param {string} name @param {string[]} args
 * @returns {Promise<string[]>}
 */
async function programOf(name, args) {
  const [file, ...rest] = args;
  if (name === 'run') {
    if (!file) throw new SetupError('run needs a file: dawnfield run FILE [arguments]');
    return [resolve(file), ...rest];
  }
  const source = SOURCES[name];
  if (source && clone) return ['--import', 'tsx', join(root, source), ...args];
  const found = await built(name);
  if (found) return [found, ...args];
  const names = [...Object.keys(COMMANDS), ...(clone ? Object.keys(SOURCES) : [])];
  throw new SetupError(`there is no program '${name}': choose one of ${[...new Set(names)].join(', ')}.`);
}

/**
 * The file of a program, built first where this is a clone.
 * @param {string} name
 * @returns {Promise<string | null>}
 */
async function built(name) {
  if (clone) await (await import('./setup/build.mjs')).ensureBuild();
  const file = join(programs, `${name}.js`);
  return /^[a-z0-9-]+$/.test(name) && !name.startsWith('chunk-') && existsSync(file) ? file : null;
}

/**
 * Runs the program and waits for it whatever comes: on Ctrl-C it may want to save first.
 * @param {string} node @param {string[]} args @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} its exit code
 */
function run(node, args, env) {
  // On a terminal or a pipe the program itself keeps Dawn's lines about limits back (src/gpu/quiet.node.ts); elsewhere that is done here.
  const kind = fstatSync(2);
  const filtered = !kind.isFIFO() && !kind.isCharacterDevice();
  const child = spawn(node, args, { env, stdio: ['inherit', 'inherit', filtered ? 'pipe' : 'inherit'] });
  const told = withoutLimits((text) => process.stderr.write(text));
  child.stderr?.setEncoding('utf8').on('data', told.write).on('end', told.end);
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
    child.on('close', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)));
  });
}
