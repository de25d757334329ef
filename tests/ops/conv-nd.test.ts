// Convolutions of lines and volumes and their transposes against loops in float64, and gradients of both.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { conv1d, conv3d, convTranspose1d, convTranspose3d } from '../../src/ops/conv-nd';
import { zeros } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { checkOperation, numbers, useGpu } from '../util';

useGpu();

interface Case {
  x: number[];
  weight: number[];
  stride: number;
  padding: number;
  dilation: number;
  groups: number;
  outputPadding?: number;
}

/** Calls f with every index of a shape. */
function each(shape: readonly number[], f: (index: number[]) => void): void {
  for (let i = 0; i < size(shape); i++) {
    const index: number[] = [];
    for (let d = shape.length - 1, rest = i; d >= 0; d--) {
      index[d] = rest % shape[d];
      rest = Math.floor(rest / shape[d]);
    }
    f(index);
  }
}
const flat = (shape: readonly number[], index: readonly number[]) => index.reduce((sum, i, d) => sum * shape[d] + i, 0);

/** Where a position of the smaller side and a tap meet on the larger: null outside. */
function meeting(o: Case, at: readonly number[], tap: readonly number[], larger: readonly number[]): number[] | null {
  const place = at.map((p, d) => p * o.stride + tap[d] * o.dilation - o.padding);
  return place.every((p, d) => p >= 0 && p < larger[d]) ? place : null;
}

function outputShape({ x, weight, stride, padding, dilation, groups, outputPadding = 0 }: Case, transposed: boolean) {
  const span = (k: number) => dilation * (k - 1) + 1;
  const spatial = x.slice(2).map((n, d) => {
    const reach = span(weight[d + 2]);
    return transposed
      ? (n - 1) * stride - 2 * padding + reach + outputPadding
      : Math.floor((n + 2 * padding - reach) / stride) + 1;
  });
  return [x[0], transposed ? weight[1] * groups : weight[0], ...spatial];
}

const reference = (o: Case, transposed: boolean) => (x: Float64Array, w: Float64Array, bias: Float64Array) => {
  const out = outputShape(o, transposed);
  const pixels = size(out.slice(2));
  const y = Float64Array.from({ length: size(out) }, (_, i) => bias[Math.floor(i / pixels) % out[1]]);
  // Of a convolution: outputs in channels of the weight's first dimension; of its transpose the inputs.
  const [few, many] = transposed ? [o.x, out] : [out, o.x];
  const channels = few[1] / o.groups;
  each(few, ([n, c, ...at]) =>
    each(o.weight.slice(1), ([k, ...tap]) => {
      const place = meeting(o, at, tap, many.slice(2));
      if (!place) return;
      const large = flat(many, [n, Math.floor(c / channels) * o.weight[1] + k, ...place]);
      const small = flat(few, [n, c, ...at]);
      const product = w[flat(o.weight, [c, k, ...tap])];
      if (transposed) y[large] += product * x[small];
      else y[small] += product * x[large];
    }),
  );
  return y;
};

async function check(name: string, o: Case, transposed: boolean, run: (...t: Tensor[]) => Tensor): Promise<void> {
  const out = outputShape(o, transposed);
  const shapes = [o.x, o.weight, [out[1]]];
  const values = shapes.map((shape, i) => numbers(size(shape), 5 + i));
  await checkOperation(name, { shapes, values, run, reference: reference(o, transposed) });
}

const options = ({ stride, padding, dilation, groups }: Case) => ({ stride, padding, dilation, groups });

test('lines', async () => {
  const o = { x: [2, 4, 7], weight: [6, 2, 3], stride: 2, padding: 1, dilation: 2, groups: 2 };
  await check('conv1d', o, false, (x, w, b) => conv1d(x, w, b, options(o)));
  const t = { x: [2, 4, 3], weight: [4, 3, 3], stride: 2, padding: 1, dilation: 1, groups: 2, outputPadding: 1 };
  await check('convTranspose1d', t, true, (x, w, b) => convTranspose1d(x, w, b, { ...options(t), outputPadding: 1 }));
});

test('volumes', async () => {
  const o = { x: [1, 4, 4, 3, 5], weight: [2, 2, 2, 2, 2], stride: 2, padding: 1, dilation: 1, groups: 2 };
  await check('conv3d', o, false, (x, w, b) => conv3d(x, w, b, options(o)));
  const same = { x: [1, 1, 3, 3, 3], weight: [1, 1, 3, 3, 3], stride: 1, padding: 1, dilation: 1, groups: 1 };
  await check('same', same, false, (x, w, b) => conv3d(x, w, b, { padding: 'same' }));
  const t = {
    x: [1, 2, 2, 2, 2],
    weight: [2, 1, 3, 2, 2],
    stride: 2,
    padding: 1,
    dilation: 1,
    groups: 2,
    outputPadding: 1,
  };
  await check('convTranspose3d', t, true, (x, w, b) => convTranspose3d(x, w, b, { ...options(t), outputPadding: 1 }));
});

test('a single input without a batch; what is refused', () => {
  assert.equal(conv1d(zeros([2, 5]), zeros([3, 2, 2])).shape, [3, 4]);
  assert.equal(conv3d(zeros([2, 3, 3, 3]), zeros([1, 2, 2, 2, 2])).shape, [1, 2, 2, 2]);
  for (const [call, message] of [
    [() => conv1d(zeros([2]), zeros([3, 2, 2])), /conv1d: input and weight have three dimensions.*\[2\].*\[3, 2, 2\]/],
    [() => conv3d(zeros([1, 2, 3, 3, 3]), zeros([1, 2, 4, 1, 1])), /conv3d: a kernel that spans 4 planes does not fit/],
    [() => conv3d(zeros([1, 1, 3, 3, 3]), zeros([1, 1, 1, 1, 1]), null, { stride: [1, 2] }), /stride is \[1,2\].*3/s],
    [
      () => convTranspose3d(zeros([1, 1, 3, 3, 3]), zeros([1, 1, 1, 1, 1]), null, { outputPadding: 1 }),
      /outputPadding is too large/,
    ],
  ] as [() => Tensor, RegExp][])
    assert.throws(call, message);
});

test.run();
