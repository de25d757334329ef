// Batch norm and dropout of halves: their kernels read and write them as they lie, compute in float32 and round once: results and gradients are, bit
// for bit, those of float32 (which norm.test.ts compares with float64), rounded.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import * as F from '../../src/nn/functional';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, onBothTargets, useGpu } from '../util';
import { halfTest, round, rounded } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

const read = (list: readonly Tensor[]) => Promise.all(list.map(async (x) => [...(await x.data())]));
type Float = 'float16' | 'float32';

interface Case {
  shape: number[];
  activation?: 'relu';
  training: boolean;
}

/** The result, the gradients of x, weight and bias, and the running statistics; weights are float32 either way. */
function batchNorm({ shape, activation, training }: Case, dtype: Float): Tensor[] {
  // A view whose elements begin in the middle of a word.
  const all = tensor(rounded(size(shape) + 1, 1), { dtype });
  const x = all
    .slice([{ start: 1 }])
    .reshape(shape)
    .detach()
    .requiresGrad_();
  const channel = (seed: number) => tensor([...numbers(shape[1], seed, 0.5, 1)], { requiresGrad: seed < 4 });
  const [weight, bias, runningMean, runningVar] = [2, 3, 4, 5].map(channel);
  const y = F.batchNorm(x, { weight, bias, runningMean, runningVar, training, activation });
  backward(y, { gradient: tensor(rounded(y.size, 7), { shape, dtype }) });
  for (const t of [y, x.grad!]) assert.is(t.dtype, dtype);
  for (const t of [weight.grad!, bias.grad!]) assert.is(t.dtype, 'float32');
  return [y, x.grad!, weight.grad!, bias.grad!, runningMean, runningVar];
}

const shapes: Pick<Case, 'shape' | 'activation'>[] = [
  { shape: [2, 8, 4, 4], activation: 'relu' },
  { shape: [3, 5, 3, 3] },
];

for (const given of shapes)
  for (const training of [true, false])
    withHalf(`batch norm of [${given.shape}], ${training ? 'training' : 'evaluation'}`, () =>
      onBothTargets(async () => {
        const narrow = await read(batchNorm({ ...given, training }, 'float16'));
        const wide = await read(batchNorm({ ...given, training }, 'float32'));
        for (const i of [0, 1]) assert.equal(narrow[i], wide[i].map(round), ['y', 'dx'][i]);
        assert.equal(narrow.slice(2), wide.slice(2), 'what is float32');
      }),
    );

withHalf('compiled: the same bits', async () => {
  const step = () => batchNorm({ ...shapes[0], training: true }, 'float16');
  const eager = await read(step());
  const compiled = compile(step);
  for (let i = 0; i < 3; i++) assert.equal(await read(compiled()), eager);
});

withHalf('beyond 65504 results are infinite; NaN stays in its channel', async () => {
  const x = tensor([-1, 1, NaN, 0, 1, 2], { shape: [1, 3, 2], dtype: 'float16' });
  const weight = tensor([65520, 1, 0.5]);
  const bias = tensor([0, 0, 0]);
  const y = F.batchNorm(x, { weight, bias, training: true, eps: 0 });
  assert.equal([...(await y.data())], [-Infinity, Infinity, NaN, NaN, -0.5, 0.5]);
});

withHalf('dropout: the same elements as of float32, and no launch where nothing is dropped', async () => {
  const values = rounded(37, 3);
  const of = (dtype: Float) => {
    manualSeed(5);
    const x = tensor(values, { dtype, requiresGrad: true });
    const y = F.dropout(x, { p: 0.3 });
    backward(y, { gradient: tensor(values, { dtype }) });
    assert.is(y.dtype, dtype);
    return read([y, x.grad!]);
  };
  const [narrow, wide] = [await of('float16'), await of('float32')];
  assert.equal(
    narrow,
    wide.map((list) => list.map(round)),
  );
  const x = tensor(values, { dtype: 'float16' });
  assert.is(F.dropout(x, { training: false }), x);
});

test.run();
