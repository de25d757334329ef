// The fine-tuning program on a tiny folder of generated images: trained, stopped and resumed, weights brought, wrong calls.
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSafetensors } from '../../src/formats/safetensors';
import { programOf } from '../program';

const base = mkdtempSync(join(tmpdir(), 'dawnfield-fine-tune-'));
test.after(() => rmSync(base, { recursive: true }));
const data = join(base, 'images');

const cwd = fileURLToPath(new URL('../..', import.meta.url));
const command = (args: readonly string[]) => [
  ...programOf('examples/fine-tune/main.ts'),
  ...['--data', data, '--size', '32', '--batch', '4', ...args, '--json'],
];

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, command(args), { cwd, encoding: 'utf8' });
  const lines = stdout.split('\n').filter(Boolean);
  return { status, stderr, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown>, lines };
}

/** Runs until the first epoch is over, then interrupts it. */
const interrupted = (...args: string[]) =>
  new Promise<void>((resolve) => {
    const child = spawn(process.execPath, command(args), { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.on('data', (text) => void (String(text).includes('"type":"epoch"') && child.kill('SIGINT')));
    child.on('close', () => resolve());
  });

const weightsOf = (out: string) =>
  parseSafetensors(readFileSync(join(out, 'checkpoint-last.safetensors')), out).tensors;

test.before(async () => {
  for (const [name, r, b] of [
    ['blue', 20, 220],
    ['red', 220, 20],
  ] as const) {
    mkdirSync(join(data, name), { recursive: true });
    for (let i = 0; i < 6; i++)
      await sharp({ create: { width: 30 + 9 * i, height: 64 - 5 * i, channels: 3, background: { r, g: 10 * i, b } } })
        .png()
        .toFile(join(data, name, `${i}.png`));
  }
  const image = join(data, 'red', '0.png');
  for (const folder of ['one/red', 'hollow/red', 'hollow/blue/more']) {
    mkdirSync(join(base, folder), { recursive: true });
    copyFileSync(image, join(base, folder, '0.png'));
  }
});

test('trains the last layers alone, and goes on where it stopped with the same bits', async () => {
  const [whole, parts] = [join(base, 'whole'), join(base, 'parts')];
  const first = run('--epochs', '2', '--out', whole);
  assert.is(first.status, 0, first.stderr);
  const { finished, classes, testError } = { ...first.last(), ...JSON.parse(first.lines.at(-2)!) };
  assert.equal([finished, classes], [true, ['blue', 'red']]);
  assert.ok(testError >= 0 && testError <= 100);
  await interrupted('--epochs', '2', '--out', parts);
  const again = run('--epochs', '2', '--out', parts, '--resume');
  assert.is(again.status, 0, again.stderr);
  const [a, b] = [weightsOf(whole), weightsOf(parts)];
  for (const [name, { data: values }] of a)
    if (!name.includes('trainer')) assert.equal(String(b.get(name)?.data), String(values), name);
  const brought = run(
    '--epochs',
    '1',
    '--out',
    join(base, 'brought'),
    '--weights',
    join(whole, 'checkpoint-last.safetensors'),
  );
  assert.is(brought.status, 0, brought.stderr);
  const c = weightsOf(join(base, 'brought'));
  const value = (dict: typeof a, name: string) => String(dict.get(name)?.data);
  assert.is(value(c, 'layer1.0.conv1.weight'), value(a, 'layer1.0.conv1.weight'), 'frozen');
  assert.is.not(value(c, 'fc.weight'), value(a, 'fc.weight'), 'trained');
});

test('wrong calls say what would be right', () => {
  for (const [args, message] of [
    [['--freeze', 'layer9'], /--freeze: there is no layer 'layer9': there are conv1, bn1/],
    [['--freeze', 'conv1,bn1,layer1,layer2,layer3,layer4,fc'], /nothing is left to train/],
    [['--weights', join(data, 'red', '0.png')], /--weights .*0\.png/],
    [['--model', 'resnet19'], /Did you mean resnet18/],
    [['--data', join(base, 'nowhere')], /there is no folder .*nowhere/],
    [['--data', join(base, 'one')], /there is one class, red: give the folder that holds the folders of all classes/],
    [['--data', join(base, 'hollow')], /no images in blue: remove it, or put them there/],
  ] as const) {
    const { status, stderr } = run(...args, '--out', join(base, 'wrong'));
    assert.ok(status === 1 || status === 2, stderr);
    assert.match(stderr, message);
  }
});

test.run();
