// Attention against float64 loops: values, gradients, masks, layouts, both targets, memory.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AttentionOptions, scaledDotProductAttention as attention } from '../../src/ops/attention';
import { eye, ones, tensor, zeros } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import '../../src/ops/methods';
import { backward, grad } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { jvp } from '../../src/autograd/forward-mode';
import { device } from '../../src/gpu';
import { type Shape, size } from '../../src/tensor/shape';
import { checkOperation, close, numbers, onBothTargets, settled, useGpu } from '../util';

useGpu();

/** Attention of one head after the other; `visible` and `bias` are looked up at (head, query, key). */
function reference(
  [q, k, v]: Float64Array[],
  [heads, L, S, D, E]: number[],
  o: {
    scale?: number;
    visible?: (h: number, i: number, j: number) => boolean;
    bias?: (h: number, i: number, j: number) => number;
    /** Factors on the weights. */
    chance?: ArrayLike<number>;
  },
): Float64Array {
  const y = new Float64Array(heads * L * E);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < L; i++) {
      const scores = Array.from({ length: S }, (_, j) => {
        if (o.visible && !o.visible(h, i, j)) return -Infinity;
        let dot = 0;
        for (let d = 0; d < D; d++) dot += q[(h * L + i) * D + d] * k[(h * S + j) * D + d];
        return dot * (o.scale ?? 1 / Math.sqrt(D)) + (o.bias?.(h, i, j) ?? 0);
      });
      const top = Math.max(...scores);
      if (top === -Infinity) continue;
      const weights = scores.map((s) => Math.exp(s - top));
      const total = weights.reduce((a, b) => a + b, 0);
      for (let j = 0; j < S; j++)
        for (let e = 0; e < E; e++)
          y[(h * L + i) * E + e] += (weights[j] / total) * (o.chance?.[i * S + j] ?? 1) * v[(h * S + j) * E + e];
    }
  return y;
}

const cases: [Shape, AttentionOptions?][] = [
  [[2, 5, 5, 4, 4]],
  [[1, 19, 23, 17, 3], { scale: 0.7 }],
  [[2, 9, 21, 4, 4], { isCausal: true }],
  [[1, 41, 9, 4, 4], { isCausal: true }],
  [[1, 6, 7, 68, 72]],
  [[1, 1, 1, 1, 1]],
];

test('values and gradients, lengths and widths that differ', () =>
  onBothTargets(async () => {
    for (const [shape, o = {}] of cases) {
      const [heads, L, S, D, E] = shape;
      const shapes = [
        [heads, L, D],
        [heads, S, D],
        [heads, S, E],
      ];
      await checkOperation(`[${shape}]`, {
        shapes,
        values: shapes.map((s, i) => numbers(size(s), i + 1)),
        run: (q, k, v) => attention(q, k, v, o),
        reference: (...x) =>
          reference(x, shape as number[], {
            scale: o.scale ?? undefined,
            visible: o.isCausal ? (_, i, j) => j <= i : undefined,
          }),
      });
    }
  }));

const masks: [string, Shape, 'bool' | 'float32'][] = [
  ['bool, one for all', [7, 9], 'bool'],
  ['bool, of keys', [2, 1, 1, 9], 'bool'],
  ['float, one for all', [7, 9], 'float32'],
  ['float, of heads', [3, 1, 9], 'float32'],
];

