// Operations on seeded numbers: what they and their gradients are in Node, they must be in every other implementation of WebGPU.
import { Rng } from '../../datasets/random';
import { backward, F, manualSeed, nn, type Tensor, tensor, zeros } from '../../src/index';

/** The inputs are random in [−1, 1), of the given shapes. */
interface OwnCase {
  shapes: number[][];
  run(...x: Tensor[]): Tensor;
}

const indices = (values: number[]) => tensor(Int32Array.from(values));

export const OWN_CASES: Readonly<Record<string, OwnCase>> = {
  add: { shapes: [[3, 5], [5]], run: (a, b) => F.add(a, b) },
  exp: { shapes: [[257]], run: (a) => F.exp(a) },
  gelu: { shapes: [[4, 33]], run: (a) => F.gelu(a) },
  tanh: { shapes: [[70]], run: (a) => F.tanh(a) },
  erf: { shapes: [[70]], run: (a) => F.erf(a) },
  'sum of an axis': { shapes: [[7, 130]], run: (a) => F.sum(a, 1) },
  'mean of all': { shapes: [[9, 1001]], run: (a) => F.mean(a) },
  'max of an axis': { shapes: [[5, 40]], run: (a) => F.max(a, 1) },
  variance: { shapes: [[6, 65]], run: (a) => a.var(1) },
  logsumexp: { shapes: [[4, 19]], run: (a) => F.logsumexp(a, 1) },
  softmax: { shapes: [[5, 37]], run: (a) => F.softmax(a, -1) },
  'log softmax of channels': { shapes: [[2, 7, 9]], run: (a) => F.logSoftmax(a, 1) },
  'cross entropy': { shapes: [[6, 10]], run: (a) => F.crossEntropy(a, indices([0, 3, 9, 1, 1, 7])) },
  cumsum: { shapes: [[3, 300]], run: (a) => F.cumsum(a, 1) },
  sort: { shapes: [[4, 77]], run: (a) => F.sort(a, { dim: 1 }).values },
  matmul: {
    shapes: [
      [33, 65],
      [65, 17],
    ],
    run: (a, b) => F.matmul(a, b),
  },
  'batched matmul': {
    shapes: [
      [3, 20, 24],
      [3, 24, 9],
    ],
    run: (a, b) => F.matmul(a, b),
  },
  linear: { shapes: [[13, 40], [21, 40], [21]], run: (x, w, b) => F.linear(x, w, b) },
  'convolution 3×3': {
    shapes: [
      [2, 16, 9, 9],
      [8, 16, 3, 3],
    ],
    run: (x, w) => F.conv2d(x, w, undefined, { padding: 1 }),
  },
  'convolution with a stride': {
    shapes: [[2, 8, 9, 8], [16, 8, 3, 3], [16]],
    run: (x, w, b) => F.conv2d(x, w, b, { padding: 1, stride: 2 }),
  },
  'convolution 1×1': {
    shapes: [
      [2, 12, 6, 6],
      [20, 12, 1, 1],
    ],
    run: (x, w) => F.conv2d(x, w),
  },
  'grouped convolution': {
    shapes: [
      [1, 8, 7, 7],
      [8, 2, 3, 3],
    ],
    run: (x, w) => F.conv2d(x, w, undefined, { groups: 4 }),
  },
  'max pooling': { shapes: [[2, 3, 8, 8]], run: (x) => F.maxPool2d(x, { kernel: 2 }) },
  'average pooling': { shapes: [[2, 3, 9, 9]], run: (x) => F.avgPool2d(x, { kernel: 3, stride: 2 }) },
  'batch norm': {
    shapes: [[8, 5, 4, 4], [5], [5]],
    run: (x, weight, bias) => F.batchNorm(x, { training: true, weight, bias }),
  },
  'layer norm': { shapes: [[6, 70], [70], [70]], run: (x, weight, bias) => F.layerNorm(x, 70, { weight, bias }) },
  attention: {
    shapes: [
      [2, 2, 12, 16],
      [2, 2, 12, 16],
      [2, 2, 12, 16],
    ],
    run: (q, k, v) => F.scaledDotProductAttention(q, k, v, { isCausal: true }),
  },
  'rows by index': { shapes: [[9, 6]], run: (x) => F.indexSelect(x, 0, indices([8, 0, 3, 3])) },
  'concatenation and transposition': {
    shapes: [
      [3, 4],
      [3, 2],
    ],
    run: (a, b) => F.concat([a, b], 1).transpose(0, 1),
  },
  'steps through time': {
    shapes: [[5, 3, 8]],
    run: (x) => {
      manualSeed(5);
      return new nn.GRU(8, 8).forward(x)[0];
    },
  },
};

/** The value of a case and the gradients of its inputs. */
export async function runOwn({ shapes, run }: OwnCase): Promise<number[][]> {
  const inputs = shapes.map((shape, i) => {
    const rng = new Rng(i, 0x0ca5e);
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(
      Float32Array.from({ length: size }, () => 2 * rng.uniform() - 1),
      { shape, requiresGrad: true },
    );
  });
  const y = run(...inputs);
  const rng = new Rng(99, 0x0ca5e);
  const upstream = tensor(
    Float32Array.from({ length: y.size }, () => rng.uniform()),
    { shape: y.shape },
  );
  backward(y, { gradient: upstream });
  const all = [y, ...inputs.map(({ grad, shape }) => grad ?? zeros(shape))];
  return Promise.all(all.map(async (x) => [...(await x.data())]));
}
