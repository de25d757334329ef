// Norms over rows, softmax and cross-entropy of halves: their kernels read and write them as they lie. Results are those of float32, rounded once;
// no launch converts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backward } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import * as F from '../../src/nn/functional';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { launched, onBothTargets, useGpu } from '../util';
import { halfTest, round, rounded } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

type Float = 'float16' | 'float32';
const read = async (x: Tensor) => [...(await x.data())];

/** Each with its operands' shapes: all of one type. */
const operations: Record<string, [shapes: number[][], f: (x: Tensor, w: Tensor, b: Tensor) => Tensor]> = {
  'layer norm': [[[3, 8], [8], [8]], (x, weight, bias) => F.layerNorm(x, [8], { weight, bias })],
  'layer norm of an odd length': [[[3, 7], [7], [7]], (x, weight, bias) => F.layerNorm(x, 7, { weight, bias })],
  'layer norm of a long row': [[[2, 4099], [1], [1]], (x) => F.layerNorm(x, 4099)],
  'group norm': [[[2, 6, 3], [6], [6]], (x, weight, bias) => F.groupNorm(x, 3, { weight, bias })],
  'group norm of long rows': [[[1, 2, 4099], [2], [2]], (x, weight, bias) => F.groupNorm(x, 2, { weight, bias })],
  'instance norm': [[[2, 3, 5], [3], [3]], (x, weight, bias) => F.instanceNorm(x, { weight, bias })],
  'rms norm': [[[3, 8], [8], [1]], (x, weight) => F.rmsNorm(x, 8, { weight })],
  'rms norm of a long row': [[[2, 4099], [4099], [1]], (x, weight) => F.rmsNorm(x, 4099, { weight })],
  softmax: [[[3, 40], [1], [1]], (x) => F.softmax(x, 1)],
  'softmax across': [[[3, 4, 5], [1], [1]], (x) => F.softmax(x, 1)],
  logSoftmax: [[[3, 7], [1], [1]], (x) => F.logSoftmax(x, -1)],
};

function run([shapes, f]: (typeof operations)[string], dtype: Float) {
  const given = shapes.map((shape, i) => tensor(rounded(size(shape), i + 1), { shape, dtype, requiresGrad: true }));
  const [x, w, b] = given;
  const y = f(x, w, b);
  backward(y, { gradient: tensor(rounded(y.size, 7), { shape: y.shape, dtype }) });
  const results = [y, ...given.map((t) => t.grad).filter((t) => !!t)];
  for (const t of results) assert.is(t.dtype, dtype);
  return results;
}

/** The tangent of y for one of x: inputs of `jvp` are float32. */
function pushed([shapes, f]: (typeof operations)[string], dtype: Float): Tensor {
  const [x, w, b, t] = [...shapes, shapes[0]].map((shape, i) => tensor(rounded(size(shape), i + 1), { shape }));
  const of = (a: Tensor) => f(a.to(dtype), w.to(dtype), b.to(dtype)).to('float32');
  return jvp(of, [x], [t]).tangent;
}

/** Within a unit in the last place of half and what saved results were rounded by. */
function close(got: number[], want: number[], what: string): void {
  const most = Math.max(...want.map(Math.abs));
  for (const [i, x] of want.entries())
    assert.ok(Math.abs(got[i] - round(x)) <= 2 ** -9 * most, `${what}[${i}] is ${got[i]}, expected ${x}`);
}

for (const [name, operation] of Object.entries(operations))
  withHalf(name, () =>
    onBothTargets(async () => {
      let narrow: Tensor[] = [];
      const names = launched(() => (narrow = run(operation, 'float16')));
      assert.not.ok(names.includes('copy'), names.join());
      const wide = run(operation, 'float32');
      narrow.push(pushed(operation, 'float16'));
      wide.push(pushed(operation, 'float32'));
      assert.equal(await read(narrow[0]), (await read(wide[0])).map(round), 'y');
      for (const [i, t] of narrow.entries()) close(await read(t), await read(wide[i]), `${i}`);
    }),
  );

withHalf('cross-entropy: losses of halves, summed in float32', async () => {
  const labels = tensor(Int32Array.of(2, 0, -100), { shape: [3] });
  for (const reduction of ['none', 'sum', 'mean'] as const) {
    const of = (dtype: Float) => {
      const x = tensor(rounded(15, 3), { shape: [3, 5], dtype, requiresGrad: true });
      const weight = tensor([1, 0.5, 2, 1, 1], { dtype });
      const loss = F.crossEntropy(x, labels, { weight, reduction, labelSmoothing: 0.25 });
      backward(loss, { gradient: tensor(rounded(loss.size, 4), { shape: loss.shape, dtype }) });
      assert.equal([loss.dtype, x.grad!.dtype], [dtype, dtype]);
      return [loss, x.grad!];
    };
    let narrow: Tensor[] = [];
    const names = launched(() => (narrow = of('float16')));
    assert.not.ok(names.includes('copy'), names.join());
    const wide = of('float32');
    for (const i of [0, 1]) assert.equal(await read(narrow[i]), (await read(wide[i])).map(round), reduction);
  }
  const x = tensor(rounded(15, 3), { shape: [3, 5], dtype: 'float16' });
  assert.is(F.crossEntropy(x, labels, { weight: tensor([1, 1, 1, 1, 1]) }).dtype, 'float32');
  assert.is(F.crossEntropy(x, F.softmax(x, 1)).dtype, 'float16');
});

test.run();
