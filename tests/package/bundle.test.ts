// What may import what: nothing of Node in the browser's bundle, and imports between the rooms of the house point one way.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = new URL('../..', import.meta.url).pathname;

async function graph(entry: string, platform: 'browser' | 'node') {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    platform,
    external: platform === 'node' ? ['webgpu'] : [],
    bundle: true,
    format: 'esm',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  return metafile.inputs;
}

test('the browser entry bundles for a browser, without a Node module', async () => {
  const inputs = Object.keys(await graph('src/index.ts', 'browser'));
  assert.ok(inputs.includes('src/index.ts'));
  assert.equal(
    inputs.filter((path) => /\.node\.ts$|gpu\/node\.ts$|node_modules\/webgpu\//.test(path)),
    [],
  );
});

test('a Node import that leaks into a browser bundle is an error', async () => {
  const error = await graph('src/index.node.ts', 'browser').then(
    () => null,
    (reason: Error) => reason,
  );
  assert.match(error?.message ?? '', /node:/);
});

/** From the floor up: a room imports from its own and lower ones. Random numbers are everyone's. */
const floors = [
  /^shaders\/|^datasets\/random\.ts|^node_modules\/|^src\/(formats|files)\//,
  /^src\/gpu\//,
  /^src\/tensor\//,
  /^src\/autograd\//,
  /^src\/ops\//,
  /^src\/nn\//,
  /^(datasets|src\/data)\//,
  /^src\/(optim|meanfield|featureflow)\//,
  /^src\/models\//,
  /^src\/train\//,
  /^src\/index/,
];

test('imports point one way', async () => {
  const floor = (path: string) => floors.findIndex((pattern) => pattern.test(path));
  const upward = [];
  for (const [path, { imports }] of Object.entries(await graph('src/index.node.ts', 'node'))) {
    assert.is.not(floor(path), -1, `${path} is in no room`);
    for (const { path: target, external } of imports)
      if (!external && floor(target) > floor(path)) upward.push(`${path} → ${target}`);
  }
  assert.equal(upward, []);
});

test('the Trainer knows neither of the two methods, not even their types', () => {
  const folder = join(root, 'src/train');
  const sources = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const);
  const known = sources.filter(([, text]) => /from '\.\.\/(meanfield|featureflow|models)\b/.test(text));
  assert.equal(
    known.map(([name]) => name),
    [],
  );
});

test.run();
