// Commands that fail: what they should have computed throws when it is read, all else stays right. Run twice: with errors that are there
// at once, as in Node, and with errors that come later, as in browsers, each with kernels that compile at their launch and aside.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Kernel } from '../../shaders/kernel';
import { type Device, f32, init, type Storage, shutdown } from '../../src/gpu';
import '../../src/gpu/node';
import { provider, setProvider } from '../../src/gpu/provider';

const node = provider();

const code = (body: string, size = '') => `
  @group(0) @binding(0) var<storage, read> a: array<f32>;
  @group(0) @binding(1) var<storage, read_write> b: array<f32${size}>;
  @group(1) @binding(0) var<uniform> factor: f32;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&a)) { ${body} }
  }`;

/** b = factor · a */
const scale: Kernel = { name: 'scale', access: 'rw', uniforms: 16, code: code('b[id.x] = factor * a[id.x];') };
/** b += a */
const accumulate: Kernel = { ...scale, name: 'accumulate', access: 'rx', code: code('b[id.x] += factor * a[id.x];') };
const broken: Kernel = { ...scale, name: 'broken', code: code('b[id.x] = factor * nonsense[id.x];') };
/** Compiles, but a dispatch with a smaller buffer is refused. */
const greedy: Kernel = { ...scale, name: 'greedy', code: code('b[id.x] = factor * a[id.x];', ', 4096') };

async function message(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'nothing was thrown';
}

