// resetParameters and resetRunningStats: as when the layer was made, in the same memory.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nn, ones, type Tensor, tensor } from '../../src/index';
import { numbers, useGpu } from '../util';

useGpu();

type Resettable = { resetParameters(): void; parameters(): Iterable<Tensor> };
const values = async (x: Tensor) => [...(await x.data())];

/** Each layer, and the bound that its numbers are drawn in. */
const drawn = (): [Resettable, number][] => [
  [new nn.Linear(4, 30), 1 / 2],
  [new nn.Bilinear(4, 3, 30), 1 / 2],
  [new nn.Conv2d(4, 30, 2), 1 / 4],
  [new nn.ConvTranspose1d(4, 30, 2), 1 / Math.sqrt(60)],
  [new nn.LSTM(3, 16, { numLayers: 2, bidirectional: true }), 1 / 4],
  [new nn.GRUCell(3, 16), 1 / 4],
];

test('weights and biases are drawn again within their bounds, in place', async () => {
  for (const [layer, bound] of drawn()) {
    const { name } = layer.constructor;
    for (const p of layer.parameters()) {
      const before = await values(p);
      p.requiresGrad = true;
      layer.resetParameters();
      const after = await values(p);
      assert.ok(
        after.every((v) => Math.abs(v) <= bound),
        name,
      );
      assert.ok(after.some((v, i) => v !== before[i]) && Math.max(...after) > 0.5 * bound, name);
      assert.is(p.isLeaf && p.requiresGrad, true, name);
    }
  }
});

test('tables are drawn again, but for the row of the padding', async () => {
  const layer = new nn.Embedding(20, 8, { paddingIdx: -1 });
  const before = await values(layer.weight);
  layer.resetParameters();
  const after = await values(layer.weight);
  assert.equal(after.slice(-8), new Array(8).fill(0));
  assert.ok(after.slice(0, 8).every((v, i) => v !== before[i]));
});

test('norms start again from 1 and 0, with the statistics of no batch', async () => {
  const x = tensor(Float32Array.from(numbers(48, 1)), { shape: [4, 3, 2, 2] });
  const norm = new nn.BatchNorm2d(3);
  norm.forward(x);
  assert.is(await norm.numBatchesTracked.item(), 1);
  norm.resetRunningStats();
  assert.equal(await values(norm.runningMean), [0, 0, 0]);
  assert.equal(await values(norm.runningVar), [1, 1, 1]);
  assert.is(await norm.numBatchesTracked.item(), 0);
  const all = [
    norm,
    new nn.InstanceNorm2d(3, { affine: true, trackRunningStats: true }),
    new nn.BatchNorm1d(3, { affine: false, trackRunningStats: false }),
    new nn.LayerNorm(3),
    new nn.GroupNorm(3, 3),
    new nn.RMSNorm(3),
  ];
  for (const layer of all) {
    for (const p of layer.parameters()) p.detach().assign_(7);
    layer.resetParameters();
    for (const [name, p] of Object.entries(layer.stateDict()))
      if (p.size > 1) assert.equal(await values(p), new Array(p.size).fill(/bias|mean/.test(name) ? 0 : 1), name);
  }
  const slopes = new nn.PReLU(2, 0.5);
  slopes.weight.detach().assign_(ones([2]));
  slopes.resetParameters();
  assert.equal(await values(slopes.weight), [0.5, 0.5]);
});

test.run();
