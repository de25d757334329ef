// The kernels for every target against float64 loops, including those that this machine's adapter would not choose.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Conv2dKind, Conv2dShape } from '../../shaders/conv/lower';
import { lowerConv2d } from '../../shaders/conv/lower';
import type { Lowering } from '../../shaders/kernel';
import type { MatmulShape } from '../../shaders/matmul/lower';
import { lowerMatmul } from '../../shaders/matmul/lower';
import { type KernelTarget, kernelTarget, targetName } from '../../shaders/target';
import { device } from '../../src/gpu';
import { tensor } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import { empty } from '../../src/tensor/tensor';
import { close, numbers, targetFor, useGpu } from '../util';

useGpu();

const plain: KernelTarget[] = [
  kernelTarget({ isCpu: false, subgroupSize: 0 }),
  kernelTarget({ isCpu: true, subgroupSize: 0 }),
];
/** Lane broadcasts need a driver with subgroups of a known size. */
const broadcast = (): KernelTarget[] => (device().target.subgroupSize >= 4 ? [targetFor('cpu')] : []);

async function run(lowering: Lowering, a: Float64Array, b: Float64Array, size: number): Promise<Float32Array> {
  const [ta, tb] = [a, b].map((v) => tensor(Float32Array.from(v)));
  const out = empty('result', [size]);
  device().launchLowering(lowering, bind(ta), bind(tb), bind(out));
  return (await out.data()) as Float32Array;
}

interface ConvCase extends Partial<Conv2dShape> {
  kernel: [number, number];
  image: [number, number];
  /** Bottom and right padding, which the output's size stands for. */
  end?: [number, number];
  /** Only the lane broadcasts: to compile the others takes seconds on a software driver. */
  quick?: true;
  /** Only the kernels for GPUs: a window slides over whole rows (conv/gpu-staged.ts). */
  staged?: true;
}

function convShape({ kernel, image, end = [0, 0], quick: _, staged: __, ...rest }: ConvCase): Conv2dShape {
  const s = { batch: 2, inChannels: 1, outChannels: 1, strideH: 1, strideW: 1, padTop: 0, padLeft: 0, ...rest };
  const { dilationH = 1, dilationW = 1, groups = 1 } = rest;
  const outHeight = Math.floor((image[0] + s.padTop + end[0] - dilationH * (kernel[0] - 1) - 1) / s.strideH) + 1;
  const outWidth = Math.floor((image[1] + s.padLeft + end[1] - dilationW * (kernel[1] - 1) - 1) / s.strideW) + 1;
  const extents = { inHeight: image[0], inWidth: image[1], kernelHeight: kernel[0], kernelWidth: kernel[1] };
  return { ...s, ...extents, dilationH, dilationW, groups, outHeight, outWidth };
}

/** Flat positions in x, weight and y of every product. */
function* products(s: Conv2dShape): Generator<[number, number, number]> {
  const [inPer, outPer] = [s.inChannels / s.groups, s.outChannels / s.groups];
  for (let i = 0; i < s.batch * s.outChannels * s.outHeight * s.outWidth; i++) {
    const ox = i % s.outWidth;
    const oy = Math.floor(i / s.outWidth) % s.outHeight;
    const o = Math.floor(i / (s.outWidth * s.outHeight)) % s.outChannels;
    const n = Math.floor(i / (s.outWidth * s.outHeight * s.outChannels));
    for (let k = 0; k < inPer * s.kernelHeight * s.kernelWidth; k++) {
      const x = ox * s.strideW + (k % s.kernelWidth) * s.dilationW - s.padLeft;
      const y = oy * s.strideH + (Math.floor(k / s.kernelWidth) % s.kernelHeight) * s.dilationH - s.padTop;
      const c = Math.floor(o / outPer) * inPer + Math.floor(k / (s.kernelWidth * s.kernelHeight));
      if (x < 0 || x >= s.inWidth || y < 0 || y >= s.inHeight) continue;
      yield [
        ((n * s.inChannels + c) * s.inHeight + y) * s.inWidth + x,
        o * inPer * s.kernelHeight * s.kernelWidth + k,
        i,
      ];
    }
  }
}

