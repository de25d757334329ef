// Forward mode: jvp against ⟨u, J·v⟩ = ⟨Jᵀu, v⟩, with Jᵀu of backward, for every operation that has a push-forward.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward, grad } from '../../src/autograd/backward';
import { checkpoint } from '../../src/autograd/checkpoint';
import { jvp } from '../../src/autograd/forward-mode';
import { PreActBranch } from '../../src/models/blocks';
import { conv2d, convTranspose2d } from '../../src/ops/conv';
import { concat, split } from '../../src/ops/join';
import { linear } from '../../src/ops/matmul';
import { batchNorm, groupNorm, layerNorm } from '../../src/ops/norm';
import { pad } from '../../src/ops/pad';
import { adaptiveAvgPool2d, avgPool2d, globalAvgPool2d } from '../../src/ops/pool';
import { recurrence } from '../../src/ops/recurrent';
import { residualSteps } from '../../src/ops/residual-step';
import { where } from '../../src/ops/where';
import { tensor } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, useGpu } from '../util';

useGpu();

const draw = (shape: Shape, seed: number, requiresGrad = false) =>
  tensor(Float32Array.from(numbers(size(shape), seed)), { shape, requiresGrad });
const dot = async (a: Tensor, b: Tensor) => {
  const [x, y] = [[...(await a.data())], await b.data()];
  return x.reduce((sum, value, i) => sum + value * y[i], 0);
};

/** ⟨u, J·v⟩ against ⟨Jᵀu, v⟩ for random u and v, and the value against f itself. */
async function agrees(what: string, f: (...inputs: Tensor[]) => Tensor, shapes: Shape[]): Promise<void> {
  const inputs = shapes.map((shape, i) => draw(shape, 10 + i, true));
  const directions = shapes.map((shape, i) => draw(shape, 20 + i));
  const y = f(...inputs);
  const u = draw(y.shape, 30);
  const back = grad(y, inputs, { gradient: u });
  const { value, tangent } = jvp(
    f,
    inputs.map((x) => x.detach()),
    directions,
  );
  assert.equal(await value.data(), await f(...inputs).data(), `${what}: value`);
  const forward = await dot(u, tangent);
  let want = 0;
  for (const [i, g] of back.entries()) if (g) want += await dot(g, directions[i]);
  assert.ok(Math.abs(want) > 1e-3, `${what}: the derivative is not zero`);
  assert.ok(Math.abs(forward - want) < 1e-4 * Math.max(1, Math.abs(want)), `${what}: ${forward} against ${want}`);
}

const image: Shape = [2, 4, 5, 5];
const cases: [string, (...inputs: Tensor[]) => Tensor, Shape[]][] = [
  ['unary', (x) => x.tanh().exp().square().relu(), [[3, 4]]],
  ['binary, broadcast', (a, b) => a.mul(b).sub(b.div(2).add(a)).div(b.square().add(1)), [[3, 4], [4]]],
  [
    'one operand repeated',
    (a, b) => a.add(b),
    [
      [1, 4],
      [3, 1],
    ],
  ],
  ['where', (a, b) => where(a.gt(0), a.mul(3), b), [[6], [6]]],
  ['views', (x) => x.transpose(0, 1).reshape([2, 6]).flip(1).narrow(1, 1, 4).expand([3, 2, 4]), [[3, 4]]],
  [
    'concat and pad',
    (a, b) =>
      pad(concat([a, a, b.detach()], 1), [
        [1, 0],
        [0, 2],
      ]),
    [
      [2, 2],
      [2, 3],
    ],
  ],
  ['sum, mean, cumsum', (x) => x.cumsum(0).mean(1, true).add(x.sum(0)), [[3, 4]]],
  [
    'matmul',
    (a, b) => a.matmul(b),
    [
      [2, 3, 4],
      [4, 5],
    ],
  ],
  ['linear', (x, w, b) => linear(x, w, b), [[2, 3, 4], [5, 4], [5]]],
  ['conv2d', (x, w, b) => conv2d(x, w, b, { stride: 2, padding: 1, groups: 2 }), [image, [6, 2, 3, 3], [6]]],
  ['convTranspose2d', (x, w, b) => convTranspose2d(x, w, b, { stride: 2 }), [image, [4, 3, 2, 2], [3]]],
  ['pools', (x) => globalAvgPool2d(adaptiveAvgPool2d(avgPool2d(x, { kernel: 2, stride: 1 }), [2, 2])), [image]],
  ['softmax', (x) => x.softmax(1), [[3, 5]]],
  ['batchNorm', (x) => batchNorm(x, { training: true, activation: 'relu' }), [image]],
  ['layerNorm', (x) => layerNorm(x, [5], { weight: draw([5], 3), bias: draw([5], 4) }), [[3, 5]]],
  ['groupNorm', (x) => groupNorm(x, 2, { weight: draw([4], 3), bias: draw([4], 4) }), [image]],
  [
    'batchNorm, its weights too',
    (x, weight, bias) => batchNorm(x, { training: true, weight, bias }),
    [image, [4], [4]],
  ],
  [
    'batchNorm in evaluation',
    (x, weight, bias) =>
      batchNorm(x, {
        training: false,
        weight,
        bias,
        runningMean: draw([4], 5),
        runningVar: draw([4], 6).square().add(1),
        activation: 'relu',
      }),
    [image, [4], [4]],
  ],
  ['layerNorm, its weights too', (x, weight, bias) => layerNorm(x, [5], { weight, bias }), [[3, 5], [5], [5]]],
  ['layerNorm, its weights alone', (weight) => layerNorm(draw([3, 5], 2), [5], { weight }), [[5]]],
  ['groupNorm, its weights too', (x, weight, bias) => groupNorm(x, 2, { weight, bias }), [image, [4], [4]]],
];
for (const [what, f, shapes] of cases) test(`J·v of ${what}`, () => agrees(what, f, shapes));

