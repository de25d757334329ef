// float16: storage, conversions, operations in halves and those in float32, autocast. Skipped where the adapter has no shader-f16, but for its refusal.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromHalf } from '../../shaders/half';
import { autocast, isAutocasting } from '../../src/autograd/autocast';
import { backward, grad } from '../../src/autograd/backward';
import { checkpoint } from '../../src/autograd/checkpoint';
import { compile } from '../../src/autograd/compile';
import { customFunction } from '../../src/autograd/custom-function';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import * as F from '../../src/nn/functional';
import * as binaryFunctions from '../../src/ops/binary';
import '../../src/ops/methods';
import { full, tensor, zeros } from '../../src/tensor/create';
import { bind } from '../../src/tensor/elementwise';
import { endStep } from '../../src/tensor/memory';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, settled, useGpu } from '../util';
import { halfTest, round } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

const half = (values: readonly number[] | Float64Array, shape?: number[], requiresGrad = false): Tensor =>
  tensor([...values], { shape: shape ?? [values.length], dtype: 'float16', requiresGrad });

withHalf('all 65536 halves go to float32 and back, bit for bit', async () => {
  const all = Float32Array.from({ length: 65536 }, (_, i) => fromHalf(i));
  const there = tensor(all, { dtype: 'float16' });
  assert.is(there.memory.storage.bytes, 2 * 65536);
  const wide = there.to('float32');
  const back = wide.to('float16');
  for (const x of [there, wide, back, there.clone()]) {
    const data = await x.data();
    assert.ok(data instanceof Float32Array);
    for (let i = 0; i < 65536; i++)
      if (!Object.is(data[i], all[i])) assert.unreachable(`half ${i.toString(16)} is ${data[i]}, expected ${all[i]}`);
  }
});

withHalf('float32 is rounded to the nearest half, on the GPU as on the host', async () => {
  const bits = Uint32Array.from({ length: 1 << 15 }, (_, i) => (Math.imul(i, 0x9e3779b1) >>> 0) % 0x90000000);
  // Around the ends of the subnormals and of the range, with ties.
  for (let i = 0; i < 4096; i++) bits[i] = [0x33000000, 0x387fe000, 0x477fe000, 0x3f800000][i & 3] + (i >> 2) * 7;
  const x = new Float32Array(bits.buffer);
  x.set(
    [65519.996, 65520, -65520, 1e30, Infinity, -Infinity, NaN, 2 ** -25, 2 ** -25 * 1.0001, 3 * 2 ** -25, -0],
    5000,
  );
  const got = await tensor(x).to('float16').data();
  x.forEach((value, i) => {
    if (!Object.is(got[i], round(value))) assert.unreachable(`${value} is ${got[i]}, expected ${round(value)}`);
  });
  assert.equal([round(2049), round(2051), round(65519.99), round(65520)], [2048, 2052, 65504, Infinity]);
  assert.equal(await tensor([1.5, -1.5, 0.9, NaN], { dtype: 'float16' }).to('bool').toArray(), [
    true,
    true,
    true,
    true,
  ]);
  assert.equal([...(await half([1.5, -1.5, 65504]).to('int32').data())], [1, -1, 65504]);
});

withHalf('views of odd offsets and lengths, strided and in place', async () => {
  const values = Array.from({ length: 35 }, (_, i) => i - 17 + 0.25);
  const x = half(values, [5, 7]);
  const at = (i: number, j: number) => values[7 * i + j];
  assert.equal(
    await x
      .slice([
        { start: 1, stop: 4, step: 2 },
        { start: 1, stop: 4 },
      ])
      .toArray(),
    [
      [at(1, 1), at(1, 2), at(1, 3)],
      [at(3, 1), at(3, 2), at(3, 3)],
    ],
  );
  assert.equal([...(await x.select(0, 1).data())], values.slice(7, 14)); // begins in the middle of a word
  assert.equal(
    [...(await x.select(0, 1).add(1).data())],
    values.slice(7, 14).map((v) => v + 1),
  );
  assert.equal(
    [...(await x.transpose().clone().data())].slice(0, 5),
    [0, 1, 2, 3, 4].map((i) => at(i, 0)),
  );
  const joined = F.concat([x.select(0, 0), half([1, 2, 3]), x.select(0, 4)]);
  assert.is(joined.dtype, 'float16');
  assert.equal([...(await joined.data())], [...values.slice(0, 7), 1, 2, 3, ...values.slice(28)]);
  x.select(0, 2).assign_(half([7, 7, 7, 7, 7, 7, 7]));
  x.select(1, 3).assign_(0);
  const want = values.map((v, i) => (i % 7 === 3 ? 0 : i >= 14 && i < 21 ? 7 : v));
  assert.equal([...(await x.data())], want);
  assert.equal([...(await F.pad(half([1, 2, 3]), [[1, 2]]).data())], [0, 1, 2, 3, 0, 0]);
  assert.equal([...(await full([3], 0.1, { dtype: 'float16' }).data())], [round(0.1), round(0.1), round(0.1)]);
  assert.is((await zeros([0, 3], { dtype: 'float16' }).data()).length, 0);
  assert.match(half([1.5]).show ? await half([1.5]).show() : '', /dtype=float16/);
});

