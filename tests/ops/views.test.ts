// Views and rearrangements against index arithmetic on the host: values, gradients, what is a view and what a copy.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { mul } from '../../src/ops/elementwise';
import * as joins from '../../src/ops/join';
import { pad } from '../../src/ops/pad';
import { sum } from '../../src/ops/reduce';
import * as views from '../../src/ops/views';
import { arange, tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

/** For every element of the result: which element of the input it is, or −1 for none. */
type Positions = number[];

/** Checks an operation that only moves elements: its values, and that the gradient goes back where they came from. */
async function moves(
  what: string,
  shape: Shape,
  run: (x: Tensor) => Tensor,
  outShape: Shape,
  from: Positions,
  view: boolean | null,
): Promise<void> {
  const values = numbers(size(shape), what.length);
  const x = tensor(Float32Array.from(values), { shape, requiresGrad: true });
  const y = run(x);
  assert.equal(y.shape, outShape, what);
  close(
    await y.data(),
    from.map((i) => (i < 0 ? 0 : values[i])),
    0,
    what,
  );
  if (view !== null) assert.is(y.memory === x.memory, view, `${what}: shares memory`);
  const upstream = numbers(y.size, 3);
  backward(sum(mul(y, tensor(Float32Array.from(upstream), { shape: y.shape }))));
  const want = new Float64Array(x.size);
  from.forEach((i, k) => {
    if (i >= 0) want[i] += upstream[k];
  });
  close(await x.grad!.data(), want, 1e-6, `${what}: gradient`);
}

const count = (n: number) => Array.from({ length: n }, (_, i) => i);
const { reshape, permute, transpose, squeeze, unsqueeze, flatten, expand, tile, flip, slice, narrow, select } = views;

// Of x = [[0, 1, 2], [3, 4, 5]]: the result's elements by position.
const cases: [string, (x: Tensor) => Tensor, Shape, Positions, boolean | null][] = [
  ['reshape', (x) => reshape(x, [3, -1]), [3, 2], count(6), true],
  ['reshape of a transposed view', (x) => reshape(transpose(x), [2, 3]), [2, 3], [0, 3, 1, 4, 2, 5], false],
  ['reshape of a slice', (x) => reshape(slice(x, [null, { stop: 2 }]), [2, 1, 2]), [2, 1, 2], [0, 1, 3, 4], true],
  ['permute', (x) => permute(x, [-1, 0]), [3, 2], [0, 3, 1, 4, 2, 5], true],
  ['unsqueeze, squeeze', (x) => squeeze(unsqueeze(unsqueeze(x, 1), -1), 1), [2, 3, 1], count(6), true],
  ['flatten', (x) => flatten(unsqueeze(x, 0), 1), [1, 6], count(6), true],
  ['expand', (x) => expand(x, [2, -1, 3]), [2, 2, 3], [...count(6), ...count(6)], true],
  ['expand size 1', (x) => expand(narrow(x, 1, 1, 1), [2, 2]), [2, 2], [1, 1, 4, 4], true],
  [
    'tile',
    (x) => tile(x, [2, 1, 2]),
    [2, 2, 6],
    [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5],
    false,
  ],
  ['flip', (x) => flip(x), [2, 3], [5, 4, 3, 2, 1, 0], true],
  ['flip rows', (x) => flip(x, 0), [2, 3], [3, 4, 5, 0, 1, 2], true],
  ['slice with steps', (x) => slice(x, [{ start: -1 }, { step: 2 }]), [1, 2], [3, 5], true],
  ['slice backwards', (x) => slice(x, [null, { start: 2, stop: 0, step: -1 }]), [2, 2], [2, 1, 5, 4], true],
  ['slice drops dimensions', (x) => slice(x, [1, -1]), [], [5], true],
  ['slice of nothing', (x) => slice(x, [{ start: 2 }]), [0, 3], [], true],
  ['select', (x) => select(x, 1, -2), [2], [1, 4], true],
  [
    'pad',
    (x) =>
      pad(x, [
        [1, 0],
        [0, 2],
      ]),
    [3, 5],
    [-1, -1, -1, -1, -1, 0, 1, 2, -1, -1, 3, 4, 5, -1, -1],
    false,
  ],
  [
    'pad reflect',
    (x) =>
      pad(
        x,
        [
          [0, 1],
          [2, 1],
        ],
        { mode: 'reflect' },
      ),
    [3, 6],
    [2, 1, 0, 1, 2, 1, 5, 4, 3, 4, 5, 4, 2, 1, 0, 1, 2, 1],
    false,
  ],
  [
    'pad edge',
    (x) =>
      pad(
        x,
        [
          [0, 0],
          [2, 1],
        ],
        { mode: 'edge' },
      ),
    [2, 6],
    [0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5],
    false,
  ],
  [
    'pad symmetric',
    (x) =>
      pad(
        x,
        [
          [0, 0],
          [2, 1],
        ],
        { mode: 'symmetric' },
      ),
    [2, 6],
    [1, 0, 0, 1, 2, 2, 4, 3, 3, 4, 5, 5],
    false,
  ],
  [
    'pad wrap',
    (x) =>
      pad(
        x,
        [
          [0, 0],
          [2, 1],
        ],
        { mode: 'wrap' },
      ),
    [2, 6],
    [1, 2, 0, 1, 2, 0, 4, 5, 3, 4, 5, 3],
    false,
  ],
  ['concat', (x) => joins.concat([x, flip(x, 1)], -1), [2, 6], [0, 1, 2, 2, 1, 0, 3, 4, 5, 5, 4, 3], false],
  ['stack', (x) => joins.stack([x, flip(x, 1)], -1), [2, 3, 2], [0, 2, 1, 1, 2, 0, 3, 5, 4, 4, 5, 3], false],
  ['split and join', (x) => joins.concat(joins.split(x, [1, 2], 1).reverse(), 1), [2, 3], [1, 2, 0, 4, 5, 3], false],
  ['chunk and join', (x) => joins.concat(joins.chunk(x, 2, 1).reverse(), 1), [2, 3], [2, 0, 1, 5, 3, 4], false],
  ['clone', (x) => views.clone(x), [2, 3], count(6), false],
  ['contiguous', (x) => views.contiguous(transpose(x)), [3, 2], [0, 3, 1, 4, 2, 5], false],
];
test('values, gradients and sharing', async () => {
  for (const [what, run, shape, from, view] of cases) await moves(what, [2, 3], run, shape, from, view);
});

test('constant padding with a value, other types, empty parts', async () => {
  close(await pad(tensor([1, 2], { dtype: 'int32' }), [[1, 2]], { value: 7 }).data(), [7, 1, 2, 7, 7], 0);
  const mixed = joins.concat([tensor([true, false]), tensor([5], { dtype: 'int32' }), zeros([0], { dtype: 'int32' })]);
  assert.is(mixed.dtype, 'int32');
  close(await mixed.data(), [1, 0, 5], 0);
  assert.equal(
    joins.split(arange(5), 2).map((part) => part.shape[0]),
    [2, 2, 1],
  );
  assert.equal(
    joins.chunk(arange(7), 3).map((part) => part.shape[0]),
    [3, 3, 1],
  );
  assert.equal(joins.concat([zeros([0, 2]), zeros([0, 2])]).shape, [0, 2]);
});

test('strided views of strided views, eight dimensions', async () => {
  const shape = [2, 3, 1, 2, 2, 1, 3, 2];
  const x = reshape(arange(size(shape)), shape);
  const order = [7, 3, 0, 5, 6, 1, 2, 4];
  const y = permute(x, order);
  const back = permute(
    y,
    order.map((_, i) => order.indexOf(i)),
  );
  close(await views.clone(back).data(), count(size(shape)), 0);
  const part = slice(slice(y, [1, { step: -1 }, null, null, { start: 1 }]), [null, 0]);
  const copied = await views.clone(part).data();
  close(await part.data(), copied, 0, 'read back as it lies');
  assert.is(copied[0], 1 + 2 * (1 + 6 * 1 * 0) + 12 * 0 + 0 + 0 + 12);
});

test('more than 65,535 workgroups', async () => {
  const rows = 1_500_000;
  const x = reshape(arange(3 * rows), [3, rows]);
  const joined = await joins.concat([transpose(x), transpose(x)], 1).data();
  close(joined.slice(-6), [rows - 1, 2 * rows - 1, 3 * rows - 1, rows - 1, 2 * rows - 1, 3 * rows - 1], 0);
});

test('view shares memory, or is refused', async () => {
  const x = zeros([2, 6], { requiresGrad: true });
  const y = views.view(x, 3, -1);
  assert.equal([y.shape, y.memory === x.memory], [[3, 4], true]);
  assert.equal(views.view(views.narrow(x, 0, 1, 1), [2, 3]).shape, [2, 3]);
  backward(sum(mul(y, 2)));
  assert.equal([...(await x.grad!.data())], new Array(12).fill(2));
  const turned = views.transpose(x, 0, 1);
  assert.throws(() => views.view(turned, [12]), /view: .*\[6, 2\].*\[12\].*reshape/s);
  assert.throws(
    () => (views.view as (...all: unknown[]) => Tensor)(x, [3, 2], [1, 3]),
    /view: a shape is needed, and nothing besides/,
  );
  assert.throws(() => views.view(x, 5), /view: 12 elements do not fill/);
});

test('refuses what does not fit', () => {
  const x = zeros([2, 3]);
  for (const [wrong, message] of [
    [() => reshape(x, [4, -1]), /reshape: 6 elements do not fill/],
    [() => permute(x, [0, 0]), /permute/],
    [() => squeeze(x, 0), /squeeze: dimension 0 has size 2/],
    [() => expand(x, [2, 6]), /expand/],
    [() => slice(x, [null, null, 1]), /slice: 3 indices for 2 dimensions/],
    [() => slice(x, [2]), /slice: position 2 of dimension 0/],
    [() => slice(x, [{ step: 0 }]), /slice: a step of 0/],
    [() => narrow(x, 1, 2, 2), /narrow/],
    [() => joins.concat([x, zeros([3, 2])]), /concat: .*\[2, 3\].*\[3, 2\]/],
    [() => joins.concat([]), /concat: .*empty/],
    [() => joins.stack([x, zeros([3, 2])]), /stack: .*\[2, 3\].*\[3, 2\]/],
    [() => joins.split(x, [1, 1], 1), /split: parts of \[1, 1\] are 2 elements/],
    [() => pad(x, [[1, 1]]), /pad/],
    [
      () =>
        pad(
          x,
          [
            [2, 0],
            [0, 0],
          ],
          { mode: 'reflect' },
        ),
      /pad: mode 'reflect'.*at most 1/is,
    ],
    [() => tile(x, [-1]), /tile/],
  ] as [() => unknown, RegExp][])
    assert.throws(wrong, message);
});

test.run();