test('J·v of a block with weights of its own, in training and in evaluation', async () => {
  const block = new PreActBranch({ inChannels: 4, innerChannels: 6, outChannels: 4 });
  await agrees('training', (x) => block.forward(x), [image]);
  block.eval();
  await agrees('evaluation', (x) => block.forward(x), [image]);
  assert.ok(block.parameters().every((p) => p.grad === null));
});

test('a constant has the tangent zero; refusals name the operation and the shapes', async () => {
  const x = draw([2, 3], 1);
  assert.equal([...(await jvp(() => draw([2], 5), [x], [x]).tangent.data())], [0, 0]);
  assert.throws(
    () => jvp((a) => checkpoint((b) => b.exp(), a), [x], [x]),
    /jvp: 'checkpoint' has no forward-mode rule/,
  );
  assert.throws(() => jvp((a) => a, [x], [draw([3], 2)]), /jvp: tangent 0 .*input \[2, 3\], tangent \[3\]/);
});

test('J·v of residual steps, for x, branches and times', async () => {
  const f = (x: Tensor, w: Tensor, tau: Tensor) =>
    residualSteps(x, [(y) => y.mul(w).tanh(), (y) => y.square(), (y) => y.sin()], tau);
  await agrees('residual steps', f, [[2, 3], [3], [3]]);
});

test('a jvp inside of jvp, and a gradient inside of it with its history', async () => {
  const cube = (z: Tensor) => z.mul(z).mul(z);
  const [x, one] = [tensor([2]), tensor([1])];
  const first = (a: Tensor) => jvp(cube, [a], [one]).tangent;
  const second = (a: Tensor) => jvp(first, [a], [one]).tangent;
  assert.equal([...(await first(x).data())], [12]);
  assert.equal([...(await second(x).data())], [12]);
  assert.equal([...(await jvp(second, [x], [one]).tangent.data())], [6]);
  const slope = (a: Tensor) => grad(cube(a), [a], { createGraph: true })[0]!;
  assert.equal([...(await jvp(slope, [x], [one]).tangent.data())], [12]);
  // With its history a tangent can be differentiated: the gradient of 3x²·t by x.
  const leaf = tensor([2], { requiresGrad: true });
  jvp(cube, [leaf], [one], { createGraph: true }).tangent.backward();
  assert.equal([...(await leaf.grad!.data())], [12]);
});

test('a gradient without its history inside of jvp is refused: its tangent would be zero in silence', async () => {
  const cube = (z: Tensor) => z.mul(z).mul(z);
  const [x, one] = [tensor([2]), tensor([1])];
  const slope = (a: Tensor) => grad(cube(a), [a])[0]!;
  assert.throws(() => jvp(slope, [x], [one]), /grad: a gradient taken inside .* jvp .*createGraph/);
  const accumulated = (a: Tensor) => {
    backward(cube(a));
    return a;
  };
  assert.throws(() => jvp(accumulated, [x], [one]), /backward: a gradient taken inside .* jvp/);
  // What was refused leaves nothing behind.
  assert.equal([...(await slope(tensor([2], { requiresGrad: true })).data())], [12]);
});

test('nested through operations of several outputs: split, chunks and a recurrence', async () => {
  const [x, v] = [draw([3, 4], 1), draw([3, 4], 2)];
  // The second directional derivative, and the same by backward of the first.
  const both = (f: (a: Tensor) => Tensor) => {
    const first = (a: Tensor) => jvp(f, [a], [v]).tangent;
    const slope = jvp(first, [x], [v]).tangent;
    const leaf = draw([3, 4], 1, true);
    const g = grad(f(leaf).sum(), [leaf], { createGraph: true })[0]!;
    const h = grad(g.mul(v).sum(), [leaf])[0]!;
    return [slope.sum(), h.mul(v).sum()];
  };
  const cell = [draw([8, 4], 3), draw([8, 2], 4), draw([8], 5), draw([8], 6)] as const;
  const functions: Record<string, (a: Tensor) => Tensor> = {
    split: (a) => {
      const [p, q] = split(a, [1, 3], 1);
      return p.exp().mul(q.pow(3)).sum(1);
    },
    recurrence: (a) => {
      const [ih, hh, biasIh, biasHh] = cell;
      const { y, c } = recurrence({ cell: 'lstm', x: a.reshape([3, 1, 4]), ih, hh, biasIh, biasHh });
      return y.sum().mul(c!.square().sum());
    },
  };
  for (const [name, f] of Object.entries(functions)) {
    const [got, want] = await Promise.all(both(f).map((t) => t.item()));
    assert.ok(Math.abs(got - want) < 1e-4 * Math.max(1, Math.abs(want)), `${name}: ${got}, ${want}`);
  }
});

test.run();
