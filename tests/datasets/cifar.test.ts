// The official record format, its errors, and class-balanced subsets.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CIFAR, CIFAR100_COARSE_CLASSES, IMAGE_BYTES, parse, subset } from '../../datasets/cifar';
import { synthetic } from '../../datasets/synthetic';

/** A file of `count` records whose labels and pixels follow from the record's index. */
function records(count: number, labels: (i: number) => number[]): Uint8Array {
  const size = labels(0).length + IMAGE_BYTES;
  const bytes = new Uint8Array(count * size);
  for (let i = 0; i < count; i++) {
    bytes.set(labels(i), i * size);
    bytes.fill(i % 251, (i + 1) * size - IMAGE_BYTES, (i + 1) * size);
  }
  return bytes;
}

test('CIFAR-10: label byte, then the image', () => {
  const split = parse(
    records(10000, (i) => [i % 10]),
    'cifar10',
    'test',
    'test_batch.bin',
  );
  assert.is(split.count, 10000);
  assert.is(split.images.length, 10000 * IMAGE_BYTES);
  assert.is(split.labels[9999], 9);
  assert.is(split.images[9999 * IMAGE_BYTES], 9999 % 251);
  assert.is(split.images[IMAGE_BYTES - 1], 0);
  assert.is(split.coarseLabels, undefined);
});

test('CIFAR-100: coarse label, fine label, then the image', () => {
  const split = parse(
    records(10000, (i) => [i % 20, i % 100]),
    'cifar100',
    'test',
    'test.bin',
  );
  assert.is(split.labels[199], 99);
  assert.is(split.coarseLabels?.[199], 19);
  assert.is(split.images[199 * IMAGE_BYTES + 5], 199);
});

test('a truncated file is refused with file, expected and found bytes, and the remedy', () => {
  const bytes = records(10000, () => [0]).subarray(0, 30_000_000);
  assert.throws(
    () => parse(bytes, 'cifar10', 'train', 'x/data_batch_3.bin'),
    /^x\/data_batch_3\.bin: expected 30730000 bytes .* found 30000000: the file is truncated\. Delete it and unpack .*http/,
  );
  const wholeRecords = bytes.subarray(0, 3073 * 100);
  assert.throws(() => parse(wholeRecords, 'cifar10', 'train', 'data_batch_3.bin'), /found 307300: .*truncated/);
  assert.throws(
    () =>
      parse(
        records(10000, () => [0, 0]),
        'cifar10',
        'test',
        'f.bin',
      ),
    /found 30740000: .*not such a file/,
  );
});

test('a label out of range is refused with file, record and range', () => {
  const ten = records(10000, (i) => [i === 123 ? 10 : 0]);
  assert.throws(
    () => parse(ten, 'cifar10', 'test', 't.bin'),
    /^t\.bin: record 123 has label 10, .* 0 to 9: .*Delete it/,
  );
  const hundred = records(10000, (i) => [i === 7 ? 20 : 0, 99]);
  assert.throws(() => parse(hundred, 'cifar100', 'test', 't.bin'), /record 7 has coarse label 20, .* 0 to 19/);
});

test('class names have the order of the official name files', () => {
  assert.is(CIFAR.cifar10.classes.length, 10);
  assert.is(CIFAR.cifar100.classes.length, 100);
  assert.is(CIFAR100_COARSE_CLASSES.length, 20);
  for (const names of [CIFAR.cifar100.classes, CIFAR100_COARSE_CLASSES]) assert.equal(names, [...names].sort());
});

test('a subset is class-balanced, seeded, in order, and keeps image and label together', () => {
  const { train } = synthetic({ train: 300, test: 0 });
  const part = subset(train, 104, 1);
  const counts = new Array(10).fill(0);
  for (const label of part.labels) counts[label]++;
  assert.is(part.count, 104);
  assert.equal([Math.min(...counts), Math.max(...counts)], [10, 11]);
  assert.equal(subset(train, 104, 1), part);
  assert.not.equal(subset(train, 104, 2).images, part.images);
  const bytesOf = (images: Uint8Array, i: number) =>
    Buffer.from(images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES)).toString('latin1');
  const labelOf = new Map(Array.from(train.labels, (label, i) => [bytesOf(train.images, i), label]));
  for (let i = 0; i < part.count; i++) assert.is(labelOf.get(bytesOf(part.images, i)), part.labels[i]);
});

test('a subset of all is the split; an impossible one is refused', () => {
  const { train } = synthetic({ train: 25, test: 0 });
  assert.equal(subset(train, 25, 0).images, train.images);
  for (const n of [0, 26, 1.5]) assert.throws(() => subset(train, n, 0), /from 1 to 25/);
});

test.run();
