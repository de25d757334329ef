// Matrix products and convolutions on matrix units, against float64 loops: sizes that fill no tile, transposes, batches, strides, groups, padding.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Conv2dKind, lowerConv2d } from '../../shaders/conv/lower';
import { elementsOf, F16, F32 } from '../../shaders/elements';
import { fromHalf, halfBits } from '../../shaders/half';
import { type Lowering, productOf } from '../../shaders/kernel';
import { lowerMatmul, type MatmulShape } from '../../shaders/matmul/lower';
import { MATRIX_LAYOUTS } from '../../shaders/matmul/subgroup-matrix';
import { type KernelTarget, kernelTarget } from '../../shaders/target';
import { candidates } from '../../shaders/variants';
import { autocast } from '../../src/autograd/autocast';
import { backward } from '../../src/autograd/backward';
import { type Device, device, init, shutdown, tune } from '../../src/gpu';
import { matrixUnit, SUBGROUP_MATRIX, targetOf } from '../../src/gpu/target';
import { Tuning } from '../../src/gpu/tuning';
import * as F from '../../src/nn/functional';
import '../../src/ops/methods';
import { conv2dShape } from '../../src/ops/conv';
import { tensor } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import { size } from '../../src/tensor/shape';
import { empty, type Tensor } from '../../src/tensor/tensor';
import { close, launched, numbers } from '../util';
import { matrixUnits } from './matrix-units';

/** Skipped without matrix units: none of these kernels compiles there. */
const onMatrices = await matrixUnits('tests/ops/subgroup-matrix.test.ts', 16);

const round = (x: number): number => fromHalf(halfBits(x));
const halves = (count: number, seed: number): Float64Array => numbers(count, seed).map(round);
const half = (values: Float64Array, shape: number[] = [values.length]): Tensor =>
  tensor([...values], { shape, dtype: 'float16' });

/** Launches the product on matrix units, to float16 if `all`, and compares. */
async function compare(
  what: string,
  lowering: Lowering,
  operands: readonly [Float64Array, Float64Array],
  want: Float64Array,
  all: boolean,
): Promise<void> {
  const [a, b] = [half(operands[0]), half(operands[1])];
  assert.match(productOf(lowering).code, 'subgroupMatrixMultiplyAccumulate', what);
  const out = empty('result', [want.length], all ? 'float16' : 'float32');
  device().launchLowering(lowering, bind(a), bind(b), bind(out));
  close(await out.data(), want, all ? 1e-3 : 1e-5, what);
}

/** Every layout takes any sizes; a case has one of them, in turn, because lavapipe compiles each kernel for a second or two. */
const layouts = Object.keys(MATRIX_LAYOUTS) as (keyof typeof MATRIX_LAYOUTS)[];

// biome-ignore format: one case a line
const matrices: Record<string, MatmulShape> = {
  'whole tiles': { batch: 1, m: 64, n: 64, k: 64, transposeA: false, transposeB: false },
  'odd sizes': { batch: 1, m: 37, n: 45, k: 51, transposeA: false, transposeB: false },
  'both transposed': { batch: 1, m: 70, n: 19, k: 33, transposeA: true, transposeB: true },
  'a batch with one B': { batch: 3, m: 33, n: 65, k: 20, transposeA: true, transposeB: false, bBatchStride: 0 },
  'a batch, B transposed': { batch: 4, m: 18, n: 29, k: 40, transposeA: false, transposeB: true },
  'few outputs, long sum': { batch: 1, m: 17, n: 16, k: 3001, transposeA: false, transposeB: true },
};

