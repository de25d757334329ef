// Nothing of Node in the browser's bundle.
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

test.run();
