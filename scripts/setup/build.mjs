// Set-up step 3: dist/ as the sources say.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { hashOf, partOf, sweep } from './files.mjs';
import { buildPage } from './page.mjs';
import { root } from './places.mjs';
import { SetupError, say } from './say.mjs';

const dist = join(root, 'dist');
const stamp = join(dist, '.sources');
/** What `require('dawnfield/<key>')` is among the exports of `dawnfield`; '' for all of them. */
const PARTS = {
  lean: '',
  methods: '',
  nn: 'nn',
  functional: 'F',
  optim: 'optim',
  models: 'models',
  linalg: 'linalg',
  'feature-flow': 'featureFlow',
  onnx: 'onnx',
  torch: 'torch',
};
/** Where the two entries were in earlier packages: scripts that import a file of dist/ by its path find them there. */
const ADDRESSES = { index: 'index.node', browser: 'index' };
const sources = [
  'src',
  'shaders',
  'datasets',
  'examples',
  ...readdirSync(join(root, 'bench')).flatMap((name) => (name.endsWith('.ts') ? `bench/${name}` : [])),
  'scripts/doctor.ts',
  'scripts/ceilings.ts',
  'scripts/publish',
  'scripts/setup/build.mjs',
  'package.json',
  'tsup.config.ts',
  'package-lock.json',
];

/**
 * Builds beside dist/ and swaps at the end, so that a failed or interrupted build leaves the old one.
 * @param {{ whole: boolean }} options whole: with the types and the page, as the package has them, which take most of the time
 */
export async function build({ whole }) {
  const hash = hashOf(root, sources);
  sweep(root, 'dist');
  const part = basename(partOf(dist));
  const tsup = join(root, 'node_modules', 'tsup', 'dist', 'cli-default.js');
  const flags = [tsup, '--silent', '--out-dir', part];
  const { status } = spawnSync(process.execPath, flags, { cwd: root, stdio: ['ignore', 2, 2] });
  const made = join(root, part);
  try {
    if (status !== 0) throw new SetupError('the build failed (its message is above).');
    writeParts(made);
    if (whole) {
      (await import('../publish/types.mjs')).writeTypes(made, [
        'src/index.node.ts',
        'src/index.ts',
        'src/onnx/index.ts',
        'src/torch/index.ts',
      ]);
      buildPage(join(made, 'page'));
    }
    writeFileSync(join(made, '.sources'), hash);
    rmSync(dist, { recursive: true, force: true });
    renameSync(made, dist);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/**
 * CommonJS names for the parts of the library: all of them are in one file, which no program then has twice.
 * @param {string} made
 */
function writeParts(made) {
  for (const [subpath, name] of Object.entries(PARTS))
    writeFileSync(join(made, `${subpath}.cjs`), `module.exports = require('./index.cjs')${name && `.${name}`};\n`);
  for (const [file, source] of Object.entries(ADDRESSES)) {
    writeFileSync(join(made, `${file}.js`), `export * from './src/${source}.js';\n`);
    writeFileSync(join(made, `${file}.d.ts`), `export * from './src/${source}.js';\n`);
  }
}

/** Builds where dist/ is missing or was made of other sources. */
export async function ensureBuild() {
  const there = existsSync(stamp) ? readFileSync(stamp, 'utf8') : null;
  if (there === hashOf(root, sources)) return;
  say(
    `building dist/ (tsup): ${there === null ? 'there is none yet' : 'the sources have changed since the last build'}`,
  );
  await build({ whole: false });
}
