// In-place methods: each gives what its operation gives, in the memory of its tensor; what cannot be written is refused before anything runs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device } from '../../src/gpu';
import { IN_PLACE, type InPlace } from '../../src/ops/in-place';
import '../../src/ops/methods';
import { noGrad } from '../../src/autograd/tape';
import { ones, tensor, zeros } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

const floats = (seed: number, shape: number[], low = 0.1, high = 0.9): Tensor =>
  tensor(
    Float32Array.from(
      numbers(
        shape.reduce((a, b) => a * b, 1),
        seed,
        low,
        high,
      ),
    ),
    { shape },
  );
const whole = (values: number[], shape = [values.length]): Tensor => tensor(Int32Array.from(values), { shape });

type Call = readonly [x: Tensor, ...rest: unknown[]];

/** How each is called that takes more than x, by groups of the same arguments. */
function calls(): Map<InPlace, Call> {
  const x = floats(1, [3, 3]);
  const y = floats(2, [3, 3]);
  const ints = whole([6, 4, 9, 12, 8, 3], [2, 3]);
  const rows = whole([2, 0]);
  const places = whole([2, 1, 0, 0, 1, 2, 1, 1, 1], [3, 3]);
  const groups: [string, Call][] = [
    [
      'add atan2 copysign div eq floatPower fmod ge gt heaviside hypot le lt mul ne pow remainder sub trueDivide',
      [x, y],
    ],
    ['xlogy logicalAnd logicalOr logicalXor', [x, y]],
    ['bitwiseAnd bitwiseLeftShift bitwiseOr bitwiseRightShift bitwiseXor gcd lcm', [ints, 2]],
    ['bitwiseNot', [ints]],
    ['ldexp', [x, ints.narrow(0, 0, 1)]],
    ['addcdiv addcmul', [x, y, floats(3, [3, 3])]],
    ['addmm', [x, y, floats(3, [3, 3])]],
    ['addbmm', [x, floats(3, [2, 3, 4]), floats(4, [2, 4, 3])]],
    ['baddbmm', [floats(5, [2, 3, 3]), floats(3, [2, 3, 4]), floats(4, [2, 4, 3])]],
    ['addmv', [floats(5, [3]), y, floats(4, [3])]],
    ['addr', [x, floats(5, [3]), floats(4, [3])]],
    ['clamp', [x, 0.3, 0.6]],
    ['cumprod cumsum', [x, 1]],
    ['lerp', [x, y, 0.3]],
    ['polygamma', [x, 1]],
    ['renorm', [x, 2, 0, 0.5]],
    ['tril triu', [x]],
    ['indexAdd indexCopy', [x, 0, rows, floats(4, [2, 3])]],
    ['indexReduce', [x, 0, rows, floats(4, [2, 3]), 'mean']],
    ['indexFill', [x, 1, rows, 7]],
    ['indexPut', [x, [rows], floats(6, [2, 3])]],
    ['put', [x, rows, floats(6, [2])]],
    ['maskedFill', [x, x.gt(0.5), -1]],
    ['maskedScatter', [x, x.gt(0.5), y]],
    ['scatter scatterAdd', [x, 0, places, y]],
    ['scatterReduce', [x, 0, places, y, 'amax']],
    ['acosh', [floats(2, [4], 1.5, 3)]],
  ];
  const found = new Map(
    groups.flatMap(([names, call]) => names.split(' ').map((name) => [name as InPlace, call] as const)),
  );
  return new Map(IN_PLACE.map((name) => [name, found.get(name) ?? ([x] as const)]));
}

type Methods = Record<string, (...rest: unknown[]) => Tensor>;

test('every in-place method gives what its operation gives, whole and in a view', async () => {
  for (const [name, [x, ...rest]] of calls()) {
    const of = (t: Tensor) => t as unknown as Methods;
    const want = await of(x)[name]!(...rest)
      .to(x.dtype)
      .data();
    const own = x.clone();
    assert.is(of(own)[`${name}_`]!(...rest), own, name);
    assert.equal([own.shape, own.dtype], [x.shape, x.dtype]);
    close(await own.data(), want, 0, name);
    const frame = zeros([...x.shape, 2], { dtype: x.dtype });
    const view = frame.select(-1, 1).assign_(x);
    of(view)[`${name}_`]!(...rest);
    close(await view.data(), want, 0, `${name} of a view`);
    close(await frame.select(-1, 0).data(), new Array(x.size).fill(0), 0, `${name}: what is beside the view`);
  }
});

test('comparisons and integers are written into floats; floats into integers, numbers into bool are refused', async () => {
  close(await tensor([1, 2, 3]).gt_(1.5).data(), [0, 1, 1]);
  close(
    await tensor([1, 2])
      .add_(whole([1, 2]))
      .data(),
    [2, 4],
  );
  assert.throws(
    () => whole([1, 2]).add_(tensor([0.5, 1])),
    /add_: the result is float32, the target int32.*Convert it/s,
  );
  assert.throws(() => tensor([true]).add_(whole([1])), /add_: the result is int32, the target bool/);
});

test('what is refused, is refused before anything runs', () => {
  const leaf = ones([2]).requiresGrad_();
  const { dispatches } = device().stats();
  assert.throws(() => leaf.relu_(), /relu_: the target requires a gradient/);
  assert.throws(() => leaf.mul(2).exp_(), /exp_: the target was computed from tensors with gradients/);
  assert.throws(() => ones([1]).expand([3]).neg_(), /neg_: elements of the target share memory/);
  assert.is(device().stats().dispatches, dispatches + 1, 'that of mul');
  assert.throws(() => ones([2]).add_(ones([3, 2])), /add_: the source does not broadcast to the target/);
  assert.is(
    noGrad(() => leaf.relu_()),
    leaf,
  );
});

test.run();
