// After an error the engine goes on: what was computed before and what comes after is right, and no mode is left switched.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import type { Kernel } from '../../shaders/kernel';
import { compile } from '../../src/autograd/compile';
import { isRecording, noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { modulePath } from '../../src/tensor/context';
import { arange, eye, linspace, tensor, zeros } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import type { Tensor } from '../../src/tensor/tensor';
import { useGpu } from '../util';

useGpu();

const broken: Kernel = {
  name: 'broken',
  access: 'rw',
  code: `
  @group(0) @binding(0) var<storage, read> a: array<f32>;
  @group(0) @binding(1) var<storage, read_write> b: array<f32>;
  @compute @workgroup_size(64) fn main() { b[0] = nonsense(a[0]); }`,
};

test('a kernel that fails leaves other tensors alone, made before or after', async () => {
  const good = tensor([1, 2, 3]).mul(2);
  const bad = zeros([3]);
  const run = () => device().launch(broken, [bind(good), bind(bad)], [], [1, 1, 1]);
  assert.throws(run, /compiling the kernel 'broken': WGSL does not compile\n.*nonsense/);
  const later = good.add(1);
  assert.throws(run, /compiling the kernel 'broken'/);
  assert.equal([...(await good.data())], [2, 4, 6]);
  assert.equal([...(await later.data())], [3, 5, 7]);
  await device().sync();
});

class Moody extends Module {
  readonly linear = new Linear(2, 2);
  failing = true;

  override forward(x: Tensor): Tensor {
    const y = this.linear.forward(x);
    if (this.failing) noGrad(() => y.add(tensor([1, 2, 3]))); // shapes that do not fit
    return y;
  }
}

test('a forward that throws, eager, without gradient or in a compiled step: the next one works', async () => {
  const model = new Moody();
  const x = tensor([[1, 2]]);
  const step = compile((input: Tensor) => model.forward(input).sum());
  assert.throws(() => model.forward(x), /add/);
  assert.throws(() => noGrad(() => model.forward(x)), /add/);
  assert.throws(() => step(x), /add/);
  assert.throws(() => step(x), /add/, 'while it is traced');
  assert.is(isRecording(), true);
  assert.is(modulePath(), '');
  assert.is(device().tracing, false);
  model.failing = false;
  const loss = model.forward(x).sum();
  loss.backward();
  assert.equal(await model.linear.weight.grad!.toArray(), [
    [1, 2],
    [1, 2],
  ]);
  const value = await loss.item();
  assert.is(await step(x).item(), value);
  assert.is(await step(x).item(), value);
});

test('tensors that no buffer can hold are refused before they are filled', () => {
  const refused = (what: string, make: () => unknown) =>
    assert.throws(make, new RegExp(`${what} needs one buffer of .*iB, .* at most .*maxBufferSize|${what}: .*shape`));
  refused('arange', () => arange(1e13));
  refused('linspace', () => linspace(0, 1, 1e13));
  refused('eye', () => eye(1e7));
  refused('full', () => zeros([1e7, 1e7]));
});

test.run();