withHalf('elementwise operations round once, and promote as in PyTorch', async () => {
  const [a, b] = [numbers(33, 1, -3, 3), numbers(33, 2, 0.5, 2)].map((list) => list.map(round));
  const [x, y] = [half(a), half(b)];
  for (const [name, f] of Object.entries({
    add: (p: number, q: number) => p + q,
    mul: (p: number, q: number) => p * q,
    div: (p: number, q: number) => p / q,
    maximum: Math.max,
  })) {
    const got = binaryFunctions[name as 'add'](x, y);
    assert.is(got.dtype, 'float16');
    assert.equal(
      [...(await got.data())],
      [...a].map((p, i) => round(f(p, b[i]))),
      name,
    );
  }
  assert.is(x.add(0.1).dtype, 'float16');
  assert.is(x.add(tensor(0.1)).dtype, 'float16'); // no dimensions
  assert.is(x.add(tensor([0.1])).dtype, 'float32');
  assert.is(tensor([1, 2], { dtype: 'int32' }).mul(half([0.5], [])).dtype, 'float16');
  assert.is(x.lt(y).dtype, 'bool');
  assert.is(F.where(x.lt(y), x, 0).dtype, 'float16');
  assert.is(F.clamp(x, -1, y).dtype, 'float16');
  assert.equal([...(await F.clamp(half([-2, 0.5, 2, NaN]), -1, 1).data())], [-1, 0.5, 1, NaN]);
  assert.is(
    (
      await half([300])
        .mul(half([300]))
        .data()
    )[0],
    Infinity,
  );
});

withHalf('sums are float32 inside', async () => {
  const ones = full([4099], 1, { dtype: 'float16' });
  assert.is(await ones.sum().item(), round(4099)); // in halves it would stop at 2048
  assert.is(await ones.mul(0.25).mean().item(), 0.25);
  assert.is(await F.matmul(ones.reshape([1, 4099]), ones.reshape([4099, 1])).item(), round(4099));
  const x = half(numbers(600, 3).map(round), [20, 30]);
  for (const axis of [0, 1, null]) {
    const [narrow, wide] = [x, x.to('float32')].map((t) => [
      t.sum(axis),
      t.mean(axis),
      t.max(axis),
      F.variance(t, axis),
    ]);
    for (const [i, y] of narrow.entries()) {
      assert.is(y.dtype, 'float16');
      assert.equal([...(await y.data())], [...(await wide[i].data())].map(round));
    }
  }
  assert.equal([...(await x.argmax(1).data())], [...(await x.to('float32').argmax(1).data())]);
  assert.equal(await half([0, 0.5]).any().item(), 1);
});

withHalf('every other operation computes in float32 and is rounded once, gradients too', async () => {
  const images = numbers(2 * 3 * 6 * 6, 4).map(round);
  const kernel = numbers(4 * 3 * 9, 5).map(round);
  const rows = numbers(4 * 9, 6).map(round);
  const labels = tensor([1, 0, 8, 2], { dtype: 'int32' });
  const cases: Record<string, [shapes: number[][], run: (...x: Tensor[]) => Tensor]> = {
    conv2d: [
      [
        [2, 3, 6, 6],
        [4, 3, 3, 3],
      ],
      (x, w) => F.conv2d(x, w, null, { padding: 1 }),
    ],
    linear: [
      [
        [4, 9],
        [4, 9],
      ],
      (x, w) => F.linear(x, w),
    ],
    softmax: [[[4, 9]], (x) => F.softmax(x, 1)],
    layerNorm: [[[4, 9]], (x) => F.layerNorm(x, 9)],
    maxPool2d: [[[2, 3, 6, 6]], (x) => F.maxPool2d(x, 2)],
    crossEntropy: [[[4, 9]], (x) => F.crossEntropy(x, labels)],
    embedding: [[[4, 9]], (x) => F.embedding(x, tensor([3, 3, 0], { dtype: 'int32' }))],
    cumsum: [[[4, 9]], (x) => F.cumsum(x, 1)],
    sort: [[[4, 9]], (x) => F.sort(x, { dim: 1 }).values],
    einsum: [
      [
        [4, 9],
        [4, 9],
      ],
      (a, b) => F.einsum('ij,kj->ik', a, b),
    ],
    tanh: [[[4, 9]], (x) => F.tanh(x)],
    norm: [[[4, 9]], (x) => F.norm(x, 2, 1)],
  };
  for (const [name, [shapes, run]] of Object.entries(cases)) {
    const data = shapes.map(({ length }, i) => (length === 4 ? [images, kernel][i] : rows));
    const narrow = shapes.map((shape, i) => half(data[i], shape, true));
    const wide = shapes.map((shape, i) => tensor([...data[i]], { shape, requiresGrad: true }));
    const [y, z] = [run(...narrow), run(...wide)];
    assert.is(y.dtype, 'float16', name);
    assert.equal([...(await y.data())], [...(await z.data())].map(round), name);
    const up = numbers(y.size, 8).map(round);
    backward(y, { gradient: half(up, [...y.shape]) });
    backward(z, { gradient: tensor([...up], { shape: [...z.shape] }) });
    for (const [i, x] of narrow.entries()) {
      assert.is(x.grad!.dtype, 'float16', name);
      const want = await wide[i].grad!.data();
      close(await x.grad!.data(), want, 2e-3, `${name}: gradient ${i}`);
    }
  }
});

