// The pure parts of the set-up: which mirror, which packages differ, which driver is chosen, folders that appear whole, locks.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mirrors } from '../../scripts/setup/apt.mjs';
import { choose } from '../../scripts/setup/driver.mjs';
import { alone, appear, hashOf } from '../../scripts/setup/files.mjs';
import { withoutLimits } from '../../scripts/setup/limits.mjs';
import { firstDifference } from '../../scripts/setup/packages.mjs';
import { SetupError } from '../../scripts/setup/say.mjs';
import { readSummary } from '../summary';

const official = 'http://deb.debian.org/debian';

test('mirrors: deb822 sources, security left out, the official one last', () => {
  const text =
    'Types: deb\n# URIs: http://old.example/debian\nURIs: https://near.example/debian/\nSuites: bookworm\n\nURIs: http://deb.debian.org/debian-security\n';
  assert.equal(mirrors([text]), ['https://near.example/debian', official]);
});

test('mirrors: one-line sources with and without options, third parties left out', () => {
  const text =
    'deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main\n#deb http://b.example/debian x main\n' +
    'deb https://packages.cloud.example/apt sdk main\ndeb-src http://c.example/debian bookworm main\ndeb http://deb.debian.org/debian bookworm main\n';
  assert.equal(mirrors([text]), ['http://a.example/debian', official]);
});

test('mirrors: a mirror list is a mirror, nothing at all gives the official one', () => {
  assert.equal(mirrors(['URIs: mirror+file:///etc/apt/mirrors/debian.list']), [
    'mirror+file:///etc/apt/mirrors/debian.list',
    official,
  ]);
  assert.equal(mirrors([]), [official]);
});

const lock = {
  packages: {
    '': {},
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b-darwin': { version: '2.0.0', optional: true },
  },
};

test('packages: equal to the lock, or named where they differ', () => {
  assert.is(firstDifference(lock, { packages: { 'node_modules/a': { version: '1.0.0' } } }), null);
  assert.is(firstDifference(lock, { packages: { 'node_modules/a': { version: '1.0.1' } } }), 'a');
  assert.is(firstDifference(lock, { packages: {} }), 'a');
  assert.is(firstDifference(lock, null), 'a');
  const old = { packages: { 'node_modules/a': { version: '1.0.0' }, 'node_modules/b-darwin': { version: '1.0.0' } } };
  assert.is(firstDifference(lock, old), 'b-darwin');
});

const folders = ['.', 'bench', 'examples/browser', 'tests/browser', 'tests/package/checks', 'tests/runtimes'];
for (const name of folders.map((folder) => join(folder, 'package-lock.json')))
  test(`${name}: every package, those of other platforms included, has the hash of its content`, () => {
    const url = new URL(`../../${name}`, import.meta.url);
    const { packages } = JSON.parse(readFileSync(url, 'utf8')) as { packages: Record<string, { integrity?: string }> };
    const lacking = Object.entries(packages).filter(
      ([path, { integrity }]) => path !== '' && !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''),
    );
    assert.equal(
      lacking.map(([path]) => path),
      [],
    );
  });

const gpu = { name: 'RTX', text: 'nvidia ampere RTX', software: false };
const old = { name: 'SwiftShader Device', text: 'google swiftshader', software: true };
const fresh = { name: 'llvmpipe', text: 'mesa llvmpipe', software: true };

/** A machine with `installed` adapters; lavapipe can be installed where `network`. */
function machine(installed: (typeof gpu)[], network = true) {
  const tried: string[] = [];
  const install = (name: string, works: boolean) => ({
    name,
    says: name === 'lavapipe' ? 'llvmpipe' : name,
    get: () => {
      tried.push(name);
      if (!works) throw new SetupError('no network');
      return { node: `node-for-${name}`, env: { DRIVER: name } };
    },
  });
  const probe = (_node: string, env: Record<string, string>) =>
    env.DRIVER === 'lavapipe' ? [fresh] : env.DRIVER === 'swiftshader' ? [old] : installed;
  const pick = (wanted?: string) => choose(wanted, probe, [install('lavapipe', network), install('swiftshader', true)]);
  return { tried, pick };
}

test('driver: a real adapter comes first and nothing is installed', () => {
  const { tried, pick } = machine([old, gpu]);
  const choice = pick();
  assert.is(choice.adapter, 'RTX');
  assert.is(choice.node, process.execPath);
  assert.equal(tried, []);
});

test('driver: an installed software driver, then lavapipe, then SwiftShader', () => {
  const installed = machine([old]);
  assert.is(installed.pick().driver, 'system');
  assert.equal(installed.tried, []);
  const bare = machine([]);
  assert.is(bare.pick().node, 'node-for-lavapipe');
  assert.equal(bare.tried, ['lavapipe']);
  const offline = machine([], false);
  assert.is(offline.pick().adapter, 'SwiftShader Device');
  assert.equal(offline.tried, ['lavapipe', 'swiftshader']);
});