// biome-ignore format: one case a line
const convolutions: Record<string, ConvCase> = {
  '3×3, 20 to 40 channels': { inChannels: 20, outChannels: 40, kernel: [3, 3], image: [5, 8], padTop: 1, padLeft: 1, end: [1, 1], quick: true },
  // Enough images for several rows a lane: 4 where they divide the height, else 2.
  'four rows a lane': { batch: 24, inChannels: 3, outChannels: 17, kernel: [3, 3], image: [8, 16], padTop: 1, padLeft: 1, end: [1, 1], quick: true },
  'four rows a lane, dilation, one side padded': { batch: 40, inChannels: 2, outChannels: 12, kernel: [3, 2], image: [12, 7], dilationH: 2, padTop: 3, end: [1, 2], quick: true },
  'two rows a lane': { batch: 40, inChannels: 4, outChannels: 16, kernel: [2, 3], image: [10, 8], padTop: 1, padLeft: 1, end: [0, 1], quick: true },
  // Weight gradients whose lanes hold a channel each, on drivers of 16 lanes as well: two rows of dy at once where their number is even.
  'an even number of rows': { batch: 3, inChannels: 17, outChannels: 20, kernel: [3, 3], image: [6, 12], padTop: 1, padLeft: 1, end: [1, 1], quick: true },
  'an even number of rows, dilation': { inChannels: 16, outChannels: 8, kernel: [3, 2], image: [9, 7], dilationH: 2, padTop: 1, end: [0, 1], quick: true },
  'stride 2, odd size': { inChannels: 9, outChannels: 17, kernel: [3, 3], image: [7, 9], strideH: 2, strideW: 2, padTop: 1, padLeft: 1, end: [1, 1] },
  '1×1, stride 2': { inChannels: 8, outChannels: 12, kernel: [1, 1], image: [6, 8], strideH: 2, strideW: 2, quick: true },
  'groups, dilation, stride 3 × 2, uneven padding': {
    inChannels: 18, outChannels: 24, groups: 2, kernel: [2, 3], image: [9, 7], strideH: 3, strideW: 2, dilationH: 2, dilationW: 3, padTop: 2, padLeft: 4, end: [0, 3],
  },
  'rows of vec4s, ragged channels, an odd image': { batch: 3, inChannels: 19, outChannels: 21, kernel: [3, 3], image: [8, 8], padTop: 1, padLeft: 1, end: [1, 1], staged: true },
  'rows of vec4s, several bands of an image, two groups': { batch: 2, inChannels: 16, outChannels: 18, groups: 2, kernel: [3, 3], image: [16, 32], padTop: 1, padLeft: 1, end: [1, 1], staged: true },
  'rows of vec4s, images side by side, an even kernel': { batch: 5, inChannels: 9, outChannels: 16, kernel: [2, 3], image: [4, 12], padTop: 0, padLeft: 1, end: [1, 1], staged: true },
  'rows of vec4s, dilation': { batch: 2, inChannels: 10, outChannels: 8, kernel: [3, 3], image: [8, 16], dilationH: 2, dilationW: 2, padTop: 2, padLeft: 2, end: [2, 2], staged: true },
  'depthwise, kernel larger than the image': { inChannels: 6, outChannels: 6, groups: 6, kernel: [5, 5], image: [3, 2], padTop: 2, padLeft: 2, end: [2, 2] },
};

for (const [name, options] of Object.entries(convolutions))
  for (const kind of ['forward', 'inputGradient', 'weightGradient'] as Conv2dKind[])
    test(`convolution, ${kind}: ${name}`, async () => {
      const s = convShape(options);
      const sizes = [
        s.batch * s.inChannels * s.inHeight * s.inWidth,
        (s.outChannels * s.inChannels * s.kernelHeight * s.kernelWidth) / s.groups,
        s.batch * s.outChannels * s.outHeight * s.outWidth,
      ];
      // Positions, in a triple (x, weight, y), of the operands and of the result.
      const [a, b, out] = { forward: [0, 1, 2], inputGradient: [2, 1, 0], weightGradient: [0, 2, 1] }[kind];
      const operands = [numbers(sizes[a], 1), numbers(sizes[b], 2)];
      const want = new Float64Array(sizes[out]);
      for (const at of products(s)) want[at[out]] += operands[0][at[a]] * operands[1][at[b]];
      const targets = options.staged ? plain.slice(0, 1) : [...broadcast(), ...(options.quick ? [] : plain)];
      for (const target of targets) {
        const plan = lowerConv2d(kind, s, target);
        if (options.staged && !(kind === 'weightGradient' && s.dilationH > 1))
          assert.match(plan.stages[0].kernel.code, 'var<workgroup> window', 'the staged formulation');
        const got = await run(plan, operands[0], operands[1], sizes[out]);
        close(got, want, 1e-5, `${targetName(target)}, subgroups of ${target.subgroupSize}`);
      }
    });

const matrices: Record<string, MatmulShape> = {
  'odd sizes': { batch: 1, m: 37, n: 45, k: 51, transposeA: false, transposeB: false },
  'both transposed, few columns': { batch: 1, m: 70, n: 18, k: 33, transposeA: true, transposeB: true },
  'a batch with one B': { batch: 3, m: 32, n: 64, k: 20, transposeA: true, transposeB: false, bBatchStride: 0 },
  'few outputs, long sum': { batch: 1, m: 16, n: 16, k: 3000, transposeA: false, transposeB: true },
  'a dot product': { batch: 1, m: 1, n: 1, k: 5000, transposeA: false, transposeB: false },
  'an empty sum': { batch: 2, m: 5, n: 3, k: 0, transposeA: false, transposeB: false },
};

for (const [name, s] of Object.entries(matrices))
  test(`matrix product: ${name}`, async () => {
    const { batch, m, n, k, aBatchStride = m * k, bBatchStride = k * n } = s;
    const a = numbers(Math.max(1, batch * m * k), 3);
    const b = numbers(Math.max(1, batch * k * n), 4);
    const want = Float64Array.from({ length: batch * m * n }, (_, i) => {
      const [z, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      let sum = 0;
      for (let j = 0; j < k; j++)
        sum +=
          a[z * aBatchStride + (s.transposeA ? j * m + row : row * k + j)] *
          b[z * bBatchStride + (s.transposeB ? column * k + j : j * n + column)];
      return sum;
    });
    for (const target of [...broadcast(), ...plain])
      close(
        await run(lowerMatmul(s, target), a, b, want.length),
        want,
        1e-5,
        `${targetName(target)}, subgroups of ${target.subgroupSize}`,
      );
  });

test.run();
