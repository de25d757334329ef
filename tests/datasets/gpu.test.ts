// The kernels of the data room against their references on the CPU: Philox, and the batch kernel over several buffers.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { augmentImage, drawAugmentation } from '../../datasets/augment';
import { CIFAR, IMAGE_BYTES } from '../../datasets/cifar';
import { drawOperations } from '../../datasets/rand-augment';
import { philox4x32, Rng, Stream } from '../../datasets/random';
import { synthetic } from '../../datasets/synthetic';
import { augment, augmentWorkgroups } from '../../shaders/augment';
import { OPERATIONS, randAugment } from '../../shaders/rand-augment';
import { philoxWgsl } from '../../shaders/random';
import { device, init, type Storage, shutdown } from '../../src/gpu/index';
import '../../src/gpu/node';

const { mean, std } = CIFAR.cifar10;
const COUNT = 30;
const SEED = 4000000000;
const EPOCH = 3;

test.before(async () => {
  await init();
});
test.after(() => shutdown());

function upload(data: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): Storage {
  const storage = device().allocate(data.byteLength, 'test');
  device().write(storage, data);
  return storage;
}

test('Philox in WGSL draws the numbers of the TypeScript one', async () => {
  const counters = new Rng(1, 99);
  const input = Uint32Array.from({ length: 64 * 8 }, () => counters.u32());
  const out = device().allocate(64 * 16, 'test');
  const code = `
@group(0) @binding(0) var<storage, read> inputs: array<array<vec4u, 2>>;
@group(0) @binding(1) var<storage, read_write> outputs: array<vec4u>;
${philoxWgsl()}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  outputs[id.x] = philox4x32(inputs[id.x][0], inputs[id.x][1].xy);
}`;
  device().launch({ name: 'philox', access: 'rw', code, grid: [1, 1, 1] }, [upload(input), out]);
  const got = new Uint32Array(await device().read(out));
  for (let i = 0; i < 64; i++) {
    const expected = philox4x32(input.subarray(8 * i, 8 * i + 4), input.subarray(8 * i + 4, 8 * i + 6));
    assert.equal([...got.subarray(4 * i, 4 * i + 4)], [...expected]);
  }
});

/** The batch that starts at `position` of the epoch's order, gathered from buffers that hold `perBuffer` images. */
async function batch(options: {
  position: number;
  size: number;
  perBuffer: number;
  augmented: boolean;
  cutout?: number;
  randAugment?: readonly [number, number];
}) {
  const { position, size, perBuffer, augmented, cutout, randAugment: operations } = options;
  const given = { mean, std, ...(cutout && { cutout }) };
  const { images, labels } = synthetic({ train: COUNT, test: 0 }).train;
  const order = upload(new Rng(SEED, Stream.shuffle, EPOCH).permutation(COUNT));
  const labelStorage = upload(Int32Array.from(labels));
  const out = device().allocate(size * IMAGE_BYTES * 4, 'test');
  const outLabels = device().allocate(size * 4, 'test');
  device().write(out, new Float32Array(size * IMAGE_BYTES).fill(NaN));
  for (let first = 0; first < COUNT; first += perBuffer) {
    const part = images.slice(first * IMAGE_BYTES, (first + perBuffer) * IMAGE_BYTES);
    device().launch(
      operations ? randAugment({ ...given, randAugment: operations }) : augment(given),
      [upload(part), labelStorage, order, out, outLabels],
      [SEED, Stream.augment, EPOCH, position, size, first, part.length / IMAGE_BYTES, Number(augmented)],
      operations ? [1, size, 1] : augmentWorkgroups(size),
    );
  }
  return {
    pixels: new Float32Array(await device().read(out)),
    labels: [...new Int32Array(await device().read(outLabels))],
  };
}

