// Dawn's lines about limits that it halves are not printed, and what the program prints stays where it is.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../bundle';
import { programOfCode } from '../program';

const program = await programOfCode(`
  import { init, shutdown } from './src/index.node.ts';
  console.error('before');
  console.log('out');
  await init();
  console.error('after');
  console.log('out again');
  shutdown();
`);
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-quiet-'));
test.after(() => rmSync(folder, { recursive: true }));

test('a pipe: only what the program prints', () => {
  // A shell's: what Node gives its children are sockets.
  const command = ['-c', '"$0" "$@" 2>&1 >/dev/null | cat', process.execPath, ...program];
  const { stdout } = spawnSync('sh', command, { cwd: root, encoding: 'utf8' });
  assert.is(stdout, 'before\nafter\n');
});

test('a file that is appended to: the same', () => {
  const path = join(folder, 'appended');
  const file = openSync(path, 'a');
  spawnSync(process.execPath, program, { cwd: root, stdio: ['ignore', 'ignore', file] });
  closeSync(file);
  assert.is(readFileSync(path, 'utf8'), 'before\nafter\n');
});

test('a file that both streams write to in turns: no line overwrites another', () => {
  const path = join(folder, 'shared');
  const file = openSync(path, 'w');
  spawnSync(process.execPath, program, { cwd: root, stdio: ['ignore', file, file] });
  closeSync(file);
  const lines = readFileSync(path, 'utf8').split('\n');
  assert.equal(
    lines.filter((line) => !line.startsWith('Warning: ')),
    ['before', 'out', 'after', 'out again', ''],
  );
});

test.run();
