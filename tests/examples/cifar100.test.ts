// CIFAR-100 from its real images to a prediction with both class names. Skipped where DAWNFIELD_DATA has no cifar-100-binary.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CIFAR, CIFAR100_COARSE_CLASSES, CIFAR100_COARSE_OF, IMAGE_BYTES, parse } from '../../datasets/cifar';
import { programOf } from '../program';

const data = process.env.DAWNFIELD_DATA ?? '';
const file = (name: string) => join(data, 'cifar-100-binary', name);
const withData = data && existsSync(file('train.bin')) && existsSync(file('test.bin')) ? test : test.skip;
const base = mkdtempSync(join(tmpdir(), 'dawnfield-cifar100-'));
test.after(() => rmSync(base, { recursive: true }));

function run(name: string, ...args: string[]): Record<string, unknown>[] {
  const program = [...programOf(`examples/${name}/main.ts`), ...args, '--json'];
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, program, { cwd, encoding: 'utf8' });
  assert.is(status, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('100 classes in 20 superclasses of five', () => {
  const sizes = CIFAR100_COARSE_CLASSES.map((_, coarse) => CIFAR100_COARSE_OF.filter((c) => c === coarse).length);
  assert.equal(sizes, new Array(20).fill(5));
  const of = (name: string) => CIFAR100_COARSE_CLASSES[CIFAR100_COARSE_OF[CIFAR.cifar100.classes.indexOf(name)]!];
  assert.equal(['apple', 'whale', 'tractor', 'woman'].map(of), [
    'fruit_and_vegetables',
    'aquatic_mammals',
    'vehicles_2',
    'people',
  ]);
});

withData('trained, resumed, evaluated and asked for fine and coarse names', async () => {
  const images = parse(readFileSync(file('test.bin')), 'cifar100', 'test', 'test.bin');
  images.labels.forEach((label, i) => assert.is(CIFAR100_COARSE_OF[label], images.coarseLabels![i]));
  const out = join(base, 'run');
  const size = ['--width', '0.25', '--size', '16', '--subset', '200', '--test-subset', '100', '--batch', '50'];
  const given = ['--dataset', 'cifar100', '--model', 'resnet8', '--epochs', '2', ...size, '--data', data];
  const stopped = run('cifar-train', ...given, '--steps', '3', '--out', out).at(-1)!;
  assert.is(stopped.step, 3);
  const resumed = run('cifar-train', '--resume', out, '--steps', '8', '--data', data).at(-1)!;
  const whole = run('cifar-train', ...given, '--out', join(base, 'whole')).at(-1)!;
  assert.equal([resumed.step, resumed.trainLoss], [8, whole.trainLoss]);
  const weights = join(out, 'checkpoint-last.safetensors');
  const [result] = run('evaluate', '--weights', weights, '--data', data, '--subset', '200');
  assert.ok((result!.error as number) > 50 && result!.count === 200);
  const pixels = images.images.subarray(0, IMAGE_BYTES);
  const rgb = Uint8Array.from({ length: IMAGE_BYTES }, (_, i) => pixels[(i % 3) * 1024 + Math.floor(i / 3)]!);
  const png = join(base, 'image.png');
  await sharp(rgb, { raw: { width: 32, height: 32, channels: 3 } })
    .png()
    .toFile(png);
  const [{ top } = { top: [] }] = run('predict', png, '--weights', weights) as {
    top: { class: string; superclass: string }[];
  }[];
  assert.is(top.length, 5);
  for (const { class: name, superclass } of top)
    assert.is(superclass, CIFAR100_COARSE_CLASSES[CIFAR100_COARSE_OF[CIFAR.cifar100.classes.indexOf(name)]!]);
});

test.run();