test('masks: broadcast, rows that see nothing, with and without the gradient of the mask', () =>
  onBothTargets(async () => {
    for (const [what, shape, dtype] of masks) {
      const [N, H, L, S, D] = [2, 3, 7, 9, 4];
      const bits = Float64Array.from(numbers(size(shape), 5), (x) => (dtype === 'bool' ? Number(x > -0.3) : x));
      if (shape[0] === L) bits.fill(dtype === 'bool' ? 0 : Number.NEGATIVE_INFINITY, 2 * S, 3 * S);
      const at = (h: number, i: number, j: number) =>
        bits[
          [Math.floor(h / H), h % H, i, j]
            .slice(-shape.length)
            .reduce((sum, n, d) => sum * shape[d] + (n % shape[d]), 0)
        ];
      const look =
        dtype === 'bool' ? { visible: (h: number, i: number, j: number) => at(h, i, j) === 1 } : { bias: at };
      const shapes = [L, S, S].map((n) => [N, H, n, D]);
      const attnMask = tensor(Float32Array.from(bits), { shape, dtype });
      await checkOperation(what, {
        shapes,
        values: shapes.map((s, i) => numbers(size(s), i + 1)),
        run: (q, k, v) => attention(q, k, v, { attnMask }),
        reference: (...x) => reference(x, [N * H, L, S, D, D], look),
      });
    }
    const shapes = [
      [4, 3],
      [5, 3],
      [5, 3],
      [4, 5],
    ];
    await checkOperation('the gradient of a mask', {
      shapes,
      values: shapes.map((s, i) => numbers(size(s), i + 1)),
      run: (q, k, v, attnMask) => attention(q, k, v, { attnMask, isCausal: true }),
      reference: (q, k, v, m) =>
        reference([q, k, v], [1, 4, 5, 3, 3], { bias: (_, i, j) => (j <= i ? m[i * 5 + j] : -Infinity) }),
    });
  }));

test('layouts: heads between rows and columns are read and written in place; groups of heads; leading dimensions', () =>
  onBothTargets(async () => {
    const [N, L, S, H, D] = [2, 6, 10, 4, 4];
    for (const heads of [4, 2, 1]) {
      const shapes = [
        [N, L, H, D],
        [N, S, heads, D],
        [N, S, heads, D],
      ];
      const headFirst = (x: Float64Array, n: number, h: number) =>
        Float64Array.from({ length: N * H * n * D }, (_, i) => {
          const [d, row, head, b] = [
            i % D,
            Math.floor(i / D) % n,
            Math.floor(i / (D * n)) % H,
            Math.floor(i / (D * n * H)),
          ];
          return x[((b * n + row) * h + Math.floor((head * h) / H)) * D + d];
        });
      await checkOperation(`${heads} heads`, {
        shapes,
        values: shapes.map((s, i) => numbers(size(s), i + 1)),
        run: (...x) => {
          const y = attention(...(x.map((t) => t.transpose(1, 2)) as [Tensor, Tensor, Tensor]), {
            enableGqa: heads < H,
          });
          assert.is(y.transpose(1, 2).isContiguous, true);
          return y;
        },
        reference: (q, k, v) =>
          reference([headFirst(q, L, H), headFirst(k, S, heads), headFirst(v, S, heads)], [N * H, L, S, D, D], {}),
      });
    }
  }));

test('leading dimensions broadcast; views with steps and offsets; many dimensions', async () => {
  const values = (shape: Shape, seed: number) => tensor(Float32Array.from(numbers(size(shape), seed)), { shape });
  const [q, k, v] = [values([2, 1, 5, 4], 1), values([1, 3, 6, 4], 2), values([3, 6, 4], 3)];
  const wide = attention(q, k, v);
  assert.equal(wide.shape, [2, 3, 5, 4]);
  const one = attention(q.select(0, 1).select(0, 0), k.select(0, 0).select(0, 2), v.select(0, 2));
  assert.equal([...(await one.data())], [...(await wide.select(0, 1).select(0, 2).data())]);
  const spread = values([5, 9], 4);
  const odd = attention(
    spread.slice([null, { start: 1, step: 2 }]),
    k.select(0, 0).select(0, 0).flip(),
    v.select(0, 0),
  );
  const plain = attention(
    spread.slice([null, { start: 1, step: 2 }]).clone(),
    k.select(0, 0).select(0, 0).flip().clone(),
    v.select(0, 0).clone(),
  );
  assert.equal([...(await odd.data())], [...(await plain.data())]);
  const deep = [1, 2, 3].map((seed) => values([2, 2, 2, 2, 2, 3, 4], seed).permute([4, 1, 3, 0, 2, 5, 6]));
  const flat = deep.map((x) => x.reshape([32, 3, 4]));
  assert.equal(
    [...(await attention(deep[0], deep[1], deep[2]).data())],
    [...(await attention(flat[0], flat[1], flat[2]).data())],
  );
});

