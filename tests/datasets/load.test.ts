// Where the data are looked for, in which order, and what is said when they are missing or damaged.
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { create } from 'tar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type LoadOptions, loadCifar } from '../../datasets/load.node.js';
import { Rng } from '../../datasets/random';

const TEST_BYTES = 10000 * 3073;
const NOWHERE = 'http://127.0.0.1:1/cifar.tar.gz';

/** Holds one full-size test file, to be linked into place. */
let store: string;
let folder: string;
let env: Record<string, string | undefined>;

const test = suite('load');

test.before(() => {
  store = mkdtempSync(join(tmpdir(), 'dawnfield-'));
  // Some pixels that do not repeat: tar takes an archive that shrinks by more than 1000 for a bomb.
  const bytes = Buffer.alloc(TEST_BYTES);
  const rng = new Rng(0, 0);
  for (let at = 1; at < TEST_BYTES; at += 3073) bytes.writeUInt32LE(rng.u32(), at);
  writeFileSync(join(store, 'test_batch.bin'), bytes);
});
test.after(() => rmSync(store, { recursive: true }));
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'dawnfield-'));
  env = { XDG_CACHE_HOME: join(folder, 'cache') };
});
test.after.each(() => rmSync(folder, { recursive: true }));

/** Puts the test file to `path` inside the temporary folder. */
function place(path: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  linkSync(join(store, 'test_batch.bin'), join(folder, path));
}

const load = (options: Partial<LoadOptions> = {}) =>
  loadCifar({
    dataset: 'cifar10',
    splits: ['test'],
    url: NOWHERE,
    synthetic: { train: 20, test: 20 },
    env,
    ...options,
  });

async function message(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('this should have failed');
}

/** A .tar.gz of the test file in the official layout, and its md5. */
async function archive(path: string): Promise<string> {
  place('cifar-10-batches-bin/test_batch.bin');
  await create({ file: path, gzip: true, cwd: folder }, ['cifar-10-batches-bin']);
  rmSync(join(folder, 'cifar-10-batches-bin'), { recursive: true });
  return createHash('md5').update(readFileSync(path)).digest('hex');
}

test('--data comes first, then DAWNFIELD_DATA, then the cache', async () => {
  place('given/cifar-10-batches-bin/test_batch.bin');
  place('env/test_batch.bin');
  place('cache/dawnfield/datasets/cifar-10-batches-bin/test_batch.bin');
  env.DAWNFIELD_DATA = join(folder, 'env');
  const given = await load({ data: join(folder, 'given') });
  assert.is(given.source, join(folder, 'given', 'cifar-10-batches-bin'));
  assert.equal([given.synthetic, given.train.count, given.test.count], [false, 0, 10000]);
  assert.is((await load()).source, join(folder, 'env'));
  env.DAWNFIELD_DATA = undefined;
  assert.is((await load()).source, join(folder, 'cache/dawnfield/datasets/cifar-10-batches-bin'));
});

test('a named place that holds nothing is an error, never the synthetic set', async () => {
  place('cache/dawnfield/datasets/cifar-10-batches-bin/test_batch.bin');
  assert.match(
    await message(load({ data: join(folder, 'none') })),
    /--data .*none does not exist.*test_batch\.bin.*https:/,
  );
  assert.match(await message(load({ data: folder })), /holds no CIFAR-10: expected the folder with/);
  env.DAWNFIELD_DATA = folder;
  assert.match(await message(load()), /^DAWNFIELD_DATA .* holds no CIFAR-10/);
});

test('training says which files are missing where only the test set is there', async () => {
  place('given/test_batch.bin');
  const text = await message(load({ data: join(folder, 'given'), splits: ['train', 'test'] }));
  assert.match(text, /lacks data_batch_1\.bin, .*data_batch_5\.bin of CIFAR-10\. The test set is there/);
});