for (const [atOnce, aside] of [
  [true, false],
  [true, true],
  [false, false],
  [false, true],
] as const) {
  const test = suite(`errors ${atOnce ? 'at once' : 'later'}, kernels ${aside ? 'aside' : 'at their launch'}`);
  let gpu: Device;
  let ones: Storage;

  test.before.each(async () => {
    setProvider({ ...node, errorsAtOnce: atOnce });
    gpu = await init({ asyncPipelines: aside });
    ones = make();
    gpu.write(ones, new Float32Array(64).fill(1));
  });
  test.after.each(() => {
    shutdown();
    setProvider(node);
  });

  const make = () => gpu.allocate(256, 'test');
  const run = (kernel: Kernel, a: Storage, b: Storage, factor = 2) =>
    gpu.launch(kernel, [a, b], [f32(factor)], [1, 1, 1]);
  const first = async (storage: Storage) => new Float32Array(await gpu.read(storage))[0];
  /** Runs what fails: at once it throws itself, later whoever reads the result. */
  const fails = async (kernel: Kernel, b: Storage, pattern: RegExp) => {
    const thrown = await message(() => run(kernel, ones, b));
    if (atOnce && !aside) assert.match(thrown, pattern);
    else assert.is(thrown, 'nothing was thrown');
  };

  test('a kernel that does not compile takes nothing with it', async () => {
    const [before, bad, derived, after] = [make(), make(), make(), make()];
    run(scale, ones, before);
    await fails(broken, bad, /^GpuError: compiling the kernel 'broken': .*line 6:\d+: .*nonsense.*\n.*b\[id\.x\] =/s);
    run(scale, before, after);
    if (!atOnce || aside) {
      run(scale, bad, derived);
      const cause = /reads what was not computed: compiling the kernel 'broken': .*line 6:\d+: .*nonsense/s;
      assert.match(await message(() => gpu.read(derived)), cause);
      assert.match(await message(() => gpu.read(bad)), cause);
      assert.match(await message(() => run(scale, bad, derived)), /scale reads what was not computed: .*'broken'/);
    }
    assert.is(await first(before), 2);
    assert.is(await first(after), 4);
    assert.match(await message(() => run(broken, ones, bad)), /^GpuError: compiling the kernel 'broken'/);
    run(scale, ones, bad);
    assert.is(await first(bad), 2, 'written again, the memory is good again');
    await gpu.sync();
  });

  test('a dispatch that the GPU refuses when it is submitted', async () => {
    const [before, bad, derived, after] = [make(), make(), make(), make()];
    run(scale, ones, before);
    await gpu.sync();
    run(scale, ones, before, 3);
    run(greedy, ones, bad);
    run(scale, bad, derived);
    run(scale, before, after);
    run(accumulate, ones, before, 1);
    assert.is(await first(before), 4);
    assert.is(await first(after), 6);
    for (const lost of [bad, derived])
      assert.match(
        await message(() => gpu.read(lost)),
        /^GpuError: reading back reads .* running greedy: .*4096|16384/,
      );
    await gpu.sync();
  });

  test('a failure is told by sync() where nobody reads what was lost, once', async () => {
    run(greedy, ones, make());
    assert.match(await message(() => gpu.sync()), /^GpuError: running greedy: /);
    assert.is(await message(() => gpu.sync()), 'nothing was thrown');
  });

  test('of a buffer that many share only the range that was to be written is lost', async () => {
    const shared = gpu.allocate(1024, 'shared');
    const [left, right] = [shared.slice(0, 256), shared.slice(512, 256)];
    run(scale, ones, left);
    run(greedy, ones, right);
    assert.is(await first(left), 2);
    assert.match(await message(() => gpu.read(right)), /running greedy/);
    assert.match(await message(() => gpu.read(shared)), /running greedy/);
    run(scale, ones, right);
    assert.is(new Float32Array(await gpu.read(shared))[128], 2);
  });

  test('memory of what was lost is good for others', async () => {
    const bad = make();
    run(greedy, ones, bad);
    bad.release();
    const next = make();
    gpu.write(next, new Float32Array(64).fill(5));
    const sum = make();
    run(scale, next, sum);
    assert.is(await first(next), 5);
    assert.is(await first(sum), 10);
  });

  test('an allocation that fails: its sizes, what to do; smaller ones work, and it is not tried again from the pool', async () => {
    const { createBuffer, popErrorScope } = gpu.gpu;
    const kept = make();
    run(scale, ones, kept);
    const before = gpu.stats();
    let [fail, refused] = [true, 0];
    gpu.gpu.createBuffer = (descriptor) => {
      if (descriptor.label !== 'conv2d' || !fail) return createBuffer.call(gpu.gpu, descriptor);
      refused++;
      const error = new GPUOutOfMemoryError('no memory');
      if (atOnce) gpu.gpu.onuncapturederror!({ error, preventDefault() {} } as unknown as GPUUncapturedErrorEvent);
      else
        gpu.gpu.popErrorScope = () => {
          gpu.gpu.popErrorScope = popErrorScope;
          void popErrorScope.call(gpu.gpu);
          return Promise.resolve(error);
        };
      // Memory for real cannot be used up here: an invalid buffer behaves like one without memory.
      return createBuffer.call(gpu.gpu, { ...descriptor, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    };
    const pattern =
      /OutOfMemoryError: .*out of GPU memory while allocating 4\.00 KiB for conv2d, with .* in use: use a smaller batch/;
    if (atOnce) assert.match(await message(() => gpu.allocate(4096, 'conv2d')), pattern);
    else {
      const large = gpu.allocate(4096, 'conv2d');
      run(scale, ones, large);
      assert.match(await message(() => gpu.read(large)), pattern);
      large.release();
    }
    const after = gpu.stats();
    assert.equal([after.liveBytes, after.reservedBytes], [before.liveBytes, before.reservedBytes]);
    assert.is(await first(kept), 2);
    fail = false;
    const large = gpu.allocate(4096, 'conv2d');
    run(scale, ones, large);
    assert.is(await first(large), 2, 'another try');
    assert.is(refused, 1);
    await gpu.sync();
  });

  test("errors of the program's own calls on the GPUDevice belong to no tensor", async () => {
    gpu.gpu.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    const result = make();
    run(scale, ones, result);
    assert.is(await first(result), 2);
  });

  test.run();
}