function expected(
  position: number,
  size: number,
  augmented: boolean,
  cutout = 0,
  [operations, magnitude]: readonly [number, number] = [0, 0],
) {
  const { images, labels } = synthetic({ train: COUNT, test: 0 }).train;
  const indices = new Rng(SEED, Stream.shuffle, EPOCH).permutation(COUNT).subarray(position, position + size);
  const pixels = new Float32Array(size * IMAGE_BYTES);
  indices.forEach((index, b) => {
    const image = images.subarray(index * IMAGE_BYTES, (index + 1) * IMAGE_BYTES);
    const drawn = { operations: drawOperations(SEED, EPOCH, index, operations), magnitude };
    const draw = augmented ? { ...drawAugmentation(SEED, EPOCH, index), ...drawn } : undefined;
    pixels.set(augmentImage(image, mean, std, draw, cutout), b * IMAGE_BYTES);
  });
  return { pixels, labels: [...indices].map((index) => labels[index]) };
}

function close(got: Float32Array, want: Float32Array): void {
  const worst = got.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i])), 0);
  assert.is(got.length, want.length);
  assert.ok(worst < 2e-6, `largest difference ${worst}`);
}

for (const augmented of [false, true]) {
  test(`the batch kernel equals the reference, ${augmented ? 'augmented' : 'only normalised'}`, async () => {
    const got = await batch({ position: 5, size: 17, perBuffer: COUNT, augmented });
    const want = expected(5, 17, augmented);
    close(got.pixels, want.pixels);
    assert.equal(got.labels, want.labels);
  });
}

test('cutout leaves a square out of augmented images, the mean in its place', async () => {
  for (const cutout of [1, 8, 17]) {
    const got = await batch({ position: 3, size: 9, perBuffer: COUNT, augmented: true, cutout });
    close(got.pixels, expected(3, 9, true, cutout).pixels);
    const holes = got.pixels.filter((value) => value === 0).length;
    assert.ok(holes > 0 && holes <= 9 * 3 * cutout ** 2, `${holes} zeros`);
  }
  const plain = await batch({ position: 3, size: 9, perBuffer: COUNT, augmented: false, cutout: 8 });
  assert.equal(plain.pixels, (await batch({ position: 3, size: 9, perBuffer: COUNT, augmented: false })).pixels);
});

test('RandAugment: every operation, of both signs and several magnitudes, as on the CPU', async () => {
  const seen = new Set<string>();
  for (const [operations, magnitude] of [
    [1, 9],
    [3, 30],
    [2, 0],
    [4, 17],
  ] as const) {
    const got = await batch({
      position: 0,
      size: COUNT,
      perBuffer: 13,
      augmented: true,
      randAugment: [operations, magnitude],
    });
    close(got.pixels, expected(0, COUNT, true, 0, [operations, magnitude]).pixels);
    for (let i = 0; i < COUNT; i++)
      for (const { operation, negative } of drawOperations(SEED, EPOCH, i, operations))
        seen.add(`${operation} ${negative}`);
  }
  assert.is(seen.size, 2 * OPERATIONS.length, 'all were drawn');
  const both = { position: 2, size: 9, perBuffer: COUNT, randAugment: [2, 9] as const, cutout: 8 };
  const got = await batch({ ...both, augmented: true });
  close(got.pixels, expected(2, 9, true, 8, [2, 9]).pixels);
  const plain = await batch({ ...both, augmented: false });
  assert.equal(plain.pixels, (await batch({ position: 2, size: 9, perBuffer: COUNT, augmented: false })).pixels);
});

test('several image buffers give the bits of one, whatever the batch size', async () => {
  const whole = await batch({ position: 0, size: COUNT, perBuffer: COUNT, augmented: true });
  const split = await batch({ position: 0, size: COUNT, perBuffer: 11, augmented: true });
  const tail = await batch({ position: 20, size: 10, perBuffer: 7, augmented: true });
  assert.equal(split.pixels, whole.pixels);
  assert.equal(tail.pixels, whole.pixels.slice(20 * IMAGE_BYTES));
  assert.equal(tail.labels, whole.labels.slice(20));
});

test.run();
