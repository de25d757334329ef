// Recurrent layers and convolutions of volumes of halves: kernels read and write them as they lie and sum in float32; results are near those of float32.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward, grad } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import * as nn from '../../src/nn';
import * as F from '../../src/nn/functional';
import '../../src/ops/methods';
import { mul, square } from '../../src/ops/elementwise';
import { type Cell, gatesOf, type Recurrence, recurrence } from '../../src/ops/recurrent';
import { sum } from '../../src/ops/reduce';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { launched, onBothTargets, useGpu } from '../util';
import { halfTest, rounded } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

type Float = 'float16' | 'float32';

/** Largest difference as a part of the largest number. */
async function distance(got: Tensor, want: Tensor): Promise<number> {
  const [a, b] = [await got.data(), await want.data()];
  const most = Math.max(...[...b].map(Math.abs));
  return Math.max(...[...a].map((x, i) => Math.abs(x - b[i]))) / most;
}

const [T, N, I, H, P] = [5, 3, 4, 6, 2];

/** The operands by name; `state` with an initial state, `projected` an LSTM's. */
function operands(cell: Cell, dtype: Float, state: boolean, projected: boolean): Omit<Recurrence, 'cell'> {
  const [gates, width] = [gatesOf[cell] * H, projected ? P : H];
  let seed = 0;
  const of = (...shape: number[]) =>
    tensor(
      rounded(size(shape), ++seed).map((x) => x / 2),
      { shape, dtype, requiresGrad: true },
    );
  return {
    x: of(T, N, I),
    ih: of(gates, I),
    hh: of(gates, width),
    biasIh: of(gates),
    biasHh: of(gates),
    ...(projected && { hr: of(P, H) }),
    ...(state && { h: of(N, width) }),
    ...(state && cell === 'lstm' && { c: of(N, H) }),
  };
}

function results(cell: Cell, dtype: Float, state: boolean, projected: boolean): Tensor[] {
  const given = operands(cell, dtype, state, projected);
  const { y, h, c } = recurrence({ cell, ...given, reverse: projected });
  const outputs = [y, h, ...(c ? [c] : [])];
  backward(outputs.map((t) => sum(square(t))).reduce((a, b) => a.add(b)));
  const all = [...outputs, ...Object.values(given).map((t) => (t as Tensor).grad!)];
  for (const t of all) assert.is(t.dtype, dtype);
  return all;
}

for (const [cell, state, projected] of [
  ['lstm', true, false],
  ['lstm', false, true],
  ['gru', true, false],
  ['tanh', false, false],
] as const)
  withHalf(`${cell}${state ? ', with a state' : ''}${projected ? ', projected, from the end' : ''}`, () =>
    onBothTargets(async () => {
      const narrow = results(cell, 'float16', state, projected);
      const wide = results(cell, 'float32', state, projected);
      for (const [i, t] of narrow.entries()) assert.ok((await distance(t, wide[i])) < 0.008, `number ${i}`);
    }),
  );

withHalf('a layer of halves converts nothing but c; its second derivatives and tangents are there', async () => {
  const given = operands('gru', 'float16', true, false);
  const names = launched(() => void recurrence({ cell: 'gru', ...given }));
  assert.not.ok(names.includes('copy'), names.join());
  const of = (dtype: Float) => {
    const o = operands('lstm', dtype, false, false);
    const loss = (x: Tensor) => sum(square(recurrence({ cell: 'lstm', ...o, x: x.to(dtype) }).y));
    const g = grad(loss(o.x), [o.x], { createGraph: true })[0]!;
    const gg = grad(sum(mul(g, o.x)), [o.x])[0]!;
    const x = tensor(rounded(T * N * I, 1), { shape: [T, N, I] });
    return [gg, jvp((t) => loss(t).to('float32'), [x], [x]).tangent];
  };
  const [narrow, wide] = [of('float16'), of('float32')];
  for (const i of [0, 1]) assert.ok((await distance(narrow[i], wide[i])) < 0.01, `number ${i}`);
});

withHalf('a module in float16 operands: bidirectional, two layers', async () => {
  const module = new nn.LSTM(I, H, { numLayers: 2, bidirectional: true });
  const x = tensor(rounded(T * N * I, 1), { shape: [T, N, I], dtype: 'float16' });
  assert.throws(() => module.forward(x), /some operands are float16, some float32/);
});

withHalf('a convolution of volumes reads halves', async () => {
  const of = (dtype: Float) => {
    const x = tensor(rounded(2 * 2 * 4 * 5 * 3, 1), { shape: [2, 2, 4, 5, 3], dtype, requiresGrad: true });
    const w = tensor(rounded(3 * 2 * 8, 2), { shape: [3, 2, 2, 2, 2], dtype, requiresGrad: true });
    const y = F.conv3d(x, w, null, { stride: [2, 1, 1], padding: 1 });
    backward(sum(square(y)));
    return [y, x.grad!, w.grad!];
  };
  const [narrow, wide] = [of('float16'), of('float32')];
  for (const [i, t] of narrow.entries()) {
    assert.is(t.dtype, 'float16');
    assert.ok((await distance(t, wide[i])) < 0.004, `number ${i}`);
  }
});

test.run();
