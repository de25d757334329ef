// Indexing with tensors, masks, slices and new axes against coordinates on the host; positions out of range.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { compile } from '../../src/autograd/compile';
import { index, indexFill, indexPut, put, take, takeAlongDim } from '../../src/ops/indexing';
import * as masks from '../../src/ops/mask';
import { nonzero } from '../../src/ops/nonzero';
import { sum } from '../../src/ops/reduce';
import { transpose } from '../../src/ops/views';
import { where } from '../../src/ops/where';
import { arange, tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';
import { count, ints, type Move, moves, placesIn } from './moves';

useGpu();

const shape = [3, 4, 2];
const at = (...coordinates: number[][]) => placesIn(shape, coordinates);
const rows = () => ints([2, 0, -1]);

const cases: Move[] = [
  ['rows', shape, (x) => index(x, [rows()]), [3, 4, 2], [...count(8).map((i) => 16 + i), ...count(8), ...count(8).map((i) => 16 + i)]],
  ['pairs', shape, (x) => index(x, [ints([0, 2]), ints([1, -1])]), [2, 2], at([0, 1, 0], [0, 1, 1], [2, 3, 0], [2, 3, 1])],
  ['broadcast pairs', shape, (x) => index(x, [ints([0, 2], [2, 1]), ints([1, 3])]), [2, 2, 2], at([0, 1, 0], [0, 1, 1], [0, 3, 0], [0, 3, 1], [2, 1, 0], [2, 1, 1], [2, 3, 0], [2, 3, 1])],
  ['last dimension', [2, 3], (x) => index(x, ['...', ints([2, 0], [1, 2])]), [2, 1, 2], [2, 0, 5, 3]],
  ['apart: in front', shape, (x) => index(x, [ints([0, 1]), ':', ints([1, 0])]), [2, 4], at([0, 0, 1], [0, 1, 1], [0, 2, 1], [0, 3, 1], [1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 3, 0])],
  ['an integer is no tensor', shape, (x) => index(x, [0, ':', ints([1])]), [4, 1], at([0, 0, 1], [0, 1, 1], [0, 2, 1], [0, 3, 1])],
  ['new axes', shape, (x) => index(x, [null, ints([1]), null, 2, 0]), [1, 1, 1], at([1, 2, 0])],
  ['slices', [4, 5], (x) => index(x, ['1:-1', '-1::-2']), [2, 3], [9, 7, 5, 14, 12, 10]],
  ['ranges', [4, 5], (x) => index(x, [{ start: 3 }, null, { step: 2 }]), [1, 1, 3], [15, 17, 19]],
  ['one position', [3, 2], (x) => index(x, [ints([1], [])]), [2], [2, 3]],
  ['no positions', [3, 2], (x) => index(x, [ints([])]), [0, 2], []],
  ['a strided view', [2, 3], (x) => index(transpose(x), [ints([2, 0])]), [2, 2], [2, 5, 0, 3]],
  ['many positions', [5, 3], (x) => index(x, [ints(count(90).map((i) => (i * 7) % 5))]), [90, 3], count(90).flatMap((i) => count(3).map((c) => 3 * ((i * 7) % 5) + c))],
  ['take', [2, 3], (x) => take(x, ints([5, -6, 1, 1], [2, 2])), [2, 2], [5, 0, 1, 1]],
  ['takeAlongDim', [2, 3], (x) => takeAlongDim(x, ints([2, -3], [1, 2]), { dim: 1 }), [2, 2], [2, 0, 5, 3]],
  ['takeAlongDim of one line', [1, 3], (x) => takeAlongDim(x, ints([2, 0], [2, 1]), { dim: 1 }), [2, 1], [2, 0]],
  ['takeAlongDim flattened', [2, 3], (x) => takeAlongDim(x, ints([4])), [1], [4]],
  ['indexPut of zeros', [2, 3], (x) => indexPut(x, [ints([1]), ints([-1])], 0), [2, 3], [0, 1, 2, 3, 4, -1]],
  ['indexFill', [2, 3], (x) => indexFill(x, 1, ints([-1, 0]), 0), [2, 3], [-1, 1, -1, -1, 4, -1]],
  ['maskedFill', [2, 3], (x) => masks.maskedFill(x, tensor([false, true, false]), 0), [2, 3], [0, -1, 2, 3, -1, 5]],
]; // biome-ignore format: a case a line

test('what is taken, and where its gradients go', async () => {
  for (const move of cases) await moves(move);
});

test('indexPut replaces, the last value staying, or adds', async () => {
  const x = zeros([2, 3]);
  const [i, j] = [ints([0, 1, 0]), ints([2, 0, 2])];
  assert.equal([...(await indexPut(x, [i, j], tensor([5, 6, 7])).data())], [0, 0, 7, 6, 0, 0]);
  assert.equal([...(await indexPut(x, [i, j], tensor([5, 6, 7]), { accumulate: true }).data())], [0, 0, 12, 6, 0, 0]);
  assert.equal([...(await indexPut(x, [':', ints([1])], tensor([[3], [4]])).data())], [0, 3, 0, 0, 4, 0]);
  assert.equal([...(await indexPut(x, ['1:', ints([0, 2])], 8).data())], [0, 0, 0, 8, 0, 8]);
  assert.equal([...(await indexPut(x, [1, '::2'], 9).data())], [0, 0, 0, 9, 0, 9]);
  assert.equal([...(await indexPut(ints([1, 2]), [ints([1])], ints([7])).data())], [1, 7]);
  assert.equal([...(await put(x, ints([-1, 0]), tensor([1, 2])).data())], [2, 0, 0, 0, 0, 1]);
  const target = zeros([3]);
  assert.is(target.indexPut_([ints([1])], 4), target);
  assert.equal([...(await target.data())], [0, 4, 0]);
  const sources = (flat: number[]) => (a: Float64Array, b: Float64Array) => {
    const y = a.slice();
    flat.forEach((k, n) => (y[k] = b[n]));
    return y;
  };
  await checkOperation('indexPut', {
    shapes: [[2, 3], [2]],
    values: [numbers(6, 1), numbers(2, 2)],
    run: (a, b) => indexPut(a, [ints([0, 1]), ints([2, 0])], b),
    reference: sources([2, 3]),
  });
  await checkOperation('indexPut into a slice', {
    shapes: [[2, 3], [2]],
    values: [numbers(6, 1), numbers(2, 2)],
    run: (a, b) => indexPut(a, [1, ints([2, 0])], b),
    reference: sources([5, 3]),
  });
  await checkOperation('put, added', {
    shapes: [[2, 3], [3]],
    values: [numbers(6, 1), numbers(3, 2)],
    run: (a, b) => put(a, ints([4, 4, 0]), b, { accumulate: true }),
    reference: (a, b) => Float64Array.from(a, (v, k) => v + (k === 4 ? b[0] + b[1] : k === 0 ? b[2] : 0)),
  });
});

test('masks wait for the GPU', async () => {
  const x = arange(6).reshape([2, 3]);
  const mask = tensor([
    [true, false, true],
    [false, false, true],
  ]);
  const list = async (y: Promise<Tensor>) => [...(await (await y).data())];
  assert.equal(await list(x.maskedIndex([mask])), [0, 2, 5]);
  assert.equal(await list(x.maskedIndex([':', tensor([true, false, true])])), [0, 2, 3, 5]);
  assert.equal(await list(x.maskedIndex([tensor([false, true]), ints([0, 2])])), [3, 5]);
  assert.equal(await list(masks.maskedIndexPut(x, [mask], ints([7, 8, 9]))), [7, 1, 8, 3, 4, 9]);
  assert.equal(await list(x.maskedSelect(mask)), [0, 2, 5]);
  assert.equal(await list(x.maskedSelect(tensor([true, false, false]))), [0, 3]);
  assert.equal((await x.maskedSelect(tensor([false]))).shape, [0]);
  assert.equal(await nonzero(mask).then((y) => y.toArray()), [
    [0, 0],
    [0, 2],
    [1, 2],
  ]);
  assert.equal((await nonzero(tensor(3))).shape, [1, 0]);
  assert.equal((await nonzero(zeros([0, 2]))).shape, [0, 2]);
  assert.equal(await Promise.all((await where(mask)).map((y) => y.data().then((d) => [...d]))), [
    [0, 0, 1],
    [0, 2, 2],
  ]);
  assert.equal(
    [
      ...(await masks
        .countNonzero(
          tensor([
            [1, 0],
            [Number.NaN, -0],
          ]),
          1,
        )
        .data()),
    ],
    [1, 1],
  );
  const leaf = tensor([1, 2, 3], { requiresGrad: true });
  sum((await leaf.maskedSelect(tensor([true, false, true]))).mul(2)).backward();
  assert.equal([...(await leaf.grad!.data())], [2, 0, 2]);
});

test('maskedFill and maskedScatter', async () => {
  const mask = tensor([true, false, true]);
  const filled = async (x: Tensor, value: number) => [...(await masks.maskedFill(x, mask, value).data())];
  assert.equal(await filled(tensor([1, 2, 3]), Number.NEGATIVE_INFINITY), [
    Number.NEGATIVE_INFINITY,
    2,
    Number.NEGATIVE_INFINITY,
  ]);
  assert.equal(await filled(ints([1, 2, 3]), 2.5), [2, 2, 2]);
  assert.equal(await filled(tensor([true, true, false]), 0), [0, 1, 0]);
  assert.equal([...(await filled(tensor([Number.NaN, Number.NaN, 1]), 0))], [0, Number.NaN, 0]);
  assert.equal(masks.maskedFill(tensor([1]), mask, 0).shape, [3]);
  await checkOperation('maskedScatter', {
    shapes: [[2, 3], [5]],
    values: [numbers(6, 1), numbers(5, 2)],
    run: (x, source) => masks.maskedScatter(x, mask, source),
    reference: (x, s) => [s[0], x[1], s[1], s[2], x[4], s[3]],
  });
  await checkOperation('a value without dimensions', {
    shapes: [[2, 3], []],
    values: [numbers(6, 1), [0.5]],
    run: (x, value) => masks.maskedFill(x, mask, value),
    reference: (x, v) => [v[0], x[1], v[0], v[0], x[4], v[0]],
  });
});

test('positions out of range are told at the next read, each with its dimension', async () => {
  const told = async (y: Tensor, message: RegExp) => {
    assert.match(String(await y.data().catch((e: Error) => e)), message);
    return [...(await y.data())];
  };
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const none = Number.NaN;
  assert.equal(await told(index(x, [ints([1, 0]), ints([0, 3])]), /index: 3 is out of range, .*0 … 2/), [4, none]);
  assert.equal(await told(index(x, [ints([-3, -1]), ints([0, 0])]), /index: -3 is out of range, .*0 … 1/), [none, 4]);
  assert.equal(await told(take(x, ints([6, 5])), /take: 6 .*0 … 5/), [none, 6]);
  assert.ok((await told(indexPut(x, [ints([2])], 0), /indexPut: 2 .*0 … 1/)).every(Number.isNaN));
  assert.equal(await told(take(x, tensor(Uint32Array.of(4294967295))), /take: -1/), [none]);
  const few = masks.maskedScatter(zeros([3]), tensor([true, true, true]), tensor([1, 2]));
  assert.equal(await told(few, /maskedScatter: 2 .*0 … 1/), [1, 2, none]);
});

test('a compiled step indexes as an eager one', async () => {
  const step = compile((x: Tensor, i: Tensor) =>
    indexPut(index(x, [i, ':', i]), [i], index(x, [0, i]), { accumulate: true }),
  );
  const x = tensor(Float32Array.from(numbers(12, 1)), { shape: [3, 2, 2] });
  for (const at of [ints([0, 1]), ints([1, 1])]) {
    const want = indexPut(index(x, [at, ':', at]), [at], index(x, [0, at]), { accumulate: true });
    assert.equal([...(await step(x, at).data())], [...(await want.data())]);
  }
});

test('wrong calls', () => {
  const x = zeros([2, 3]);
  assert.throws(() => index(x, [tensor([true, false])]), /index: a mask.*\[2, 3\].*maskedIndex/);
  assert.throws(() => index(x, [tensor([0.5])]), /index must be int32.*cast/);
  assert.throws(() => index(x, [0, 0, 0]), /3 indices for 2 dimensions/);
  assert.throws(() => index(x, ['1..2']), /an index is '1\.\.2'.*Slices/);
  assert.throws(() => index(x, ['...', '...']), /'...' stands twice/);
  assert.throws(() => index(x, [ints([0, 1]), ints([0, 1, 2])]), /index: shapes \[2\] and \[3\]/);
  assert.throws(
    () => indexPut(x, [ints([0])], tensor([1, 2])),
    /indexPut: the value does not broadcast to \[1, 3\].*\[2\]/,
  );
  assert.throws(() => indexPut(x, [ints([0])], ints([1])), /input is float32, the value int32/);
  assert.throws(() => put(x, ints([0]), tensor([1, 2])), /as many elements/);
  assert.throws(() => masks.maskedFill(x, ints([1, 0, 1]), 0), /the mask is int32/);
  assert.throws(() => masks.maskedFill(x, tensor([true]), tensor([1, 2])), /the value has dimensions/);
});

test.run();
