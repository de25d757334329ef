// defineKernel: kernels of the user's own on tensors, checked, in place, compiled into steps, and with their own lines in errors.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arange,
  compile,
  type DType,
  defineKernel,
  device,
  nn,
  noGrad,
  optim,
  type Scalar,
  scalar,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { useGpu } from '../util';

useGpu();

const leaky = defineKernel({
  name: 'leaky',
  bindings: { x: 'read float32', y: 'write float32' },
  uniforms: { slope: 'float32' },
  code: 'y[i] = max(x[i], slope * x[i]);',
});

/** Sums of rows and how many elements of each are positive: a workgroup for each row. */
const rows = defineKernel({
  name: 'rows',
  bindings: { x: 'read float32', sum: 'write float32', positive: 'write uint32' },
  uniforms: { columns: 'uint32' },
  grid: ({ x: [height = 0] }, { columns }) => [columns ? height : 0, 1, 1],
  code: `
    var<workgroup> parts: array<f32, 32>;
    var<workgroup> counts: array<u32, 32>;
    @compute @workgroup_size(32)
    fn main(@builtin(workgroup_id) row: vec3u, @builtin(local_invocation_index) k: u32) {
      for (var j = k; j < p.columns; j += 32u) {
        let v = x[row.x * p.columns + j];
        parts[k] += v;
        counts[k] += u32(v > 0.0);
      }
      workgroupBarrier();
      if (k > 0u) { return; }
      for (var j = 1u; j < 32u; j++) {
        parts[0] += parts[j];
        counts[0] += counts[j];
      }
      sum[row.x] = parts[0];
      positive[row.x] = counts[0];
    }`,
});

const addTo = defineKernel({
  name: 'addTo',
  bindings: { total: 'read_write float32', x: 'read float32' },
  code: 'total[i] += x[i];',
});

test('a body for each element, with uniforms, over any input', async () => {
  const x = arange(-3, 3).to('float32').view(2, 3);
  const expected = [-1.5, -1, -0.5, 0, 1, 2];
  const { y } = leaky({ x, y: x.shape }, { slope: 0.5 });
  assert.equal([y.shape, y.dtype, Array.from(await y.data())], [[2, 3], 'float32', expected]);
  const { pipelinesCreated } = device().stats();
  const turned = leaky({ x: x.transpose(), y: [3, 2] }, { slope: 0.5 }).y;
  assert.equal(Array.from(await turned.transpose().data()), expected);
  const part = leaky({ x: x.select(0, 1), y: [3] }, { slope: 0.5 }).y;
  assert.equal(Array.from(await part.data()), expected.slice(3));
  assert.ok(device().stats().pipelinesCreated <= pipelinesCreated + 2, 'only copies are new');
});

test('an entry point of its own, several outputs of several types, a grid from shapes and uniforms', async () => {
  const x = tensor([
    [1, -2, 3],
    [-4, 5, -6],
  ]);
  const { sum, positive } = rows({ x, sum: [2], positive: [2] }, { columns: 3 });
  assert.equal(Array.from(await sum.data()), [2, -5]);
  assert.equal([positive.dtype, Array.from(await positive.data())], ['uint32', [2, 1]]);
});

test('the other types; a grid that is a number', async () => {
  const flip = defineKernel({
    name: 'flip',
    bindings: { mask: 'read bool', n: 'read int32', out: 'write bool', twice: 'write int32' },
    uniforms: { shift: 'int32' },
    grid: 2,
    code: 'out[i] = 1u - mask[i];\ntwice[i] = 2 * n[i] + shift;',
  });
  const { out, twice } = flip(
    { mask: tensor([true, false]), n: tensor(Int32Array.of(3, -4)), out: [2], twice: [2] },
    { shift: -1 },
  );
  assert.equal(await out.toArray(), [false, true]);
  assert.equal(await twice.toArray(), [5, -9]);
});