test('few queries and many keys, dropout, wide rows: by the definition, the same numbers', async () => {
  for (const [L, S, D] of [
    [3, 70, 4],
    [2, 3, 260],
  ]) {
    const shapes = [
      [1, L, D],
      [1, S, D],
      [1, S, D],
    ];
    await checkOperation(`[${L}, ${S}, ${D}]`, {
      shapes,
      values: shapes.map((s, i) => numbers(size(s), i + 1)),
      run: (q, k, v) => attention(q, k, v),
      reference: (...x) => reference(x, [1, L, S, D, D], {}),
    });
  }
  const q = ones([40, 2]);
  const y = [...(await attention(q, q, q, { dropoutP: 0.5 }).data())];
  const mean = y.reduce((sum, x) => sum + x / y.length, 0);
  assert.ok(new Set(y).size > 5 && Math.abs(mean - 1) < 0.2, `${mean}`);
});

test('dropout of long sequences: the same weights are dropped for value and gradients', () =>
  onBothTargets(async () => {
    const [L, S, D] = [32, 33, 4];
    const options = { dropoutP: 0.3, isCausal: true };
    // Equal weights of a row and the unit matrix as values show what was drawn.
    manualSeed(5);
    const shown = await attention(zeros([L, D]), zeros([S, D]), eye(S), { dropoutP: 0.3 }).data();
    const chance = Float64Array.from(shown, (y) => (y === 0 ? 0 : 1 / 0.7));
    close(
      shown,
      chance.map((c) => c / S),
      1e-6,
      'kept',
    );
    const dropped = chance.filter((c) => c === 0).length / chance.length;
    assert.ok(Math.abs(dropped - 0.3) < 0.05, `${dropped} dropped`);
    const shapes = [
      [L, D],
      [S, D],
      [S, D],
    ];
    await checkOperation('dropout', {
      shapes,
      values: shapes.map((s, i) => numbers(size(s), i + 1)),
      run: (q, k, v) => {
        manualSeed(5);
        return attention(q, k, v, options);
      },
      reference: (...x) => reference(x, [1, L, S, D, D], { visible: (_, i, j) => j <= i, chance }),
    });
  }));

test('large scores do not overflow; NaN and infinities are not hidden; nothing to see', async () => {
  const q = tensor([
    [1e4, 0],
    [-1e4, 0],
  ]);
  const k = tensor([
    [1e4, 0],
    [-1e4, 0],
    [1e4, 0],
  ]);
  const v = tensor([[1], [2], [3]]);
  assert.equal([...(await attention(q, k, v).data())], [2, 2]);
  const bad = await attention(
    tensor([
      [Number.NaN, 0],
      [1, 1],
    ]),
    k,
    v,
  ).data();
  assert.ok(Number.isNaN(bad[0]) && bad[1] === 2, String(bad));
  assert.ok(
    Number.isNaN(
      (
        await attention(
          q,
          tensor([
            [Infinity, 0],
            [0, 0],
            [0, 0],
          ]),
          v,
        ).data()
      )[0],
    ),
  );
  assert.equal([...(await attention(q, zeros([0, 2]), zeros([0, 1])).data())], [0, 0]);
  assert.equal(attention(zeros([3, 0, 2]), zeros([3, 5, 2]), zeros([3, 5, 4])).shape, [3, 0, 4]);
});