for (const [turn, [name, s]] of Object.entries(matrices).entries())
  onMatrices(`matrix product: ${name}`, async () => {
    const { batch, m, n, k, aBatchStride = m * k, bBatchStride = k * n } = s;
    const [a, b] = [halves(batch * m * k, 3), halves(batch * k * n, 4)];
    const want = Float64Array.from({ length: batch * m * n }, (_, i) => {
      const [z, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      let sum = 0;
      for (let j = 0; j < k; j++)
        sum +=
          a[z * aBatchStride + (s.transposeA ? j * m + row : row * k + j)] *
          b[z * bBatchStride + (s.transposeB ? column * k + j : j * n + column)];
      return sum;
    });
    const matrix = layouts[turn % layouts.length];
    for (const half of turn ? (['operands'] as const) : (['operands', 'all'] as const)) {
      const lowering = lowerMatmul({ ...s, half }, device().target, { matrix });
      await compare(`${matrix}, ${half}`, lowering, [a, b], want, half === 'all');
    }
  });

// biome-ignore format: one case a line
const convolutions: Record<string, [x: number[], w: number[], options: Parameters<typeof conv2dShape>[4]]> = {
  '3×3': [[3, 10, 8, 8], [21, 10, 3, 3], { padding: 1 }],
  'odd sizes, stride 2': [[2, 9, 7, 9], [17, 9, 3, 3], { padding: 1, stride: 2 }],
  'groups, dilation, uneven padding and stride': [[2, 18, 9, 7], [24, 9, 2, 3], { groups: 2, stride: [3, 2], dilation: [2, 1], padding: [2, 1, 0, 3] }],
  '1×1': [[2, 12, 5, 5], [8, 12, 1, 1], {}],
};

for (const [turn, [name, [xShape, wShape, options]]] of Object.entries(convolutions).entries())
  onMatrices(`convolution and its gradients: ${name}`, async () => {
    const s = conv2dShape('conv2d', empty('x', xShape), empty('w', wShape), null, options);
    const sizes = [size(xShape), size(wShape), s.batch * s.outChannels * s.outHeight * s.outWidth];
    for (const [i, kind] of (['forward', 'inputGradient', 'weightGradient'] as Conv2dKind[]).entries()) {
      const [a, b, out] = { forward: [0, 1, 2], inputGradient: [2, 1, 0], weightGradient: [0, 2, 1] }[kind];
      const operands = [halves(sizes[a], 1), halves(sizes[b], 2)] as const;
      const want = new Float64Array(sizes[out]);
      const [inPer, outPer] = [s.inChannels / s.groups, s.outChannels / s.groups];
      const at: number[] = [];
      for (let y = 0; y < sizes[2]; y++) {
        const [ox, oy] = [y % s.outWidth, Math.floor(y / s.outWidth) % s.outHeight];
        const o = Math.floor(y / (s.outWidth * s.outHeight)) % s.outChannels;
        const image = Math.floor(y / (s.outWidth * s.outHeight * s.outChannels));
        for (let k = 0; k < inPer * s.kernelHeight * s.kernelWidth; k++) {
          const px = ox * s.strideW + (k % s.kernelWidth) * s.dilationW - s.padLeft;
          const py = oy * s.strideH + (Math.floor(k / s.kernelWidth) % s.kernelHeight) * s.dilationH - s.padTop;
          const c = Math.floor(o / outPer) * inPer + Math.floor(k / (s.kernelWidth * s.kernelHeight));
          if (px < 0 || px >= s.inWidth || py < 0 || py >= s.inHeight) continue;
          at[0] = ((image * s.inChannels + c) * s.inHeight + py) * s.inWidth + px;
          at[1] = o * inPer * s.kernelHeight * s.kernelWidth + k;
          at[2] = y;
          want[at[out]] += operands[0][at[a]] * operands[1][at[b]];
        }
      }
      const matrix = layouts[(turn + i) % layouts.length];
      const half = turn % 2 ? 'all' : 'operands';
      const lowering = lowerConv2d(kind, { ...s, half }, device().target, { matrix });
      await compare(`${kind}, ${matrix}, ${half}`, lowering, operands, want, half === 'all');
    }
  });

onMatrices('asked for, they serve products and convolutions under autocast, and gradients', async () => {
  const names = (body: () => void) =>
    launched(body)
      .filter((name) => name.endsWith('.matrix'))
      .sort();
  const x = tensor([...numbers(48 * 40, 1)], { shape: [48, 40], requiresGrad: true });
  const w = tensor([...numbers(36 * 40, 2)], { shape: [36, 40], requiresGrad: true });
  const image = tensor([...numbers(2 * 8 * 64, 3)], { shape: [2, 8, 8, 8], requiresGrad: true });
  const kernel = tensor([...numbers(16 * 8 * 9, 4)], { shape: [16, 8, 3, 3], requiresGrad: true });
  const parameters = [x, w, image, kernel];
  const step = (enabled: boolean) => {
    for (const p of parameters) p.grad = null;
    const loss = autocast(enabled, () =>
      F.add(F.linear(x, w).sum(), F.conv2d(image, kernel, null, { padding: 1 }).sum()),
    );
    backward(loss);
  };
  assert.equal(
    names(() => step(false)),
    [],
  );
  const want = await Promise.all(parameters.map((p) => p.grad!.data()));
  assert.equal(
    names(() => step(true)),
    [
      'conv2d.forward.matrix',
      'conv2d.inputGradient.matrix',
      'conv2d.weightGradient.matrix',
      'matmul.matrix',
      'matmul.matrix',
      'matmul.matrix',
    ],
  );
  for (const [i, p] of parameters.entries()) close(await p.grad!.data(), want[i], 5e-3, `gradient ${i}`);
});

onMatrices(
  'the autotune chooses among them and the other kernels; CPU drivers have them only where they are asked for',
  async () => {
    const { XDG_CACHE_HOME: before } = process.env;
    const cache = mkdtempSync(join(tmpdir(), 'dawnfield-matrix-'));
    process.env.XDG_CACHE_HOME = cache;
    shutdown();
    try {
      const [a, b] = [halves(48 * 40, 1), halves(40 * 36, 2)];
      const product = () => F.matmul(half(a, [48, 40]), half(b, [40, 36])).data();
      assert.is(
        (await init({ autotune: true })).target.matrix,
        device().target.isCpu ? undefined : device().target.matrix,
      );
      shutdown();
      const { tuning } = await init({ autotune: true, subgroupMatrix: true });
      const built = await product();
      tuning.measure = async (_, runs) => {
        runs.get('matrix low')!();
        return [...runs.keys()].map((name) => (name === 'matrix low' ? 50 : 100));
      };
      assert.equal(Object.values(await tune({ onNotice: () => {} })), ['matrix low']);
      close(await product(), built, 1e-3);
    } finally {
      shutdown();
      process.env.XDG_CACHE_HOME = before;
      if (before === undefined) delete process.env.XDG_CACHE_HOME;
      rmSync(cache, { recursive: true });
      await init({ subgroupMatrix: true });
    }
  },
);

const nvidia = (first: boolean): KernelTarget =>
  kernelTarget({ isCpu: false, subgroupSize: 32, matrix: { m: 16, n: 16, k: 16, first } });
const shape: MatmulShape = { batch: 1, m: 100, n: 90, k: 80, transposeA: false, transposeB: false, half: 'all' };

test('16×16×16: the text of the kernel, which this machine cannot run', () => {
  const bytes = { f16: 2, f32: 4 };
  for (const matrix of layouts) {
    const kernel = productOf(lowerMatmul(shape, nvidia(false), { matrix }));
    const { code } = kernel;
    assert.is(kernel.name, 'matmul.matrix');
    for (const type of ['left<f16, 16, 16>', 'right<f16, 16, 16>', 'result<f32, 16, 16>'])
      assert.match(code, `subgroup_matrix_${type}`);
    assert.match(code, /@workgroup_size\(128\)/); // four subgroups of 32
    const { down, across, blockRows, blockColumns } = MATRIX_LAYOUTS[matrix];
    const products = code.match(/subgroupMatrixMultiplyAccumulate/g)!;
    assert.is(products.length, blockRows * blockColumns);
    const groups = Math.ceil(100 / (16 * down * blockRows)) * Math.ceil(90 / (16 * across * blockColumns));
    assert.equal(kernel.grid, [groups, 1, 1]);
    const memory = [...code.matchAll(/var<workgroup> \w+: array<(f16|f32), (\d+)>/g)];
    const used = memory.reduce((sum, [, type, count]) => sum + bytes[type as 'f16'] * Number(count), 0);
    assert.ok(used <= 16384, `${matrix}: ${used} bytes of workgroup memory`);
    assert.equal(
      elementsOf(kernel).map(({ element }) => element),
      [F16, F16, F16],
    );
    const single = productOf(lowerMatmul({ ...shape, half: 'operands' }, nvidia(false), { matrix }));
    assert.is(elementsOf(single)[2].element, F32);
  }
});

test('they are for halves, where the device was opened for them: tried by the autotune, built in where asked for', () => {
  const onUnits = (s: MatmulShape, target: KernelTarget) => {
    const { lowerings } = candidates(target, (variant) => lowerMatmul(s, target, variant));
    return [...lowerings].filter(([, l]) => productOf(l).name === 'matmul.matrix').map(([name]) => name);
  };
  const single: MatmulShape = { ...shape, half: undefined };
  assert.equal(onUnits(single, nvidia(true)), []);
  assert.equal(onUnits(shape, kernelTarget({ isCpu: false, subgroupSize: 32 })), []);
  assert.equal(onUnits(shape, nvidia(false)), ['matrix low', 'matrix square', 'matrix tall']);
  assert.equal(onUnits(shape, nvidia(true)), ['', 'matrix low', 'matrix tall']); // square is built in
  const plain = productOf(lowerMatmul(shape, nvidia(true), { matrix: 'none' }));
  assert.is(plain.name, 'matmul');
  assert.is(productOf(lowerMatmul(shape, nvidia(true), { tile: '64x64' })).code, plain.code);
});

test('a checkpoint whose kernels run on matrix units is refused where the device was not opened for them', () => {
  const tuning = (matrix: boolean) => {
    const { matrix: unit, ...plain } = nvidia(false);
    return new Tuning({ target: matrix ? { ...plain, matrix: unit } : plain } as unknown as Device, false);
  };
  const table = { 'matmul 1,64,64,64 simt/32 abc': 'matrix low' };
  assert.throws(() => tuning(false).install(table), /chose kernels on matrix units.*autotune/);
  tuning(true).install(table);
  tuning(false).install({ 'matmul 1,64,64,64 simt/64 abc': 'matrix low' }); // another class of adapter: its choices are of no use here
});

test('the size of the matrices is read off the adapter: halves, sums in float32, the largest', () => {
  const config = (componentType: string, resultComponentType: string, M: number, N: number, K: number) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }); // prettier-ignore
  const info = (...subgroupMatrixConfigs: ReturnType<typeof config>[]) =>
    ({
      vendor: 'nvidia',
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
      subgroupMatrixConfigs,
    }) as unknown as GPUAdapterInfo;
  const hopper = info(
    config('f16', 'f16', 16, 16, 16),
    config('f16', 'f32', 16, 8, 8),
    config('f16', 'f32', 16, 16, 16),
    config('u8', 'u32', 16, 16, 32),
  );
  assert.equal(matrixUnit(hopper), { m: 16, n: 16, k: 16 });
  assert.is(matrixUnit(info(config('f16', 'f16', 16, 16, 16))), null);
  assert.is(matrixUnit({} as GPUAdapterInfo), null);
  const features = new Set(['subgroups', SUBGROUP_MATRIX]);
  assert.equal(targetOf(hopper, features, true).matrix, { m: 16, n: 16, k: 16, first: true });
  assert.is(targetOf(hopper, new Set(['subgroups'])).matrix, undefined);
});

test.run();