withHalf('what the tape keeps of a product is its halves, and they come back', async () => {
  const x = half(numbers(64 * 64, 1).map(round), [64, 64], true);
  const w = half(numbers(64 * 64, 2).map(round), [64, 64], true);
  const before = await settled();
  const y = F.matmul(x, w);
  assert.is((await settled()) - before, 2 * 64 * 64); // the result alone: no copies in float32
  backward(y, { gradient: full([64, 64], 1, { dtype: 'float16' }), retainGraph: true });
  const first = await x.grad!.data();
  x.grad = null;
  backward(y, { gradient: full([64, 64], 1, { dtype: 'float16' }) });
  assert.equal([...(await x.grad!.data())], [...first]);
  endStep();
  const z = F.matmul(x, w);
  noGrad(() => x.mul_(2));
  assert.throws(() => backward(z, { gradient: full([64, 64], 1, { dtype: 'float16' }) }), /overwritten in place/);
});

withHalf('second derivatives pass through conversions', async () => {
  const x = half([0.5, -1.5], [2], true);
  const [g] = grad(F.tanh(x).to('float32').mul(x.to('float32')).sum(), [x], { createGraph: true });
  assert.is(g!.dtype, 'float16');
  const [h] = grad(g!.to('float32').sum(), [x]);
  const want = [0.5, -1.5].map((v) => {
    const slope = 1 - Math.tanh(v) ** 2;
    return 2 * slope - 2 * v * Math.tanh(v) * slope;
  });
  close(await h!.data(), want, 4e-3);
});

withHalf('refusals: mixtures, raw launches, what takes float32 alone', async () => {
  const x = half([1, 2, 3, 4], [2, 2]);
  assert.throws(
    () => F.matmul(x, tensor([[1], [2]])),
    /matmul: some operands are float16, some float32.*to\('float32'\)/,
  );
  assert.throws(() => F.gather(x, 0, x), /the index must be int32/);
  assert.throws(() => tensor([1], { dtype: 'half' as never }), /there is no dtype 'half'.*float16/);
  const { bernoulli } = await import('../../src/tensor/random');
  assert.throws(() => bernoulli(x), /bernoulli: p is float16, not float32/);
  const { softmax } = await import('../../shaders/softmax');
  const kernel = softmax(device().target, false, 1);
  assert.throws(
    () => device().launch(kernel, [bind(x), bind(x.clone())], [1, 4, 1], 1),
    /it was given a tensor of float16/,
  );
});

withHalf('autocast runs each operation in the type of its list', async () => {
  const x = tensor([...numbers(12, 1)], { shape: [3, 4], requiresGrad: true });
  const w = tensor([...numbers(20, 2)], { shape: [5, 4], requiresGrad: true });
  assert.not.ok(isAutocasting());
  autocast(() => {
    assert.ok(isAutocasting());
    const y = F.linear(x, w);
    assert.is(y.dtype, 'float16');
    assert.is(F.relu(y).dtype, 'float16');
    assert.is(y.exp().dtype, 'float32');
    assert.is(y.sum().dtype, 'float32');
    assert.is(F.softmax(y, 1).dtype, 'float32');
    assert.is(F.atan2(y, x.select(1, 0).unsqueeze(1)).dtype, 'float32');
    assert.is(F.atan2(y, y).dtype, 'float16');
    assert.is(y.add(tensor([1, 1, 1, 1, 1])).dtype, 'float32');
    assert.is(F.crossEntropy(y, tensor([0, 1, 2], { dtype: 'int32' })).dtype, 'float32');
    assert.is(autocast(false, () => F.linear(x, w)).dtype, 'float32');
    assert.throws(() => autocast(false, () => F.linear(y, w)), /some operands are float16/);
    backward(y.sum());
  });
  assert.is(F.linear(x, w).dtype, 'float32');
  assert.is(w.grad!.dtype, 'float32');
  const [xs, ws] = [x, w].map((t) => t.detach().to('float16').to('float32').requiresGrad_());
  const reference = F.linear(xs, ws);
  backward(reference.sum());
  assert.equal([...(await w.grad!.data())], [...(await ws.grad!.data())].map(round));
  const y = await autocast(async () => {
    await x.data();
    return F.linear(x, w);
  });
  assert.is(y.dtype, 'float16');
  assert.throws(() => autocast(3 as never), /autocast\(\(\) => …\)/);
});

