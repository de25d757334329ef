// Matrix products and convolutions of halves: the kernels read them as they lie, sum in float32 and round once. So the results are, bit for bit,
// those of the kernels of float32 (which backs.test.ts compares with float64), rounded; and no copies are made.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Conv2dKind, lowerConv2d } from '../../shaders/conv/lower';
import type { Lowering } from '../../shaders/kernel';
import { lowerMatmul, type MatmulShape } from '../../shaders/matmul/lower';
import { kernelTarget } from '../../shaders/target';
import { autocast } from '../../src/autograd/autocast';
import { backward, grad } from '../../src/autograd/backward';
import { device } from '../../src/gpu';
import * as F from '../../src/nn/functional';
import { conv2dShape } from '../../src/ops/conv';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import { size } from '../../src/tensor/shape';
import { empty, type Tensor } from '../../src/tensor/tensor';
import { close, numbers, onBothTargets, settled, targetFor, useGpu } from '../util';
import { halfTest, round, rounded } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

const half = (shape: number[], seed: number, requiresGrad = false): Tensor =>
  tensor(rounded(size(shape), seed), { shape, dtype: 'float16', requiresGrad });

/** Launches a lowering on operands of one type. */
async function compute(lowering: Lowering, operands: readonly Tensor[], count: number, result: 'float16' | 'float32') {
  const out = empty('result', [count], result);
  device().launchLowering(lowering, bind(operands[0]), bind(operands[1]), bind(out));
  return [...(await out.data())];
}

/** Compares the lowerings of halves, to float32 and to float16, with that of float32. */
async function compare(
  what: string,
  lower: (shape: { half?: 'operands' | 'all' }) => Lowering,
  counts: readonly [number, number, number],
): Promise<void> {
  const narrow = [half([counts[0]], 1), half([counts[1]], 2)];
  const want = await compute(
    lower({}),
    narrow.map((x) => x.to('float32')),
    counts[2],
    'float32',
  );
  const single = await compute(lower({ half: 'operands' }), narrow, counts[2], 'float32');
  assert.equal(single, want, `${what}, to float32`);
  assert.equal(await compute(lower({ half: 'all' }), narrow, counts[2], 'float16'), want.map(round), what);
}

const targets = () => [
  targetFor('gpu'),
  targetFor('cpu'),
  ...[true, false].map((isCpu) => kernelTarget({ isCpu, subgroupSize: 0 })),
];

// biome-ignore format: one case a line
const matrices: Record<string, MatmulShape> = {
  'odd sizes': { batch: 1, m: 37, n: 45, k: 51, transposeA: false, transposeB: false },
  'sizes of vec4s': { batch: 2, m: 64, n: 32, k: 16, transposeA: true, transposeB: false },
  'both transposed, few columns': { batch: 1, m: 70, n: 18, k: 33, transposeA: true, transposeB: true },
  'a batch with one B': { batch: 3, m: 32, n: 64, k: 20, transposeA: true, transposeB: false, bBatchStride: 0 },
  'few outputs, long sum': { batch: 1, m: 16, n: 17, k: 3001, transposeA: false, transposeB: true },
  'a dot product': { batch: 1, m: 1, n: 1, k: 5001, transposeA: false, transposeB: false },
  'an empty sum': { batch: 2, m: 5, n: 3, k: 0, transposeA: false, transposeB: false },
};

for (const [name, s] of Object.entries(matrices))
  withHalf(`matrix product: ${name}`, async () => {
    for (const target of targets())
      await compare(
        `${target.isCpu ? 'CPU' : 'GPU'}, ${target.lanes} lanes`,
        (shape) => lowerMatmul({ ...s, ...shape }, target),
        [Math.max(1, s.batch * s.m * s.k), Math.max(1, s.batch * s.k * s.n), s.batch * s.m * s.n],
      );
  });

