// Atomic writing: whatever fails, the old file stays whole and nothing is left lying about.

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readBytes, readJson, writeAtomic } from '../../src/files/files.node.js';

const test = suite('files');
const folder = fs.mkdtempSync(join(tmpdir(), 'dawnfield-files-'));
test.after(() => fs.rmSync(folder, { recursive: true }));

/** Runs `body` while `fs[name]` fails as a full disk does. */
function withFailing(name: 'fsyncSync' | 'renameSync', body: () => void): void {
  const original = fs[name];
  fs[name] = () => {
    throw Object.assign(new Error('write'), { code: 'ENOSPC' });
  };
  syncBuiltinESMExports();
  try {
    body();
  } finally {
    Object.assign(fs, { [name]: original });
    syncBuiltinESMExports();
  }
}

test('writes text and bytes, replacing what was there', () => {
  const path = join(folder, 'a');
  writeAtomic(path, 'one');
  writeAtomic(path, Uint8Array.of(1, 2, 3));
  assert.equal([...readBytes(path)], [1, 2, 3]);
  assert.equal(fs.readdirSync(folder), ['a']);
});

for (const step of ['fsyncSync', 'renameSync'] as const) {
  test(`an interrupted write (${step}) leaves the old file`, () => {
    const path = join(folder, 'a');
    writeAtomic(path, 'old');
    withFailing(step, () => {
      assert.throws(() => writeAtomic(path, 'new and longer'), /a: could not be written \(no space left.*unchanged/);
    });
    assert.is(fs.readFileSync(path, 'utf8'), 'old');
    assert.equal(fs.readdirSync(folder), ['a']);
  });
}

test('errors name the file and the reason', () => {
  const missing = join(folder, 'missing', 'b');
  assert.throws(
    () => readBytes(missing),
    (e: Error) => e.message === `${missing}: could not be read (no such file or folder)`,
  );
  assert.throws(() => writeAtomic(missing, ''), /missing.b: could not be written \(no such file or folder\)/);
  assert.throws(() => readBytes(folder), /could not be read \(it is a folder\)/);
  writeAtomic(join(folder, 'a'), '{"half": ');
  assert.throws(() => readJson(join(folder, 'a')), /a: is not JSON/);
});

test.run();
