// Products of int32, modulo 2³² as in PyTorch on CPUs, against BigInt; and the types that products refuse.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, InputError, linalg, type Tensor, tensor } from '../../src/index';
import { useGpu } from '../util';

useGpu();

const wrap = (x: bigint) => Number(BigInt.asIntN(32, x));
const ints = (shape: number[], seed: number, dtype: 'int32' | 'uint32' | 'bool' | 'float32' = 'int32') =>
  tensor(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i, seed, dtype)),
    { shape, dtype },
  );
const value = (i: number, seed: number, dtype: string) =>
  dtype === 'int32' ? (Math.imul(i + seed, 0x9e3779b1) ^ (seed << 20)) | 0 : (i * seed) % 2;

/** [m, k]·[k, n] of nested arrays. */
const times = (a: number[][], b: number[][]) =>
  a.map((row) => (b[0] ?? []).map((_, j) => wrap(row.reduce((s, x, k) => s + BigInt(x) * BigInt(b[k][j]), 0n))));
const flat = async (x: Tensor) => [...(await x.data())];
const rows = async (x: Tensor) => (await x.toArray()) as number[][];

test('products of int32 wrap, of any layout', async () => {
  const a = ints([5, 7], 1);
  const b = ints([7, 3], 2);
  const want = times(await rows(a), await rows(b));
  assert.is(a.matmul(b).dtype, 'int32');
  assert.equal(await rows(a.matmul(b)), want);
  assert.equal(
    await rows(ints([7, 5], 3).transpose().matmul(b)),
    times(await rows(ints([7, 5], 3).transpose()), await rows(b)),
  );
  assert.equal(await rows(F.linear(a, b.transpose())), want);
  const bias = ints([3], 5);
  const biased = want.map((row, _) => row.map((x, j) => wrap(BigInt(x) + BigInt(value(j, 5, 'int32')))));
  assert.equal(await rows(F.linear(a, b.transpose(), bias)), biased);
  assert.equal(await rows(F.einsum('ij,jk->ik', a, b)), want);
  assert.equal(await rows(F.addmm(bias, a, b)), biased);
  assert.equal(await rows(linalg.multiDot([a, b])), want);
  assert.equal(
    await flat(a.select(0, 0).dot(a.select(0, 1))),
    times(
      [(await rows(a))[0]],
      (await rows(a))[1].map((x) => [x]),
    ).flat(),
  );
  const batch = ints([4, 1, 5, 7], 6).slice([null, null, { step: 2 }, { step: -1 }]);
  const y = batch.matmul(ints([2, 7, 3], 7));
  assert.equal(y.shape, [4, 2, 3, 3]);
  assert.equal(
    await rows(y.select(0, 2).select(0, 1)),
    times(await rows(batch.select(0, 2).select(0, 0)), await rows(ints([2, 7, 3], 7).select(0, 1))),
  );
  assert.equal(
    await rows(linalg.matrixPower(ints([3, 3], 8), 3)),
    times(times(await rows(ints([3, 3], 8)), await rows(ints([3, 3], 8))), await rows(ints([3, 3], 8))),
  );
});

test('empty products of integers are zeros, and none has a gradient', async () => {
  assert.equal(await rows(ints([2, 0], 1).matmul(ints([0, 3], 1))), [
    [0, 0, 0],
    [0, 0, 0],
  ]);
  assert.equal(ints([0, 2], 1).matmul(ints([2, 3], 1)).shape, [0, 3]);
  assert.is(ints([2, 2], 1).matmul(ints([2, 2], 1)).requiresGrad, false);
});

test('products promote nothing, but those without a sum do', async () => {
  const [i, f, b, u] = (['int32', 'float32', 'bool', 'uint32'] as const).map((dtype) => ints([2, 2], 3, dtype));
  const calls: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
    matmul: (x, y) => x.matmul(y),
    linear: (x, y) => F.linear(x, y),
    dot: (x, y) => x.select(0, 0).dot(y.select(0, 0)),
    einsum: (x, y) => F.einsum('ij,jk->ik', x, y),
    tensordot: (x, y) => F.tensordot(x, y),
    inner: (x, y) => x.inner(y),
    addmm: (x, y) => F.addmm(x, x, y),
  };
  const pairs: [Tensor, Tensor, RegExp][] = [
    [i, f, /differ in type: .* is int32, .* is float32/],
    [i, b, /differ in type/],
    [b, b, /not defined for bool/],
    [u, u, /not defined for uint32/],
  ];
  for (const [name, call] of Object.entries(calls))
    for (const [x, y, told] of pairs)
      assert.throws(
        () => call(x, y),
        (e: Error) => e instanceof InputError && e.message.startsWith(`${name}: `) && told.test(e.message),
        `${name} of ${x.dtype} and ${y.dtype}`,
      );
  assert.throws(() => F.addmm(i, i, i, { alpha: 0.5 }), /addmm: .*alpha 0.5.*whole numbers/);
  assert.is(F.einsum('ij,kl->ijkl', i, f).dtype, 'float32');
  const whole = value(1, 3, 'int32');
  assert.equal(await flat(F.outer(i.select(0, 0), b.select(0, 0))), [0, value(0, 3, 'int32'), 0, whole]);
});

test.run();
