// Embeddings and bags of them against loops: padding, frequencies, norms, offsets.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { embedding, embeddingBag } from '../../src/ops/embedding';
import { tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, close, numbers, useGpu } from '../util';
import { ints } from './moves';

useGpu();

const table = () => tensor(Float32Array.from(numbers(12, 1)), { shape: [4, 3], requiresGrad: true });
const at = [2, 0, 2, 1, 2, 3];

/** The gradient of the table when every result gets 1. */
async function gradient(run: (w: Tensor) => Tensor): Promise<number[]> {
  const w = table();
  run(w).sum().backward();
  return [...(await w.grad!.data())].filter((_, i) => i % 3 === 0);
}

test('embedding: padding, frequent rows, long rows', async () => {
  const index = () => ints(at, [2, 3]);
  assert.equal(embedding(table(), index()).shape, [2, 3, 3]);
  assert.equal(await gradient((w) => embedding(w, index())), [1, 1, 3, 1]);
  assert.equal(await gradient((w) => embedding(w, index(), { paddingIdx: -2 })), [1, 1, 0, 1]);
  assert.equal(await gradient((w) => embedding(w, index(), { scaleGradByFreq: true })), [1, 1, 1, 1]);
  const w = tensor([
    [3, 4],
    [0, 0.5],
    [6, 8],
  ]);
  close(await embedding(w, ints([0, 1]), { maxNorm: 1 }).data(), [0.6, 0.8, 0, 0.5], 1e-6);
  close(await w.data(), [0.6, 0.8, 0, 0.5, 6, 8], 1e-6, 'the table itself; a row that is not looked up stays');
});

const bags = [[2, 0, 2], [], [1, 2, 3]];
const folds: Record<'sum' | 'mean' | 'max', (v: number[]) => number> = {
  sum: (v) => v.reduce((a, b) => a + b, 0),
  mean: (v) => v.reduce((a, b) => a + b, 0) / Math.max(1, v.length),
  max: (v) => (v.length ? Math.max(...v) : 0),
};

test('bags: by offsets, by rows, without the padding, weighted', async () => {
  for (const mode of ['sum', 'mean', 'max'] as const)
    for (const padding of [undefined, 2]) {
      const reference = (given: number[][]) => (w: Float64Array) =>
        given.flatMap((bag) =>
          [0, 1, 2].map((c) => folds[mode](bag.filter((k) => k !== padding).map((k) => w[3 * k + c]))),
        );
      const common = { shapes: [[4, 3]], values: [numbers(12, 1)] };
      const o = { mode, paddingIdx: padding };
      await checkOperation(`${mode} by offsets`, {
        ...common,
        run: (w) => embeddingBag(w, ints(at), { ...o, offsets: ints([0, 3, 3]) }),
        reference: reference(bags),
      });
      await checkOperation(`${mode} by rows`, {
        ...common,
        run: (w) => embeddingBag(w, ints(at, [2, 3]), o),
        reference: reference([bags[0], bags[2]]),
      });
    }
  await checkOperation('weighted', {
    shapes: [[4, 3], [6]],
    values: [numbers(12, 1), numbers(6, 2)],
    run: (w, factors) =>
      embeddingBag(w, ints(at), {
        mode: 'sum',
        offsets: ints([0, 2, 6]),
        includeLastOffset: true,
        perSampleWeights: factors,
      }),
    reference: (w, f) => {
      const y = new Float64Array(6);
      at.forEach((k, j) => [0, 1, 2].forEach((c) => (y[(j < 2 ? 0 : 3) + c] += f[j] * w[3 * k + c])));
      return y;
    },
  });
});

test('wrong calls, and positions out of range', async () => {
  const w = zeros([4, 3]);
  assert.throws(() => embedding(zeros([4]), ints([0])), /embedding: the weight is no table/);
  assert.throws(() => embedding(w, ints([0]), { paddingIdx: 4 }), /paddingIdx is 4.*-4 … 3/);
  assert.throws(() => embedding(w, ints([0]), { sparse: true } as object), /no option 'sparse'/);
  assert.throws(() => embeddingBag(w, ints([0])), /the bags are not given.*offsets/);
  assert.throws(() => embeddingBag(w, ints([0], [1, 1]), { perSampleWeights: zeros([1, 1]) }), /mode 'mean'.*'sum'/);
  const told = async (y: Tensor, message: RegExp) => {
    assert.match(String(await y.data().catch((e: Error) => e)), message);
    assert.ok([...(await y.data())].some(Number.isNaN));
  };
  await told(embedding(w, ints([4])), /embedding: 4 is out of range, .*0 … 3/);
  await told(embeddingBag(w, ints([5, 0]), { offsets: ints([0, 1]), mode: 'sum' }), /embeddingBag: 5/);
  await told(embeddingBag(w, ints([0, 0]), { offsets: ints([1]), mode: 'sum' }), /embeddingBag: -1/);
});

test.run();