test('second derivatives and forward mode', async () => {
  const inputs = [
    [3, 4],
    [5, 4],
    [5, 2],
  ].map((shape, i) => tensor(Float32Array.from(numbers(size(shape), i + 1)), { shape, requiresGrad: true }));
  const run = (q: Tensor, k: Tensor, v: Tensor) => attention(q, k, v, { isCausal: true });
  const ups = inputs.map((x, i) => tensor(Float32Array.from(numbers(x.size, i + 7)), { shape: x.shape }));
  const { value, tangent } = jvp(run, inputs, ups);
  const step = 1e-2;
  const moved = [step, -step].map((h) =>
    run(...(inputs.map((x, i) => x.detach().add(ups[i].mul(h))) as [Tensor, Tensor, Tensor])),
  );
  close(
    await tangent.data(),
    await moved[0]
      .sub(moved[1])
      .div(2 * step)
      .data(),
    1e-3,
    'tangent',
  );
  close(await value.data(), await run(...(inputs as [Tensor, Tensor, Tensor])).data(), 1e-6);
  const up = tensor(Float32Array.from(numbers(6, 11)), { shape: [3, 2] });
  const steepness = (...x: Tensor[]) => grad(attention(x[0], x[1], x[2]), x, { gradient: up, createGraph: true });
  const first = (...x: Tensor[]) => steepness(...x).reduce<Tensor>((sum, g) => sum.add(g!.square().sum()), zeros([]));
  backward(first(...inputs));
  const along = await Promise.all(inputs.map(async (x, i) => await x.grad!.mul(ups[i]).sum().item()));
  const at = (h: number) => first(...inputs.map((x, i) => x.detach().add(ups[i].mul(h)).requiresGrad_()));
  const numeric = (await at(step).sub(at(-step)).item()) / (2 * step);
  close([along.reduce((a, b) => a + b)], [numeric], 2e-3, 'second derivative');
});

test('attention of 1,024 keys takes no more memory than its rows', async () => {
  const [L, D] = [1024, 4];
  const x = ones([1, L, D]).requiresGrad_();
  const before = await settled();
  const y = attention(x, x, x, { isCausal: true });
  backward(y, { gradient: y.detach() });
  await device().sync();
  const rows = 4 * L * D;
  assert.ok(device().stats().peakBytes - before <= 24 * rows, `${device().stats().peakBytes - before} bytes`);
});

test('compiled steps give the same bits, in fewer launches of their own', async () => {
  const x = tensor(Float32Array.from(numbers(2 * 33 * 4, 1)), { shape: [2, 33, 4] });
  const mask = tensor(
    Float32Array.from(numbers(33 * 33, 2), (v) => Number(v > 0)),
    { shape: [33, 33], dtype: 'bool' },
  );
  const step = (a: Tensor) => {
    const leaf = a.mul(1).detach().requiresGrad_();
    const y = attention(leaf, leaf, leaf, { attnMask: mask });
    backward(y, { gradient: a });
    return [y.detach(), leaf.grad!];
  };
  const [y, g] = step(x);
  const compiled = compile(step);
  for (let i = 0; i < 3; i++) {
    const [z, h] = compiled(x);
    assert.equal([...(await z.data())], [...(await y.data())]);
    assert.equal([...(await h.data())], [...(await g.data())]);
  }
});

test('what does not fit is refused', () => {
  const x = zeros([2, 3, 4]);
  assert.throws(() => attention(x, zeros([2, 3, 5]), x), /scaledDotProductAttention.*4 and 5 features.*\[2, 3, 5\]/);
  assert.throws(() => attention(x, x, zeros([2, 4, 4])), /3 keys and 4 values/);
  assert.throws(
    () => attention(x, x, x, { attnMask: zeros([2, 3]) }),
    /attnMask.*\[2, 3\].*\[\.\.\., L, S\]|cannot be broadcast/,
  );
  assert.throws(() => attention(x, x, x, { attnMask: zeros([3, 3], { dtype: 'int32' }) }), /attnMask is int32/);
  assert.throws(() => attention(x, x, x, { dropoutP: 2 }), /dropoutP is 2/);
  assert.throws(() => attention(x, x, x, { causal: true } as never), /no option 'causal'.*isCausal/);
  assert.throws(() => attention(zeros([4]), x, x), /fewer than two dimensions/);
  assert.throws(() => attention(zeros([6, 3, 4]), zeros([4, 3, 4]), zeros([4, 3, 4]), { enableGqa: true }), /heads/);
  assert.throws(() => attention(x.to('int32'), x, x), /query is int32/);
});

test.run();