test('a truncated file names itself, the bytes, and the remedy', async () => {
  mkdirSync(join(folder, 'given'));
  writeFileSync(join(folder, 'given', 'test_batch.bin'), Buffer.alloc(5000));
  const text = await message(load({ data: join(folder, 'given') }));
  assert.match(text, /given.test_batch\.bin: expected 30730000 bytes .* found 5000: .*truncated\. Delete it/);
});

test('the archive is read as it is, named or in a folder', async () => {
  const path = join(folder, 'cifar-10-binary.tar.gz');
  const md5 = await archive(path);
  assert.is((await load({ data: path, md5 })).test.count, 10000);
  assert.is((await load({ data: folder, md5 })).source, path);
});

test('a corrupt archive names itself and the remedy', async () => {
  const path = join(folder, 'cifar-10-binary.tar.gz');
  const md5 = await archive(path);
  const bytes = readFileSync(path);
  const damaged = async (content: Buffer) => {
    writeFileSync(path, content);
    return message(load({ data: path, md5: createHash('md5').update(content).digest('hex') }));
  };
  const cut = await damaged(bytes.subarray(0, bytes.length / 2));
  const noGzip = await damaged(Buffer.from('<html>not found</html>'.repeat(100)));
  const flipped = await damaged(Buffer.concat([bytes.subarray(0, 500), Buffer.alloc(100, 255), bytes.subarray(600)]));
  for (const text of [cut, noGzip, flipped]) {
    assert.match(
      text,
      /cifar-10-binary\.tar\.gz: not a readable \.tar\.gz archive \(.+\)\. Delete it and fetch it again/,
    );
  }
  assert.match(
    await message(load({ data: path, md5 })),
    /md5 [0-9a-f]{32}, expected .*\d+ bytes found.*Delete it and fetch/,
  );
});

test('neither data nor network: the synthetic set, loudly and with every reason', async () => {
  const lines: string[] = [];
  const data = await load({ log: (line) => lines.push(line) });
  const text = lines.join('\n');
  assert.ok(data.synthetic);
  assert.equal([data.name, data.train.count, data.test.count, data.classes.length], ['synthetic', 0, 20, 10]);
  assert.match(text, /!!! CIFAR-10 was not found\. SYNTHETIC images/);
  for (const reason of ['--data: not given', 'DAWNFIELD_DATA: not given', 'no cifar-10-batches-bin', 'ECONNREFUSED']) {
    assert.ok(text.includes(reason), `${reason} in:\n${text}`);
  }
  assert.is((await load({ dataset: 'cifar100' })).classes.length, 100);
});

test('without fallback missing data are an error with the reasons; download can be switched off', async () => {
  assert.match(await message(load({ fallback: false })), /not found:\n[\s\S]*ECONNREFUSED/);
  assert.match(await message(load({ fallback: false, download: false })), /download is switched off/);
});

test('synthetic sets are had for the asking; an unknown name is refused', async () => {
  assert.is((await load({ dataset: 'synthetic' })).name, 'synthetic');
  assert.is((await load({ dataset: 'synthetic100' })).classes.length, 100);
  assert.match(
    await message(load({ dataset: 'mnist' as 'cifar10' })),
    /unknown data set 'mnist': expected cifar10, cifar100/,
  );
});

test('a download is checked, unpacked into the cache, and found there the next time', async () => {
  const path = join(folder, 'served.tar.gz');
  const md5 = await archive(path);
  const server: Server = createServer((_, response) => response.end(readFileSync(path)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cifar-10-binary.tar.gz`;
  try {
    let received = 0;
    const data = await load({ url, md5, onProgress: (bytes) => (received = bytes) });
    assert.is(data.test.count, 10000);
    assert.is(received, readFileSync(path).length);
    assert.match(
      await message(load({ url, env: { XDG_CACHE_HOME: join(folder, 'other') } })),
      /md5 .*expected c32a1d4a/,
    );
  } finally {
    server.close();
  }
  const cache = join(folder, 'cache/dawnfield/datasets');
  assert.not(existsSync(join(cache, 'cifar-10-binary.tar.gz')));
  assert.is((await load({ url })).source, join(cache, 'cifar-10-batches-bin'));
});

test.run();
