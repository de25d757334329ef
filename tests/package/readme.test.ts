// The README's own-model example runs as it stands, and learns.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = new URL('../..', import.meta.url);

test('the example trains a network of its own', () => {
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readFileSync(new URL('README.md', root), 'utf8')) ?? [];
  assert.ok(code, 'README.md has a ts block');
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-readme-'));
  try {
    const file = join(folder, 'example.mts');
    writeFileSync(file, code.replaceAll("'dawnfield'", `'${new URL('src/index.node.js', root).href}'`));
    const loader = import.meta.resolve('tsx');
    const output = execFileSync(process.execPath, ['--import', loader, file], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const losses = [...output.matchAll(/^\d+ (\S+) \[/gm)].map(([, loss]) => Number(loss));
    assert.is(losses.length, 3, output);
    assert.ok(losses[2] < losses[0], output);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
