// Multi-head attention and transformers: against the operations they are made of, keys, copies, refusals.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { compile } from '../../src/autograd/compile';
import * as nn from '../../src/nn';
import * as F from '../../src/nn/functional';
import { SGD } from '../../src/optim';
import { tensor, zeros } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

const random = (shape: number[], seed: number) =>
  tensor(
    Float32Array.from(
      numbers(
        shape.reduce((a, b) => a * b),
        seed,
      ),
    ),
    { shape },
  );
const bools = (values: number[], shape: number[]) => tensor(values, { shape, dtype: 'bool' });

test('with and without weights, with N first or second, unbatched: the same', async () => {
  manualSeed(1);
  const first = new nn.MultiheadAttention(8, 2, { batchFirst: true });
  const second = new nn.MultiheadAttention(8, 2);
  second.loadStateDict(first.stateDict());
  const [q, k] = [random([2, 3, 8], 1), random([2, 5, 8], 2)];
  const keyPaddingMask = bools([0, 0, 1, 0, 1, 0, 0, 0, 0, 1], [2, 5]);
  const [y, weights] = first.forward(q, k, k, { keyPaddingMask });
  assert.equal(weights!.shape, [2, 3, 5]);
  close(await weights!.sum(2).data(), new Array(6).fill(1));
  assert.equal([...(await weights!.select(0, 0).select(1, 2).data())], [0, 0, 0]);
  const want = await y.data();
  const [fused, none] = first.forward(q, k, k, { keyPaddingMask, needWeights: false });
  assert.is(none, null);
  close(await fused.data(), want);
  const swapped = second.forward(q.transpose(0, 1), k.transpose(0, 1), k.transpose(0, 1), {
    keyPaddingMask,
    needWeights: false,
  });
  close(await swapped[0].transpose(0, 1).data(), want);
  const [one, heads] = second.forward(q.select(0, 1), k.select(0, 1), k.select(0, 1), {
    keyPaddingMask: keyPaddingMask.select(0, 1),
    averageAttnWeights: false,
  });
  assert.equal(heads!.shape, [2, 3, 5]);
  close(await one.data(), want.slice(24));
});

test('a causal mask, as a mask or by name; rows that see nothing', async () => {
  manualSeed(2);
  const attention = new nn.MultiheadAttention(4, 1, { batchFirst: true, addZeroAttn: false });
  const x = random([1, 4, 4], 3);
  const attnMask = nn.Transformer.generateSquareSubsequentMask(4);
  assert.equal([...(await attnMask.data())].slice(0, 5), [0, -Infinity, -Infinity, -Infinity, 0]);
  const want = await attention.forward(x, x, x, { attnMask })[0].data();
  for (const needWeights of [true, false])
    close(await attention.forward(x, x, x, { isCausal: true, needWeights })[0].data(), want);
  const blind = { keyPaddingMask: bools([1, 1, 1, 1], [1, 4]) };
  assert.ok((await attention.forward(x, x, x, blind)[0].data()).every(Number.isNaN));
  assert.equal(
    [...(await attention.forward(x, x, x, { ...blind, needWeights: false })[0].data())],
    new Array(16).fill(0),
  );
});

test("PyTorch's keys in PyTorch's order; copies with weights of their own", () => {
  const extra = new nn.MultiheadAttention(4, 2, { kdim: 3, addBiasKv: true }).stateDict();
  const own = ['q_proj_weight', 'k_proj_weight', 'v_proj_weight', 'in_proj_bias', 'bias_k', 'bias_v'];
  assert.equal(Object.keys(extra), [...own, 'out_proj.weight', 'out_proj.bias']);
  assert.equal(extra.bias_k.shape, [1, 1, 4]);
  const model = new nn.Transformer({
    dModel: 4,
    nhead: 2,
    numEncoderLayers: 2,
    numDecoderLayers: 1,
    dimFeedforward: 6,
    bias: false,
  });
  const names = Object.keys(model.stateDict());
  for (const name of [
    'encoder.layers.1.self_attn.in_proj_weight',
    'decoder.layers.0.multihead_attn.out_proj.weight',
    'encoder.norm.weight',
  ])
    assert.ok(names.includes(name), name);
  assert.not(names.some((name) => name.endsWith('bias')));
  const layer = new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 6 });
  const stack = new nn.TransformerEncoder(layer, 2);
  const [a, b] = [...stack.layers].map(({ linear1 }) => linear1.weight);
  assert.ok(a !== b && a !== layer.linear1.weight);
});

test('an encoder learns in a compiled step, with dropout', async () => {
  manualSeed(3);
  const layer = new nn.TransformerEncoderLayer(8, 2, {
    dimFeedforward: 16,
    dropout: 0.1,
    batchFirst: true,
    activation: 'gelu',
  });
  const model = new nn.TransformerEncoder(layer, 2, { norm: new nn.LayerNorm(8) });
  const optimizer = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = F.mseLoss(model.forward(x, { isCausal: true }), y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  const [x, y] = [random([4, 6, 8], 4), random([4, 6, 8], 5)];
  const losses: number[] = [];
  for (let i = 0; i < 30; i++) losses.push(await step(x, y).item());
  assert.ok(losses[29] < 0.5 * losses[0], `${losses[0]} → ${losses[29]}`);
});

test('what does not fit is refused', () => {
  const attention = new nn.MultiheadAttention(4, 2);
  const x = zeros([3, 2, 4]);
  assert.throws(() => new nn.MultiheadAttention(5, 2), /5 features do not divide into 2 heads/);
  assert.throws(
    () => attention.forward(x, x, x, { keyPaddingMask: bools([0, 0], [2, 1]) }),
    /keyPaddingMask does not fit.*\[2, 3\]/,
  );
  assert.throws(() => attention.forward(x, x, x, { attnMask: zeros([2, 3, 3]) }), /attnMask does not fit.*\[4, 3, 3\]/);
  assert.throws(() => attention.forward(x, x, x, { mask: x } as never), /no option 'mask'/);
  assert.throws(() => attention.forward(x, zeros([3, 4]), x), /MultiheadAttention.*\[L, N, E\]/);
  assert.throws(
    () => new nn.TransformerEncoderLayer(4, 2, { activation: 'tanh' as never }),
    /activation 'tanh' must be 'relu'/,
  );
  assert.throws(() => new nn.TransformerEncoderLayer(4, 2).forward(zeros([3, 2, 5])), /does not have 4 features/);
  assert.throws(() => new nn.TransformerEncoder(new nn.Linear(4, 4) as never, 2), /no clone\(\)/);
});

test.run();