test('in place: the given tensor, noticed by backward, next to other parameters of an optimizer', async () => {
  const total = zeros([3]);
  const result = addTo({ total, x: tensor([1, 2, 3]) });
  assert.is(result.total, total);
  assert.equal(await total.toArray(), [1, 2, 3]);
  const x = tensor([1, 1, 1], { requiresGrad: true });
  const loss = x.mul(total).sum();
  addTo({ total, x: total.clone() });
  assert.throws(() => loss.backward(), /overwritten in place/);
  const layer = new nn.Linear(2, 2);
  new optim.SGD(layer.parameters(), { lr: 0.1 });
  const [weight, bias] = [layer.weight, layer.bias!];
  assert.is(weight.storage.block, bias.storage.block);
  const before = [await weight.select(0, 0).data(), await bias.data()];
  noGrad(() => addTo({ total: bias, x: weight.select(0, 0) }));
  assert.equal(
    Array.from(await bias.data()),
    Array.from(before[1], (b, i) => Math.fround(b + before[0][i])),
  );
});

test('nothing is launched where nothing is written', () => {
  const { dispatches } = device().stats();
  assert.equal(leaky({ x: zeros([0, 3]), y: [0, 3] }, { slope: 1 }).y.shape, [0, 3]);
  assert.equal(rows({ x: zeros([0, 3]), sum: [0], positive: [0] }, { columns: 3 }).sum.shape, [0]);
  assert.is(device().stats().dispatches, dispatches);
});

test('compiled steps: the launch by its name, a uniform that changes, a grid that cannot', async () => {
  const step = compile((x: Tensor, slope: Scalar) => leaky({ x: x.add(0), y: x.shape }, { slope }).y);
  for (const slope of [0.5, 0.25, 0.125, 0.75])
    assert.equal(await step(tensor([-8, 8]), slope).toArray(), [-8 * slope, 8]);
  assert.is(step.plans.length, 1);
  assert.ok(step.plans[0].kernels.includes('leaky'));
  const columns = scalar(3, 'u32');
  assert.throws(
    () => rows({ x: zeros([1, 3]), sum: [1], positive: [1] }, { columns }),
    /rows: the grid asks for .* columns/,
  );
});

test('profiles name it', async () => {
  if (!device().features.has('timestamp-query')) return;
  const x = zeros([4]);
  const launches = await device().timed(() => leaky({ x, y: [4] }, { slope: 1 }));
  assert.ok(launches.some(({ kernel, bytes }) => kernel === 'leaky' && bytes === 32));
});

test('WGSL that does not compile is told by the lines of the user, and takes nothing with it', async () => {
  const kept = tensor([1, 2]).add(1);
  const of = (code: string, grid?: () => [number, number, number]) =>
    defineKernel({
      name: 'broken',
      bindings: { x: 'read float32', y: 'write float32' },
      uniforms: { slope: 'float32' },
      code,
      ...(grid && { grid }),
    });
  const run = async (kernel: ReturnType<typeof of>) => {
    try {
      await kernel({ x: zeros([2]), y: [2] }, { slope: 1 }).y.data();
      return 'it compiled';
    } catch (error) {
      return String(error);
    }
  };
  const body = await run(of('\n  let v = x[i];\n  y[i] = nonsense;\n'));
  assert.match(body, /compiling the kernel 'broken'.*\n.*line 2.* of your code: .*nonsense.*\n\s+y\[i\] = nonsense;/);
  const main = '@compute @workgroup_size(2)\nfn main(@builtin(local_invocation_index) k: u32) {\n  y[k] = x;\n}';
  assert.match(await run(of(main, () => [1, 1, 1])), /line 3.* of your code: /);
  assert.equal(await kept.toArray(), [2, 3]);
});

