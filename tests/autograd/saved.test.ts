// Overwriting what an operation has read or computed: backward() either refuses, or gives the gradients of the values from before.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, type Tensor, tensor } from '../../src/index.node.js';
import * as binaryFunctions from '../../src/ops/binary';
import { rowOf } from '../../src/ops/row';
import * as unaryFunctions from '../../src/ops/unary';
import { close, numbers, useGpu } from '../util';

useGpu();

type Operation = (...inputs: Tensor[]) => Tensor;

interface Case {
  shapes: readonly (readonly number[])[];
  run: Operation;
}

const labels = () => tensor(Int32Array.of(2, 0));
const index = () => tensor(Int32Array.of(1, 0, 1, 1, 0, 0), { shape: [2, 3] });
const pair = [
  [2, 3],
  [2, 3],
] as const;
const image = [1, 2, 4, 4];

const single = (run: Operation): Case => ({ shapes: [[2, 3]], run });

const table: Record<string, Case> = {};
// Those with a derivative: others, such as the bitwise ones, take no floats.
for (const [name, run] of Object.entries(unaryFunctions)) if (rowOf(run)?.da) table[name] = single(run as Operation);
for (const [name, run] of Object.entries(binaryFunctions)) if (rowOf(run)?.da) table[name] = { shapes: pair, run };

const others: Record<string, Case> = {
  where: { shapes: pair, run: (a, b) => F.where(tensor([true, false, true]), a, b) },
  mean: single((x) => x.mean(1)),
  max: single((x) => x.max(1)),
  prod: single((x) => x.prod(0)),
  std: single((x) => x.std()),
  norm: single((x) => x.norm(3, 1)),
  logsumexp: single((x) => x.logsumexp(0)),
  cumsum: single((x) => x.cumsum(1)),
  cumprod: single((x) => x.cumprod(1)),
  sort: single((x) => x.sort().values),
  softmax: single((x) => x.softmax(1)),
  logSoftmax: single((x) => x.logSoftmax(1)),
  matmul: {
    shapes: [
      [2, 3],
      [3, 4],
    ],
    run: (a, b) => a.matmul(b),
  },
  linear: { shapes: [[2, 3], [4, 3], [4]], run: F.linear },
  conv2d: { shapes: [image, [3, 2, 3, 3], [3]], run: (x, w, b) => F.conv2d(x, w, b, { padding: 1 }) },
  convTranspose2d: { shapes: [image, [2, 3, 2, 2], [3]], run: (x, w, b) => F.convTranspose2d(x, w, b) },
  maxPool2d: { shapes: [image], run: (x) => F.maxPool2d(x, { kernel: 2 }) },
  avgPool2d: { shapes: [image], run: (x) => F.avgPool2d(x, { kernel: 2 }) },
  layerNorm: { shapes: [[2, 3], [3], [3]], run: (x, weight, bias) => F.layerNorm(x, [3], { weight, bias }) },
  groupNorm: { shapes: [image, [2], [2]], run: (x, weight, bias) => F.groupNorm(x, 2, { weight, bias }) },
  batchNorm: {
    shapes: [[2, ...image.slice(1)], [2], [2]],
    run: (x, weight, bias) => F.batchNorm(x, { weight, bias, runningMean: null, runningVar: null, training: true }),
  },
  gather: single((x) => x.gather(0, index())),
  scatterAdd: { shapes: pair, run: (x, source) => x.scatterAdd(0, index(), source) },
  embedding: single((x) => F.embedding(x, index())),
  concat: { shapes: pair, run: (a, b) => F.concat([a, b], 1) },
  pad: single((x) =>
    F.pad(
      x,
      [
        [0, 0],
        [1, 1],
      ],
      { mode: 'reflect' },
    ),
  ),
  einsum: { shapes: pair, run: (a, b) => F.einsum('ij,kj->ik', a, b) },
  crossEntropy: single((x) => F.crossEntropy(x, labels())),
  huberLoss: { shapes: pair, run: (a, b) => F.huberLoss(a, b) },
  bceWithLogits: { shapes: pair, run: (a, b) => F.bceWithLogits(a, b) },
};

/** Gradients of all inputs, with one tensor overwritten between forward and backward; null where backward refuses. */
async function gradients({ shapes, run }: Case, overwritten: number | null): Promise<(number[] | null)[] | null> {
  const inputs = shapes.map((shape, i) => {
    const n = shape.reduce((a, b) => a * b, 1);
    return tensor(Float32Array.from(numbers(n, 10 + i, 0.1, 0.9)), { shape, requiresGrad: true });
  });
  const y = run(...inputs);
  if (!y.requiresGrad) return inputs.map(() => null);
  const upstream = tensor(Float32Array.from(numbers(y.size, 5)), { shape: y.shape });
  if (overwritten !== null) [...inputs, y][overwritten].detach().assign_(0.35);
  try {
    y.backward({ gradient: upstream });
  } catch (error) {
    assert.match((error as Error).message, /overwritten in place/);
    return null;
  }
  return Promise.all(inputs.map(async (x) => (x.grad ? [...(await x.grad.data())] : null)));
}

for (const [kind, cases] of Object.entries({ 'the op table': table, 'other operations': others }))
  test(`${kind}: no gradient comes from overwritten values`, async () => {
    let refused = 0;
    for (const [name, operation] of Object.entries(cases)) {
      const want = (await gradients(operation, null))!;
      for (let k = 0; k <= operation.shapes.length; k++) {
        const got = await gradients(operation, k);
        if (!got) refused++;
        else
          for (const [i, g] of got.entries())
            close(g ?? [], want[i] ?? [], 1e-6, `${name}: tensor ${k} overwritten, gradient ${i}`);
      }
    }
    assert.ok(refused > 20, `${refused} refused`);
  });

test.run();