// biome-ignore format: one case a line
const convolutions: Record<string, [x: number[], w: number[], options: Parameters<typeof conv2dShape>[4]]> = {
  'rows of vec4s': [[3, 10, 8, 8], [21, 10, 3, 3], { padding: 1 }],
  'odd sizes, stride 2': [[2, 9, 7, 9], [17, 9, 3, 3], { padding: 1, stride: 2 }],
  'groups, dilation, uneven padding': [[2, 18, 9, 7], [24, 9, 2, 3], { groups: 2, dilation: [2, 1], padding: [2, 1, 0, 3] }],
  '1×1': [[2, 12, 5, 5], [8, 12, 1, 1], {}],
  'depthwise': [[2, 6, 5, 5], [6, 1, 3, 3], { groups: 6, padding: 1 }],
};

for (const [name, [x, w, options]] of Object.entries(convolutions))
  for (const kind of ['forward', 'inputGradient', 'weightGradient'] as Conv2dKind[])
    withHalf(`convolution, ${kind}: ${name}`, async () => {
      const s = conv2dShape('conv2d', empty('x', x), empty('w', w), null, options);
      const sizes = [size(x), size(w), s.batch * s.outChannels * s.outHeight * s.outWidth] as const;
      const [a, b, out] = { forward: [0, 1, 2], inputGradient: [2, 1, 0], weightGradient: [0, 2, 1] }[kind];
      for (const target of targets().slice(0, 2))
        await compare(target.isCpu ? 'CPU' : 'GPU', (shape) => lowerConv2d(kind, { ...s, ...shape }, target), [
          sizes[a],
          sizes[b],
          sizes[out],
        ]);
    });

/** Launches of `body`, and the most bytes in use meanwhile beyond those before and its result. */
function cost(body: () => Tensor): { launches: number; bytes: number } {
  const before = device().stats();
  device().pool.peakBytes = before.liveBytes;
  const y = body();
  const after = device().stats();
  const bytes = after.peakBytes - before.liveBytes - y.memory.storage.block.size;
  y.dispose();
  return { launches: after.dispatches - before.dispatches, bytes };
}

withHalf('a product of halves takes the launches of one of float32: no copies', async () => {
  const products: Record<string, [number[], number[], (...t: Tensor[]) => Tensor]> = {
    matmul: [[64, 64], [64, 64], F.matmul],
    bmm: [[3, 20, 30], [3, 30, 10], F.bmm],
    conv2d: [[2, 8, 8, 8], [16, 8, 3, 3], (x, w) => F.conv2d(x, w, null, { padding: 1 })],
    convTranspose2d: [[2, 8, 8, 8], [8, 16, 2, 2], (x, w) => F.convTranspose2d(x, w, null, { stride: 2 })],
    conv1d: [[2, 8, 32], [16, 8, 3], (x, w) => F.conv1d(x, w)],
  };
  await onBothTargets(async () => {
    for (const [name, [a, b, run]] of Object.entries(products)) {
      const narrow = [half(a, 1), half(b, 2)];
      const wide = narrow.map((t) => t.to('float32'));
      await settled(); // garbage that is collected meanwhile would count as saved
      const [ours, theirs] = [cost(() => run(...narrow)), cost(() => run(...wide))];
      assert.is(ours.launches, theirs.launches, name);
      assert.ok(ours.bytes <= theirs.bytes, `${name}: ${ours.bytes} bytes, ${theirs.bytes} in float32`);
      if (!device().target.isCpu && name === 'matmul') assert.equal(ours, { launches: 1, bytes: 0 });
    }
  });
});

withHalf('the bytes that launches bind are halved', async () => {
  if (!device().features.has('timestamp-query')) return;
  const [a, b] = [half([64, 64], 1), half([64, 64], 2)];
  const [p, q] = [a, b].map((t) => t.to('float32'));
  const bytes = async (body: () => void) => (await device().timed(body)).reduce((sum, launch) => sum + launch.bytes, 0);
  await onBothTargets(async () => {
    assert.is(await bytes(() => void F.matmul(p, q)), 3 * 4 * 64 * 64);
    assert.is(await bytes(() => void F.matmul(a, b)), 3 * 2 * 64 * 64);
  }, ['gpu']);
});

