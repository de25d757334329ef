// Parameters and states own their elements, whatever they are made of; gradients set by hand fit their tensor.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arange, compile, nn, optim, type Tensor, tensor } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

const x = () => arange(12).to('float32').reshape([3, 4]);
const views: Record<string, (x: Tensor) => Tensor> = {
  'a row': (x) => x.select(0, 1),
  'a column': (x) => x.select(1, 2),
  'a transposed matrix': (x) => x.transpose(0, 1),
  'every second column, backwards': (x) => x.slice([null, { step: -2 }]),
  'an expanded row': (x) => x.select(0, 2).expand([2, 4]),
  'a part': (x) => x.narrow(0, 0, 2),
  'all in another shape': (x) => x.reshape([12]),
  nothing: (x) => x.narrow(0, 1, 0),
};

for (const [name, view] of Object.entries(views))
  test(`a parameter or state made of ${name} has its elements`, async () => {
    const want = await view(x()).data();
    const p = new nn.Parameter(view(x()));
    const state = new nn.State(view(x()));
    assert.equal([...(await p.data())], [...want]);
    assert.equal([...(await state.data())], [...want]);
    const optimizer = new optim.SGD([p], { lr: 1, momentum: 0.9 });
    const step = compile(() => {
      p.sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
    });
    for (let i = 0; i < 3; i++) step();
    close(
      await p.data(),
      [...want].map((v) => v - 5.61),
      1e-6,
    );
  });

test('a view as a parameter leaves what it was taken from alone', async () => {
  const whole = x();
  const p = new nn.Parameter(whole.select(0, 1));
  p.detach().zero_();
  assert.equal([...(await whole.data())], [...(await x().data())]);
});

test('only float32 tensors are trained', () => {
  assert.throws(() => new nn.Parameter(tensor([1, 2], { dtype: 'int32' })), /Parameter: initial is int32/);
  assert.throws(() => new nn.Parameter([1, 2] as never), /Parameter: initial is no tensor/);
  assert.throws(() => new nn.State(3 as never), /State: initial is no tensor/);
});

test('a gradient set by hand must fit; one that backward() begins with is converted', async () => {
  const p = new nn.Parameter(tensor([1, 2]));
  for (const [gradient, message] of [
    [tensor([1, 1], { dtype: 'int32' }), /grad: the gradient is int32, the tensor float32.*to\('float32'\)/s],
    [tensor([true, false]), /the gradient is bool/],
    [tensor([1, 1, 1]), /shape of its tensor.*\[2\].*\[3\]/s],
    [[1, 1], /gradient is no tensor/],
    [p, /its own gradient/],
  ] as const)
    assert.throws(() => void (p.grad = gradient as never), message);
  assert.is(p.grad, null);
  p.mul(2).backward({ gradient: tensor([1, 3], { dtype: 'int32' }) });
  assert.equal([...(await p.grad!.data())], [2, 6]);
  const y = p.mul(2);
  y.registerHook((g) => g.to('int32'));
  assert.throws(() => y.sum().backward(), /registerHook: .*int32/);
});

test.run();
