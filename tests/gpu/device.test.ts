// The device room by itself: exact counters, the pool, limits checked before submit, errors of shaders and bindings.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Kernel } from '../../shaders/kernel';
import { type Device, f32, init, OutOfMemoryError, shutdown } from '../../src/gpu';
import '../../src/gpu/node';

let gpu: Device;

test.before.each(async () => {
  gpu = await init();
});
test.after.each(() => shutdown());

const header = `
  @group(0) @binding(0) var<storage, read> a: array<f32>;
  @group(0) @binding(1) var<storage, read_write> b: array<f32>;`;

/** b = factor · a */
const scale: Kernel = {
  name: 'scale',
  access: 'rw',
  uniforms: 16,
  code: `${header}
  @group(1) @binding(0) var<uniform> factor: f32;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&b)) { b[id.x] = factor * a[id.x]; }
  }`,
};

const values = Float32Array.from({ length: 250 }, (_, i) => i);

test('counters are exact, a freed buffer is used again, one submit carries all launches', async () => {
  const a = gpu.allocate(1000, 'a'); // 250 numbers, in a block of 1024 bytes
  const b = gpu.allocate(1000, 'b');
  gpu.write(a, values);
  for (let i = 0; i < 3; i++) gpu.launch(scale, [a, b], [f32(2)], [4, 1, 1]);
  const launched = gpu.stats();
  assert.is(launched.liveBytes, 2048);
  assert.is(launched.buffersCreated, 2);
  assert.is(launched.pipelinesCreated, 1);
  assert.is(launched.bindGroupsCreated, 1);
  assert.is(launched.dispatches, 3);
  assert.is(launched.submits, 0);
  assert.is(launched.reads, 0);

  const result = new Float32Array(await gpu.read(b));
  assert.equal([...result.slice(0, 3), result[249]], [0, 2, 4, 498]);
  const read = gpu.stats();
  assert.is(read.submits, 1);
  assert.is(read.reads, 1);
  assert.is(read.buffersCreated, 3, 'a staging buffer for the read');

  b.release();
  assert.is(gpu.stats().liveBytes, 1024);
  const c = gpu.allocate(900, 'c'); // the same size class
  gpu.launch(scale, [a, c], [f32(3)], [4, 1, 1]);
  assert.is(new Float32Array(await gpu.read(c))[100], 300);
  const again = gpu.stats();
  assert.is(again.buffersCreated, 3, 'block and staging buffer were reused');
  assert.is(again.pipelinesCreated, 1);
  assert.is(again.dispatches, 4);
  assert.is(again.submits, 2);
  assert.is(again.liveBytes, 2048);
  assert.is(again.peakBytes, 2048);
  assert.is(again.reservedBytes, 2048);

  a.release();
  c.release();
  gpu.pool.trim();
  assert.equal([gpu.stats().liveBytes, gpu.stats().reservedBytes], [0, 0]);
});

test('launches are submitted in order, also when a host write comes between them', async () => {
  const a = gpu.allocate(4, 'a');
  const b = gpu.allocate(4, 'b');
  const results: number[] = [];
  for (let i = 0; i < 300; i++) {
    gpu.write(a, Float32Array.of(i));
    gpu.launch(scale, [a, b], [f32(2)], [1, 1, 1]);
    if (i % 75 === 0) results.push(new Float32Array(await gpu.read(b))[0]);
  }
  assert.equal(results, [0, 150, 300, 450]);
});

test('a launch of nothing does nothing', () => {
  const a = gpu.allocate(0, 'a');
  const b = gpu.allocate(0, 'b');
  gpu.launch(scale, [a, b], [f32(1)], [0, 1, 1]);
  assert.is(gpu.stats().dispatches, 0);
});

test('memory beyond the limits of the adapter is refused before anything is submitted', () => {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
  const refused = (action: () => void, pattern: RegExp) => {
    const before = gpu.stats();
    try {
      action();
    } catch (error) {
      assert.instance(error, OutOfMemoryError);
      assert.match((error as Error).message, pattern);
      assert.match((error as Error).message, /smaller batch|split/);
      assert.equal(gpu.stats(), before);
      return;
    }
    assert.unreachable('nothing was thrown');
  };
  refused(() => gpu.allocate(maxBufferSize + 4, 'conv2d'), /conv2d needs one buffer of .*iB.* at most .*maxBufferSize/);
  const small = gpu.allocate(16, 'a');
  const { block } = small;
  const large = { block, offset: 0, bytes: maxStorageBufferBindingSize + 16, element: small.element };
  refused(
    () => gpu.launch(scale, [small, large], [f32(1)], [1, 1, 1]),
    /scale: binding 1 .*iB.*maxStorageBufferBindingSize/,
  );
});