withHalf('autocast converts a weight once for the region', async () => {
  const w = tensor([...numbers(16, 2)], { shape: [4, 4], requiresGrad: true });
  const x = tensor([...numbers(16, 3)], { shape: [4, 4] });
  const copies = (body: () => unknown) => {
    const before = device().stats().dispatches;
    body();
    return device().stats().dispatches - before;
  };
  const once = copies(() => autocast(() => F.matmul(x, w)));
  const twice = copies(() => autocast(() => [F.matmul(x, w), F.matmul(x, w)]));
  assert.is(twice, 2 * once - 1);
  const apart = () => autocast(() => [F.matmul(x, w), ...Array.from({ length: 4 }, endStep), F.matmul(x, w)]);
  assert.is(copies(apart), twice, 'other steps have ended in the meantime');
  // A weight that was changed is converted again.
  const [before, after] = autocast(() => {
    const first = F.matmul(x, w);
    noGrad(() => w.mul_(2));
    return [first, F.matmul(x, w)];
  });
  close(
    await after.data(),
    (await before.data()).map((v) => 2 * v),
    1e-3,
  );
  // And one whose graph is over.
  autocast(() => {
    for (let i = 0; i < 2; i++) backward(F.matmul(x, w).to('float32').sum());
  });
});

withHalf('autocast in checkpoints, custom functions and compiled steps: the bits of eager', async () => {
  const w = tensor([...numbers(64, 2)], { shape: [8, 8], requiresGrad: true });
  const x = tensor([...numbers(64, 3)], { shape: [8, 8] });
  const square = customFunction({
    name: 'square',
    forward: (ctx, t: Tensor) => {
      ctx.save(t);
      return t.mul(t);
    },
    backward: (ctx, g) => g.mul(ctx.saved[0]).mul(2),
  });
  const loss = (input: Tensor) =>
    autocast(() => {
      const y = F.relu(
        F.matmul(
          checkpoint((t) => F.gelu(F.matmul(t, w)), input),
          w,
        ),
      );
      return F.mseLoss(square(y), zeros([8, 8]));
    });
  const step = (input: Tensor) => {
    const l = loss(input);
    backward(l);
    return l;
  };
  const eager = await step(x).item();
  const gradient = [...(await w.grad!.data())];
  w.grad = null;
  const compiled = compile((input: Tensor) => {
    w.grad = null;
    return step(input);
  });
  for (let i = 0; i < 3; i++) {
    assert.is(await compiled(x).item(), eager);
    assert.equal([...(await w.grad!.data())], gradient);
  }
  // A region around a compiled step is part of what it was traced with.
  const product = compile((input: Tensor) => F.matmul(input, w.detach()).to('float32'));
  const plain = [...(await product(x).data())];
  const rounded = [...(await autocast(() => product(x)).data())];
  assert.not.equal(rounded, plain);
  assert.equal([...(await product(x).data())], plain);
  assert.equal(
    [...(await F.matmul(half(await x.data().then((d) => [...d]), [8, 8]), w.detach().to('float16')).data())],
    rounded,
  );
});

withHalf('float16 in compiled steps with odd sizes', async () => {
  const f = (a: Tensor, b: Tensor) => F.concat([a.mul(b), F.softmax(a, 0), a.slice([{ start: 1, stop: 4 }])]);
  const [a, b] = [half(numbers(7, 1).map(round)), half(numbers(7, 2).map(round))];
  const want = [...(await f(a, b).data())];
  const compiled = compile(f);
  for (let i = 0; i < 2; i++) assert.equal([...(await compiled(a, b).data())], want);
});

test('an adapter without shader-f16 says so', () => {
  const { features } = device();
  Object.assign(device(), { features: new Set([...features].filter((name) => name !== 'shader-f16')) });
  try {
    assert.throws(() => tensor([1], { dtype: 'float16' }), /has no 'shader-f16'.*Use float32/s);
    assert.throws(() => tensor([1]).to('float16'), /has no 'shader-f16'/);
    assert.throws(() => autocast(() => 0), /autocast: this adapter/);
  } finally {
    Object.assign(device(), { features });
  }
});

test.run();