withHalf('a layer with a bias is rounded once; its gradients are halves', () =>
  onBothTargets(async () => {
    const names = ['x', 'weight', 'bias'] as const;
    const [x, w, b] = [half([5, 33], 1, true), half([9, 33], 2, true), half([9], 3, true)];
    const wide = [x, w, b].map((t) => t.detach().to('float32').requiresGrad_());
    const y = F.linear(x, w, b);
    const z = F.linear(wide[0], wide[1], wide[2]);
    assert.equal([...(await y.data())], [...(await z.data())].map(round));
    const up = half([5, 9], 4);
    backward(y, { gradient: up });
    backward(z, { gradient: up.to('float32') });
    for (const [i, t] of [x, w, b].entries()) {
      assert.is(t.grad?.dtype, 'float16');
      assert.equal([...(await t.grad!.data())], [...(await wide[i].grad!.data())].map(round), names[i]);
    }
    const images = half([2, 3, 5, 4], 5);
    const [kernel, shift] = [half([4, 3, 3, 3], 6), half([4], 7)];
    const conv = (...t: Tensor[]) => F.conv2d(t[0], t[1], t[2], { padding: 1 });
    const same = conv(...[images, kernel, shift].map((t) => t.to('float32')));
    assert.equal([...(await conv(images, kernel, shift).data())], [...(await same.data())].map(round));
  }),
);

withHalf('broadcast batches: gradients are summed in float32, and rounded once', async () => {
  const [a, b] = [half([4, 3, 6], 1, true), half([6, 5], 2, true)];
  const [c, d] = [half([1, 3, 6], 3, true), half([4, 6, 5], 4, true)];
  for (const [p, q] of [
    [a, b],
    [c, d],
  ]) {
    const wide = [p, q].map((t) => t.detach().to('float32').requiresGrad_());
    const up = half([4, 3, 5], 5);
    backward(F.matmul(p, q), { gradient: up });
    backward(F.matmul(wide[0], wide[1]), { gradient: up.to('float32') });
    for (const [i, t] of [p, q].entries())
      assert.equal([...(await t.grad!.data())], [...(await wide[i].grad!.data())].map(round));
  }
});

withHalf('views: offsets in the middle of a word, transposes, strides', async () => {
  const x = half([7, 9, 11], 1);
  const wide = x.to('float32');
  const pairs: ((t: Tensor) => [Tensor, Tensor])[] = [
    (t) => [t.select(0, 1), t.select(0, 2).transpose()],
    (t) => [t.transpose(0, 1), t.select(0, 3).transpose()],
    (t) => [t.slice([{ start: 1, stop: 6, step: 2 }]), t.select(1, 4).transpose()],
  ];
  for (const pair of pairs) {
    const [y, z] = [x, wide].map((t) => F.matmul(...pair(t)));
    assert.equal([...(await y.data())], [...(await z.data())].map(round));
  }
});

withHalf('second derivatives of a product of halves', async () => {
  const x = half([3, 3], 1, true);
  const cube = (t: Tensor) => F.matmul(F.matmul(t, t), t).to('float32').sum();
  const [g] = grad(cube(x), [x], { createGraph: true });
  assert.is(g!.dtype, 'float16');
  const [h] = grad(g!.to('float32').sum(), [x]);
  const wide = x.detach().to('float32').requiresGrad_();
  const [gWide] = grad(cube(wide), [wide], { createGraph: true });
  const [want] = grad(gWide!.sum(), [wide]);
  close(await h!.data(), await want!.data(), 4e-3);
});

withHalf('a step under autocast converts its inputs and the gradient of the weight, nothing else', async () => {
  const x = tensor([...numbers(64 * 64, 1)], { shape: [64, 64] });
  const w = tensor([...numbers(64 * 64, 2)], { shape: [64, 64], requiresGrad: true });
  const step = (enabled: boolean, up: Tensor) => {
    w.grad = null;
    const y = autocast(enabled, () => F.matmul(F.matmul(x, w), w));
    backward(y, { gradient: up });
    return w.grad!;
  };
  const up = half([64, 64], 3);
  const wide = up.to('float32');
  const [narrow, single] = [() => step(true, up), () => step(false, wide)];
  for (const run of [narrow, single]) run();
  await settled();
  const [ours, theirs] = [cost(narrow), cost(single)];
  assert.is(ours.launches, theirs.launches + 3);
  assert.ok(ours.bytes < theirs.bytes, `${ours.bytes} bytes, ${theirs.bytes} in float32`);
});

test.run();
