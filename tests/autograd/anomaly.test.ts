// detectAnomaly names the operation where the first NaN or infinity appeared.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AnomalyError, compile, detectAnomaly, F, nn, type Tensor, tensor } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

async function anomaly(body: () => unknown): Promise<Error> {
  const error = await detectAnomaly(body).catch((caught: Error) => caught);
  assert.instance(error, AnomalyError);
  return error as Error;
}

test('a healthy step returns what its body returns, and gradients are as without', async () => {
  const x = tensor([1, 2, 3], { requiresGrad: true });
  const value = await detectAnomaly(async () => {
    const loss = x.log().sum();
    loss.backward();
    return loss.item();
  });
  assert.ok(Math.abs(value - Math.log(6)) < 1e-5);
  close(await x.grad!.data(), [1, 1 / 2, 1 / 3], 1e-6);
});

test('the first bad result of the forward pass, with its line', async () => {
  const x = tensor([1, -1], { requiresGrad: true });
  const { message } = await anomaly(() => x.mul(2).log().mul(3).sum());
  assert.match(message, /the result of 'log' \(\[2\]\)/);
  assert.match(message, /anomaly\.test\.ts:\d+/);
});

test('infinities count, and so do views', async () => {
  const x = tensor([[0, 1]], { requiresGrad: true });
  assert.match((await anomaly(() => x.transpose().reciprocal().sum())).message, /result of 'reciprocal' \(\[2, 1\]\)/);
});

test('a gradient that becomes bad while the values are good', async () => {
  const x = tensor([0, 1], { requiresGrad: true });
  const { message } = await anomaly(() => x.sqrt().sum().backward());
  assert.match(message, /gradient of 'sqrt' for its input 0 \(\[2\]\), in backward\(\)/);
});

test('bad data and bad weights are named as such, with the module that met them', async () => {
  const net = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU());
  const bad = tensor([[1, NaN]]);
  assert.match((await anomaly(() => net.forward(bad))).message, /an input of 'linear' in 0 \(number 0, \[1, 2\]\)/);
  (net.layers[0] as nn.Linear).weight.detach().assign_(Infinity);
  assert.match(
    (await anomaly(() => net.forward(tensor([[1, 1]])))).message,
    /an input of 'linear' in 0 \(number 1, \[2, 2\]\) was not finite/,
  );
});

test('an error of the body is thrown, or is the cause when something was not finite before it', async () => {
  const boom = () => {
    throw new Error('boom');
  };
  const plain = await detectAnomaly(boom).catch((error: Error) => error);
  assert.is((plain as Error).message, 'boom');
  const x = tensor([-1], { requiresGrad: true });
  const error = await anomaly(() => {
    x.sqrt();
    boom();
  });
  assert.match(error.message, /'sqrt'/);
  assert.is((error.cause as Error).message, 'boom');
  assert.ok(await detectAnomaly(() => true), 'the mode is off again');
});

test('a compiled step is looked at as well', async () => {
  const x = tensor([1, 2], { requiresGrad: true });
  const step = compile((scale: Tensor) => F.log(x.mul(scale)).sum());
  const run = (value: number) => step(tensor([value]));
  for (let i = 0; i < 3; i++) run(1);
  assert.match((await anomaly(() => run(-1))).message, /'log'/);
  await detectAnomaly(() => run(1));
});

test.run();
