// Set-up step 3: dist/ as the sources say.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { hashOf, partOf, sweep } from './files.mjs';
import { root } from './places.mjs';
import { SetupError, say } from './say.mjs';

const dist = join(root, 'dist');
const stamp = join(dist, '.sources');
const sources = [
  'src',
  'shaders',
  'datasets',
  'examples',
  'scripts/doctor.ts',
  'scripts/ceilings.ts',
  'tsup.config.ts',
  'package-lock.json',
];

/**
 * Builds beside dist/ and swaps at the end, so that a failed or interrupted build leaves the old one.
 * @param {{ types: boolean }} options types: with the .d.ts files, which take most of the time
 */
export function build({ types }) {
  const hash = hashOf(root, sources);
  sweep(root, 'dist');
  const part = basename(partOf(dist));
  const tsup = join(root, 'node_modules', 'tsup', 'dist', 'cli-default.js');
  const flags = [tsup, '--silent', '--out-dir', part, ...(types ? [] : ['--no-dts'])];
  const { status } = spawnSync(process.execPath, flags, { cwd: root, stdio: ['ignore', 2, 2] });
  const made = join(root, part);
  try {
    if (status !== 0) throw new SetupError('the build failed (its message is above).');
    if (types) mergeDeclarations(made);
    writeFileSync(join(made, '.sources'), hash);
    rmSync(dist, { recursive: true, force: true });
    renameSync(made, dist);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/**
 * A `declare module './file'` that adds members to a class comes out of the bundling of types naming a file that is no longer there.
 * The class stands in the same file now: without the wrapper, the declaration merges with it.
 * @param {string} made
 */
function mergeDeclarations(made) {
  for (const name of readdirSync(made).filter((file) => /\.d\.c?ts$/.test(file))) {
    const path = join(made, name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/^declare module '\.[^']*' \{\n([\s\S]*?)^\}/gm, '$1'));
  }
}

/** Builds where dist/ is missing or was made of other sources. */
export function ensureBuild() {
  const there = existsSync(stamp) ? readFileSync(stamp, 'utf8') : null;
  if (there === hashOf(root, sources)) return;
  say(
    `building dist/ (tsup): ${there === null ? 'there is none yet' : 'the sources have changed since the last build'}`,
  );
  build({ types: false });
}