test('driver: DAWNFIELD_ADAPTER narrows the choice', () => {
  assert.is(machine([gpu]).pick('software').driver, 'lavapipe');
  assert.is(machine([gpu, old]).pick('software').adapter, 'SwiftShader Device');
  assert.is(machine([old, gpu]).pick('rtx').adapter, 'RTX');
  const named = machine([gpu]);
  assert.is(named.pick('swiftshader').driver, 'swiftshader');
  assert.equal(named.tried, ['swiftshader']);
  assert.is(machine([gpu]).pick('llvmpipe').env.DAWNFIELD_ADAPTER, 'software');
  assert.throws(() => machine([old]).pick('gpu'), /no real adapter \(found: SwiftShader Device\)/);
  assert.throws(() => machine([gpu]).pick('voodoo'), /fits DAWNFIELD_ADAPTER=voodoo[\s\S]*apt install/);
});

function scratch(body: (folder: string) => void) {
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-'));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('hashOf: names and contents count, missing files do not disturb', () =>
  scratch((folder) => {
    mkdirSync(join(folder, 'src/deep'), { recursive: true });
    writeFileSync(join(folder, 'src/deep/a.ts'), '1');
    const names = ['src', 'absent.json'];
    const first = hashOf(folder, names);
    assert.is(hashOf(folder, names), first);
    mkdirSync(join(folder, 'src/node_modules/a'), { recursive: true });
    writeFileSync(join(folder, 'src/node_modules/a/index.js'), '');
    assert.is(hashOf(folder, names), first, 'installed packages');
    writeFileSync(join(folder, 'src/deep/a.ts'), '2');
    const changed = hashOf(folder, names);
    assert.is.not(changed, first);
    writeFileSync(join(folder, 'src/b.ts'), '');
    assert.is.not(hashOf(folder, names), changed);
  }));

test('appear: a failed attempt leaves nothing, a rival who was first wins', () =>
  scratch((folder) => {
    const home = join(folder, 'driver');
    const fail = () =>
      appear(home, (part) => {
        writeFileSync(join(part, 'half'), '');
        throw new Error('interrupted');
      });
    assert.throws(fail, 'interrupted');
    assert.not(existsSync(home));
    appear(home, (part) => {
      mkdirSync(home);
      writeFileSync(join(home, 'whose'), 'rival');
      writeFileSync(join(part, 'whose'), 'mine');
    });
    assert.is(readFileSync(join(home, 'whose'), 'utf8'), 'rival');
  }));

test('alone: of processes that count at once, none misses the count of another', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-'));
  try {
    const count = join(folder, 'count');
    writeFileSync(count, '0');
    const lock = join(folder, 'lock');
    const code = `
      import { readFileSync, writeFileSync } from 'node:fs';
      import { alone } from ${JSON.stringify(new URL('../../scripts/setup/files.mjs', import.meta.url).href)};
      alone(${JSON.stringify(lock)}, () => {
        const before = Number(readFileSync(${JSON.stringify(count)}, 'utf8'));
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300); // the others start meanwhile
        writeFileSync(${JSON.stringify(count)}, String(before + 1));
      });`;
    const args = ['--input-type=module', '--eval', code];
    const codes = await Promise.all(
      [1, 2, 3].map(() => new Promise((resolve) => spawn(process.execPath, args).on('close', resolve))),
    );
    assert.equal(codes, [0, 0, 0]);
    assert.is(readFileSync(count, 'utf8'), '3');
    assert.not(existsSync(lock));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('alone: the lock of a dead process is taken over, work that fails leaves none', () =>
  scratch((folder) => {
    writeFileSync(join(folder, 'lock'), String(2 ** 31 - 1)); // more than any process has for a number
    utimesSync(join(folder, 'lock'), 1, 1);
    let done = false;
    alone(join(folder, 'lock'), () => {
      done = true;
    });
    assert.ok(done);
    const fail = () => {
      throw new Error('interrupted');
    };
    assert.throws(() => alone(join(folder, 'lock'), fail), 'interrupted');
    assert.equal(readdirSync(folder), []);
  }));

test('readSummary: counts, and a crash is a failure whatever the summary says', () => {
  const good = '\n  Total:     3\n  Passed:    3\n  Skipped:   1\n';
  assert.equal(readSummary(good, null), { passed: 3, failed: 0, skipped: 1, problem: '' });
  assert.is(readSummary(good, 'ended with SIGSEGV').failed, 1);
  assert.is(readSummary('  Total: 3\n  Passed: 1\n  Skipped: 0\n', 'ended with exit code 1').failed, 2);
  assert.equal(readSummary('oops', null), { passed: 0, failed: 1, skipped: 0, problem: 'ran no tests' });
});

test("Dawn's lines about limits are taken out wherever the pieces of stderr are cut, and nothing else is held back", () => {
  const line = 'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 500000 to 16 to fit.\n';
  const text = `a\n${line}Warning: another\n${line}Warn`;
  for (let first = 0; first <= text.length; first++)
    for (const second of [first, first + 1, first + 40]) {
      const said: string[] = [];
      const told = withoutLimits((piece) => said.push(piece));
      for (const piece of [text.slice(0, first), text.slice(first, second), text.slice(second)]) told.write(piece);
      told.end();
      assert.is(said.join(''), 'a\nWarning: another\nWarn', `cut at ${first} and ${second}`);
    }
  const said: string[] = [];
  withoutLimits((piece) => said.push(piece)).write('epoch 1 of 3 [==   ]');
  assert.equal(said, ['epoch 1 of 3 [==   ]']);
});

test.run();