test('what does not fit is refused by name, before anything runs', () => {
  const x = zeros([2]);
  const integers = zeros([2], { dtype: 'int32' });
  const trained = zeros([2], { requiresGrad: true });
  const both = defineKernel({
    name: 'both',
    bindings: { a: 'read_write float32', b: 'read_write float32' },
    code: 'a[i] = b[i];',
  });
  const layer = new nn.Linear(2, 2);
  new optim.SGD(layer.parameters(), { lr: 0.1 });
  const defined = (options: object) => () =>
    defineKernel({ name: 'odd', bindings: { y: 'write float32' }, code: ' ', ...options } as never);
  const { maxStorageBuffersPerShaderStage: most } = device().limits;
  const many = Object.fromEntries(Array.from({ length: most + 1 }, (_, k) => [`b${k}`, 'write float32' as const]));
  const shapes = Object.fromEntries(Object.keys(many).map((key) => [key, [1]]));
  const cases: [() => unknown, RegExp][] = [
    [() => leaky({ x: integers, y: [2] }, { slope: 1 }), /leaky: x is int32, the kernel takes float32 \(x \[2\]\)/],
    [() => leaky({ x: [2] as never, y: [2] }, { slope: 1 }), /leaky: x is no tensor, it is Array/],
    [() => leaky({ x, y: x as never }, { slope: 1 }), /leaky: y is only written and takes a shape/],
    [() => leaky({ x, y: [2.5] }, { slope: 1 }), /leaky: y: a shape is a list/],
    [() => leaky({ x, y: [2], z: x } as never, { slope: 1 }), /leaky: there is no binding 'z'. There are x, y/],
    [() => leaky({ x, y: [2] }, {} as never), /leaky: the uniform slope is missing/],
    [() => leaky({ x, y: [2] }, { slope: 1, bend: 2 } as never), /leaky: there is no uniform 'bend'/],
    [() => leaky({ x, y: [2] }, { slope: 'steep' as never }), /leaky: uniform slope: "steep"/],
    [() => rows({ x, sum: [1], positive: [1] }, { columns: 0.5 }), /rows: uniform columns: 0.5 .* no uint32/],
    [() => leaky({ x: trained, y: [2] }, { slope: 1 }), /leaky: x requires a gradient, and a kernel has none/],
    [() => addTo({ total: trained, x }), /addTo: the target requires a gradient/],
    [() => addTo({ total: x.expand([2, 2]), x }), /addTo: elements of the target share memory/],
    [() => addTo({ total: zeros([2, 2]).transpose(), x }), /addTo: total is changed in place and not contiguous/],
    [() => addTo({ total: x, x }), /addTo: x and total share memory, and total is changed in place/],
    [() => noGrad(() => both({ a: layer.weight, b: layer.bias! })), /both: . and . lie in one buffer/],
    [
      () => defineKernel({ name: 'many', bindings: many, code: 'y[i] = 0.0;' })(shapes as never),
      /many: \d+ bindings, this adapter allows \d+ \(max/,
    ],
    [defined({ bindings: { y: 'wrote float32' } }), /odd: binding y is 'wrote float32'/],
    [defined({ bindings: { y: 'write float64' } }), /odd: there is no dtype 'float64'/],
    [defined({ bindings: { y: 'read float32' } }), /odd: no binding is written/],
    [defined({ bindings: { 'y z': 'write float32' } }), /odd: 'y z' is no name of WGSL/],
    [defined({ uniforms: { y: 'float32' } }), /odd: the name 'y' is taken/],
    [defined({ uniforms: { k: 'bool' } }), /odd: uniform k is 'bool'/],
    [
      defined({ code: '@compute @workgroup_size(1) fn main() {}' }),
      /odd: the code has an entry point of its own and no grid/,
    ],
    [
      () => defineKernel({ name: 'odd', bindings: { y: 'write float32' }, grid: -1, code: ' ' })({ y: [1] }),
      /odd: the grid is -1/,
    ],
    [
      () =>
        defineKernel({ name: 'odd', bindings: { y: 'write float32' }, grid: () => [1, 1, 1], code: ' ' })({ y: [1] }),
      /the grid is \[1,1,1\]/,
    ],
    [defined({ name: '' }), /defineKernel: name is missing/],
    [defined({ body: '' }), /defineKernel: there is no option 'body'/],
  ];
  const { dispatches } = device().stats();
  for (const [call, message] of cases) assert.throws(call, message, String(message));
  assert.is(device().stats().dispatches, dispatches);
});

test('types follow from the definition', () => {
  const x = zeros([1]);
  // @ts-expect-error: the uniforms are missing
  assert.throws(() => leaky({ x, y: [1] }));
  // @ts-expect-error: a shape, not a tensor
  assert.throws(() => leaky({ x, y: x }, { slope: 1 }));
  // @ts-expect-error: it is not written
  assert.is(leaky({ x, y: [1] }, { slope: 1 }).x, undefined);
  const dtype: DType = leaky({ x, y: [1] }, { slope: 1 }).y.dtype;
  assert.is(dtype, 'float32');
});

test.run();
