// Writing in place: what is written, what is refused, and that no gradient is computed from overwritten values.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, device, nn, noGrad, optim, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

const leaf = (values: number[]) => tensor(values, { requiresGrad: true });

test('assign_ writes a tensor, a number, a converted and a broadcast tensor', async () => {
  const x = zeros([2, 3]);
  assert.is(x.assign_(tensor([1, 2, 3])), x);
  close(await x.data(), [1, 2, 3, 1, 2, 3]);
  close(await x.assign_(tensor(Int32Array.of(7))).data(), [7, 7, 7, 7, 7, 7]);
  close(await x.assign_(-0.5).data(), new Array(6).fill(-0.5));
  close(await x.zero_().data(), new Array(6).fill(0));
  const whole = zeros([2], { dtype: 'int32' });
  close(await whole.assign_(tensor([1.9, -1.9])).data(), [1, -1]);
  close(await whole.assign_(2 ** 24 + 1).data(), [2 ** 24 + 1, 2 ** 24 + 1]);
});

test('add_ and mul_ compute from the old values', async () => {
  const x = tensor([1, 2, 3]);
  close(await x.add_(x).data(), [2, 4, 6]);
  close(
    await x
      .mul_(tensor([1, 0, 2]))
      .add_(1)
      .data(),
    [3, 1, 13],
  );
});

test('a view writes into its part of the memory and not beyond', async () => {
  const x = zeros([3, 5]);
  x.select(0, 1).assign_(tensor([1, 2, 3, 4, 5]));
  x.select(1, 4).assign_(9);
  x.slice([{ start: 2 }, { step: 2, stop: 4 }]).add_(7);
  close(await x.data(), [0, 0, 0, 0, 9, 1, 2, 3, 4, 9, 7, 0, 7, 0, 9]);
  const rows = zeros([2, 64]); // rows that kernels could bind by themselves
  rows.narrow(0, 0, 1).narrow(1, 0, 3).assign_(1);
  assert.is(await rows.sum().item(), 3);
  const y = tensor([1, 2, 3, 4]);
  y.narrow(0, 1, 3).assign_(y.narrow(0, 0, 3)); // overlapping
  close(await y.data(), [1, 1, 2, 3]);
});

test('empty tensors are written without complaint', async () => {
  assert.is((await zeros([0, 3]).assign_(1).data()).length, 0);
});

test('backward refuses a saved tensor that was overwritten, and names its operation', () => {
  const x = leaf([1, 2]);
  const factor = tensor([3, 4]);
  const y = x.mul(factor).sum();
  factor.assign_(0);
  assert.throws(() => y.backward(), /'mul'.*overwritten in place.*\[2\]/s);
  assert.is(x.grad, null);
  const z = x.add(factor).sum(); // add saves nothing
  factor.assign_(1);
  z.backward();
});

test('backward refuses a graph across optimizer.step()', () => {
  const weight = new nn.Parameter(tensor([1, 2]));
  const optimizer = new optim.SGD([weight], { lr: 0.1 });
  const first = weight.square().sum();
  const second = weight.square().sum();
  first.backward();
  optimizer.step();
  assert.throws(() => second.backward(), /overwritten.*before optimizer\.step/s);
});

test('what would lose a gradient is refused before anything is written', async () => {
  const x = leaf([1, 2]);
  const plain = zeros([2]);
  const row = zeros([1, 2]).expand([3, 2]);
  const { submits } = device().stats();
  assert.throws(() => x.assign_(plain), /requires a gradient.*noGrad/s);
  assert.throws(() => plain.assign_(x.detach().requiresGrad_()), /source requires a gradient.*detach/s);
  assert.throws(() => noGrad(() => x.mul(2)).assign_(x), /source requires a gradient/);
  assert.throws(() => x.mul(2).assign_(0), /target was computed/);
  assert.throws(() => row.assign_(1), /expanded/);
  assert.throws(() => plain.assign_(zeros([3])), /assign_.*\[2\].*\[3\]/s);
  assert.throws(() => plain.assign_(zeros([4, 2])), /assign_.*\[2\].*\[4, 2\]/s);
  assert.throws(() => plain.assign_('0' as never), /assign_.*no tensor/s);
  assert.throws(() => zeros([2], { dtype: 'int32' }).add_(0.5), /add_.*float32.*int32/s);
  assert.is(device().stats().submits, submits);
  noGrad(() => x.assign_(plain));
  close(await x.data(), [0, 0]);
});

test('in noGrad a computed tensor is written, as in PyTorch; what an operation saved is not used then', async () => {
  const x = leaf([1, 2]);
  const y = x.mul(2);
  noGrad(() => y.assign_(3));
  noGrad(() => y.select(0, 1).mul_(2));
  close(await y.data(), [3, 6]);
  y.sum().backward();
  close(await x.grad!.data(), [2, 2]);
  const saved = x.exp();
  noGrad(() => saved.mul_(2));
  assert.throws(() => saved.sum().backward(), /'exp'.*overwritten in place/s);
});

test('a running mean in a compiled step', async () => {
  const mean = zeros([2]).keep();
  const step = compile((x: Tensor) => {
    mean.mul_(0.5).add_(x.mul(0.5));
    return x.sum();
  });
  const want = [0, 0];
  for (let i = 1; i <= 4; i++) {
    step(tensor([i, -i]));
    want[0] = 0.5 * want[0] + 0.5 * i;
    want[1] = -want[0];
    close(await mean.data(), want, 1e-6, `after ${i} steps`);
  }
});

test.run();
