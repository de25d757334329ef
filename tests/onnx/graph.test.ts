// The graph itself, without a runtime: its text, names, sizes and bytes, and what is refused.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { swiglu } from '../../examples/custom-kernel/swiglu';
import { customFunction, F, nn, ones, rand, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { exportOnnx } from '../../src/onnx';
import { fit, passesFor, shown } from '../../src/onnx/polynomial';
import { useGpu } from '../util';

useGpu();

class Fn extends nn.Module<Tensor[], unknown> {
  readonly #f: (...x: Tensor[]) => unknown;

  constructor(f: (...x: Tensor[]) => unknown) {
    super();
    this.#f = f;
  }

  override forward(...x: Tensor[]): unknown {
    return this.#f(...x);
  }
}

/** The error of an export of a function on [4, 3]. */
async function refused(f: (x: Tensor) => unknown, x: Tensor = ones([4, 3])): Promise<string> {
  try {
    return String(await exportOnnx(new nn.Sequential(new Fn(f as never) as never), x));
  } catch (error) {
    return (error as Error).message;
  }
}

test('a small network, a line a node', async () => {
  const model = new nn.Sequential(new nn.Linear(3, 2), new nn.ReLU(), new nn.Linear(2, 1, { bias: false }));
  assert.is(
    String(await exportOnnx(model, ones([4, 3]), { inputNames: ['x'], outputNames: ['y'] })),
    `Sequential, opset 20
input x: float32 [batch, 3]
constant 0.weight: float32 [2, 3]
constant 0.bias: float32 [2]
constant 2.weight: float32 [1, 2]
gemm_0 = Gemm(x, 0.weight, 0.bias) transB=1  # 0/linear/0
relu_0 = Relu(gemm_0)  # 1/relu/1
gemm_1 = Gemm(relu_0, 2.weight) transB=1  # 2/linear/2
y = Identity(gemm_1)  # forward/3
output y: float32 [batch, 1]
`,
  );
});

test('sizes are kept, left over, or computed', async () => {
  const model = new Fn((x) => {
    const [n = 0] = x!.shape;
    return [x!.reshape([n, -1]), x!.reshape([2 * n, -1, 1]), F.concat([x!, zeros([n, 1, 2])], 1), x!.tile([3, 1, 1])];
  });
  const text = String(await exportOnnx(model, ones([4, 3, 2])));
  assert.match(text, 'output output_0: float32 [batch, 6]');
  assert.match(text, 'output output_1: float32 [2*batch, 3, 1]');
  assert.match(text, 'output output_2: float32 [batch, 4, 2]');
  assert.match(text, 'output output_3: float32 [3*batch, 3, 2]');
  assert.match(text, /Expand\(constant_\d+_value, constant_\d+_shape\)/);
});

test('free sizes: names, and none', async () => {
  const model = new nn.Linear(3, 2);
  const x = ones([4, 5, 3]);
  const named = await exportOnnx(model, x, { dynamicAxes: { input: { 0: 'n', 1: 'time' } } });
  assert.match(String(named), 'output output: float32 [n, time, 2]');
  assert.match(String(await exportOnnx(model, x, { dynamicAxes: {} })), 'output output: float32 [4, 5, 2]');
});

test('weights in a file of their own begin at pages', async () => {
  const model = new nn.Sequential(new nn.Linear(40, 40), new nn.Linear(40, 3));
  const inside = await exportOnnx(model, ones([4, 40]));
  const beside = await exportOnnx(model, ones([4, 40]), { externalData: 'model.onnx.data' });
  assert.is(inside.data, null);
  assert.is(beside.data?.length, 4 * 40 * 40);
  assert.ok(beside.bytes.length < inside.bytes.length - 4 * 40 * 40 + 200);
  const text = new TextDecoder('latin1').decode(beside.bytes);
  assert.match(text, 'model.onnx.data');
  const weight = await model.at(0).stateDict().weight!.data();
  assert.equal(new Float32Array(beside.data!.buffer), weight);
});

test('the mode of each module is as before, and nothing is moved', async () => {
  const model = new nn.Sequential(new nn.BatchNorm1d(3), new nn.Dropout(0.5)).train();
  const before = await model.at(0).stateDict().running_mean!.data();
  await exportOnnx(model, rand([4, 3]));
  assert.ok(model.modules().every((module) => module.training));
  assert.equal(await model.at(0).stateDict().running_mean!.data(), before);
});

test('an operation without a mapping is named with its module', async () => {
  const read = /the operation 'trapezoid', whose result 'sum' in module '0' reads/;
  assert.match(await refused((x) => F.trapezoid(x)), read);
  assert.match(await refused((x) => F.mseLoss(x, x).add(1)), /'mseLoss' in module '0', whose result 'add'/);
  assert.match(await refused((x) => swiglu(x, x).add(1)), "'customFunction swiglu' in module '0', whose result 'add'");
});

test('a custom function by its operations, or by others', async () => {
  const relu = customFunction({
    name: 'relu',
    forward: (_, x: Tensor) => F.minimum(x, 0).neg(),
    backward: (_, g) => [g],
  });
  assert.match(await refused((x) => relu(x)), 'Min(');
  const text = await exportOnnx(new Fn((x) => relu(x!)), ones([4, 3]), {
    customFunctions: [[relu, (x: Tensor) => x.exp()]],
  });
  assert.match(String(text), 'Exp(');
});

test('what a graph cannot do is refused by name', async () => {
  assert.match(await refused((x) => x.add(rand([3]))), 'draws random numbers in evaluation mode');
  assert.match(await refused((x) => F.dropout(x)), "'dropout' in module '0' drops elements");
  assert.match(await refused((x) => x.relu().add_(1).mul(2)), 'written into in the meantime');
  assert.match(await refused(async (x) => ((await x.sum().item()) > 0 ? x : x.neg())), 'forward is async');
  assert.match(
    await refused((x) => x.sum(0).div(x.shape[0]!)),
    /'div' in module '0' has a number or shape that depends on 'batch'/,
  );
  assert.match(await refused((x) => (x.shape[0]! > 3 ? x.relu() : x.neg())), 'takes another way for another size');
  assert.match(
    await refused((x) => x.add(tensor(Array.from(x.shape, () => [1, 2, x.shape[0]!]).slice(0, 1)))),
    "depends on 'batch'",
  );
});

test('wrong calls', async () => {
  const model = new nn.Linear(3, 2);
  const fails = async (call: Promise<unknown>, pattern: RegExp) =>
    assert.match(await call.then(String, (error: Error) => error.message), pattern);
  await fails(exportOnnx(model, []), /the example has no tensor/);
  await fails(exportOnnx(model, ones([4, 3]), { inputNames: ['a', 'b'] }), /there are 1 inputs/);
  await fails(exportOnnx(model, ones([4, 3]), { dynamicAxes: { x: { 0: 'n' } } }), /names 'x', the inputs are input/);
  await fails(exportOnnx(model, ones([4, 3]), { dynamicAxes: { input: { 2: 'n' } } }), /names dimension 2/);
  await fails(exportOnnx(model, ones([4, 3]), { dynamicAxis: {} } as never), /no option 'dynamicAxis'/);
  await fails(exportOnnx((() => 1) as never, ones([4, 3])), /no module/);
});

test('polynomials are found from passes, and proved', () => {
  const passes = passesFor([
    [4, 3, 2],
    [7, 6, 5],
  ]);
  const of = (f: (a: number, b: number) => number) => passes.map(([a = 0, b = 0]) => f(a, b));
  const text = (f: (a: number, b: number) => number) => {
    const found = fit(passes, of(f));
    return found && shown(found, ['n', 't']);
  };
  assert.is(
    text(() => 5),
    5,
  );
  assert.is(
    text((n) => n),
    'n',
  );
  assert.is(
    text((n, t) => 2 * n * t + t - 1),
    '2*n*t + t + -1',
  );
  assert.is(
    text((n) => Math.floor(n / 2)),
    null,
  );
  assert.is(
    text((n) => n * n),
    null,
  );
});

test.run();