test('bindings that a kernel cannot have are refused before anything is submitted', () => {
  const a = gpu.allocate(1024, 'a');
  const b = gpu.allocate(1024, 'b');
  const before = gpu.stats();
  const half = (from: number) => ({ block: a.block, offset: from, bytes: 256, element: a.element });
  const launch =
    (storages: Parameters<Device['launch']>[1], grid: readonly [number, number, number] = [4, 1, 1]) =>
    () =>
      gpu.launch(scale, storages, [f32(1)], grid);
  assert.throws(launch([a, a]), /scale: bindings 0 and 1 share a buffer and one of them is written/);
  assert.throws(launch([half(0), half(512)]), /share a buffer/, 'disjoint ranges are not allowed either');
  assert.throws(launch([a]), /scale: 1 buffers for 2 bindings/);
  assert.throws(launch([a, b], [70000, 1, 1]), /70000×1×1 workgroups, at most 65535/);
  assert.throws(() => gpu.launch(scale, [a, b], [1, 2, 3, 4, 5], [1, 1, 1]), /5 constants for 16 bytes/);
  assert.throws(() => gpu.launch(scale, [a, b], [f32(1)]), /scale: a launch without a grid/);
  const part = (offset: number, bytes: number) => ({ ...b, block: b.block, offset, bytes });
  assert.throws(launch([a, part(0, 1032)]), /scale: binding 1, bytes 0 to 1040, .*within the buffer's 1024 bytes/);
  assert.throws(launch([a, part(4, 256)]), /scale: binding 1, bytes 4 to 260, must begin at a multiple of \d+/);
  assert.throws(() => gpu.launch({ ...scale, uniforms: 516 }, [a, b], [f32(1)], [1, 1, 1]), /516 bytes of constants/);
  assert.equal(gpu.stats(), before);
});

test('a block that was released cannot be used or released again', () => {
  const a = gpu.allocate(16, 'a');
  a.release();
  assert.throws(() => a.block, /released/);
  assert.throws(() => a.release(), /released twice/);
});

test('a read that fails a moment before the device says that it is lost is told as the loss, as in Firefox', async () => {
  const a = gpu.allocate(1000, 'a');
  gpu.write(a, values);
  const map = GPUBuffer.prototype.mapAsync;
  const refuse = () => Promise.reject(new DOMException('Buffer unmapped', 'AbortError'));
  GPUBuffer.prototype.mapAsync = refuse;
  try {
    setTimeout(() => gpu.gpu.destroy(), 400);
    assert.is(await gpu.read(a).then(String, ({ name }) => name), 'DeviceLostError');
    gpu = await init();
    const b = gpu.allocate(1000, 'b');
    // Where only this read fails and the device goes on, that is said at once.
    GPUBuffer.prototype.mapAsync = function (...args) {
      return this.label === 'read-back' ? refuse() : map.apply(this, args);
    };
    assert.is(
      await gpu.read(b).then(String, (error) => `${error.name}: ${error.message}`),
      'GpuError: reading back failed: Buffer unmapped',
    );
  } finally {
    GPUBuffer.prototype.mapAsync = map;
  }
});

test('a lost device: one clear error for what waits and for what comes; init() opens a new one', async () => {
  const a = gpu.allocate(1000, 'a');
  const b = gpu.allocate(1000, 'b');
  gpu.write(a, values);
  gpu.launch(scale, [a, b], [f32(2)], [4, 1, 1]);
  const pending = gpu.read(b);
  gpu.gpu.destroy();
  const failure = async (action: () => unknown) => {
    try {
      await action();
    } catch (error) {
      return `${(error as Error).name}: ${(error as Error).message}`;
    }
    return 'nothing was thrown';
  };
  assert.match(await failure(() => pending), /^DeviceLostError: .*lost/);
  assert.match(await failure(() => gpu.launch(scale, [a, b], [f32(2)], [4, 1, 1])), /^DeviceLostError: .*init\(\)/);
  assert.match(await failure(() => gpu.read(b)), /^DeviceLostError/);
  assert.match(await failure(() => gpu.allocate(4, 'c')), /^DeviceLostError/);
  assert.match(await failure(() => gpu.sync()), /^DeviceLostError/);
  const next = await init();
  assert.is.not(next, gpu);
  const fresh = next.allocate(1000, 'fresh');
  assert.match(
    await failure(() => next.launch(scale, [a, fresh], [f32(2)], [4, 1, 1])),
    /scale: binding 0.*shutdown|init/,
  );
  next.write(fresh, values);
  assert.is(new Float32Array(await next.read(fresh))[7], 7);
});

test('both toggle profiles give the same results', async () => {
  const results: Float32Array[] = [];
  for (const profile of ['safe', 'fast'] as const) {
    shutdown();
    const device = await init({ profile });
    assert.is(device.profile, profile);
    const a = device.allocate(1000, 'a');
    const b = device.allocate(1000, 'b');
    device.write(a, values);
    device.launch(scale, [a, b], [f32(1 / 3)], [4, 1, 1]);
    results.push(new Float32Array(await device.read(b)));
  }
  assert.is(results[0][3], 1);
  assert.equal(results[0], results[1]);
});

test('init() twice, also at the same time, gives the same device', async () => {
  assert.is(await init(), gpu);
  shutdown();
  const [first, second] = await Promise.all([init(), init()]);
  assert.is(first, second);
});

test('init() with other options than the first is refused; shutdown() while it opens ends it', async () => {
  const refused = async (call: () => Promise<unknown>) =>
    call().then(
      () => 'nothing was thrown',
      (error) => `${error.name}: ${error.message}`,
    );
  const { profile } = gpu;
  assert.is(await init({ profile }), gpu);
  const other = profile === 'safe' ? 'fast' : 'safe';
  assert.match(await refused(() => init({ profile: other })), /^AdapterError: init: .*profile safe.*shutdown\(\)/);
  assert.match(await refused(() => init({ autotune: true })), /^AdapterError: init: .*autotune false.*autotune true/);
  shutdown();
  const opening = init({ profile });
  assert.match(await refused(() => init({ profile: other })), /^AdapterError: init: /);
  shutdown();
  assert.match(await refused(() => opening), /^DeviceLostError: init: shutdown\(\) was called/);
  gpu = await init({ autotune: true });
  const [a, b] = [gpu.allocate(1000, 'a'), gpu.allocate(1000, 'b')];
  gpu.write(a, values);
  gpu.launch(scale, [a, b], [f32(2)], [4, 1, 1]);
  assert.is(new Float32Array(await gpu.read(b))[3], 6);
});

test.run();
