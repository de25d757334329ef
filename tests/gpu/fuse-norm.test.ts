// Batch norm, its gradient and ReLU in the loads of convolutions, residual connections and the norms' sums where convolutions store: compiled steps
// give the bits of eager ones, where the passes apply and where they must not.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { grad } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { Conv2d } from '../../src/nn/conv';
import { Module } from '../../src/nn/module';
import { BatchNorm2d } from '../../src/nn/norm';
import type { Conv2dOptions } from '../../src/ops/conv';
import { conv2d } from '../../src/ops/conv';
import { batchNorm } from '../../src/ops/norm';
import { residualSteps } from '../../src/ops/residual-step';
import { ones, tensor, zeros } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers, onBothTargets, useGpu } from '../util';

useGpu();

/** A leaf with reproducible values. */
const leaf = (shape: Shape, seed: number, low = -1, high = 1) =>
  tensor(Float32Array.from(numbers(size(shape), seed, low, high)), { shape, requiresGrad: true }).keep();

interface Norm {
  weight: Tensor;
  bias: Tensor;
  runningMean: Tensor;
  runningVar: Tensor;
}

const norm = (channels: number, seed: number): Norm => ({
  weight: leaf([channels], seed, 0.5, 1.5),
  bias: leaf([channels], seed + 1),
  runningMean: zeros([channels]).keep(),
  runningVar: ones([channels]).keep(),
});

/** The values of the third of three calls, and what a compiled step launches. */
async function outcome(step: () => Tensor[], compiled: boolean) {
  const fast = compile(step);
  const run = compiled ? fast : step;
  run();
  run();
  const values = await Promise.all(run().map(async (t) => [...(await t.data())]));
  return { values, kernels: compiled ? fast.plans[0].kernels : [] };
}

/** Compares the steps that `make` makes; returns the kernels of the compiled one. */
async function sameBits(what: string, make: () => () => Tensor[]): Promise<readonly string[]> {
  const eager = await outcome(make(), false);
  const fused = await outcome(make(), true);
  for (const [i, values] of eager.values.entries()) {
    assert.ok(values.some((v) => v !== 0) && values.every(Number.isFinite), `${what}: result ${i} says something`);
    assert.equal(fused.values[i], values, `${what}: result ${i}`);
  }
  return fused.kernels;
}

const count = (kernels: readonly string[], pattern: RegExp) => kernels.filter((name) => pattern.test(name)).length;
/** Launches that write a normalised tensor. */
const written = /^batchNorm\.(apply|forward)$/;

interface Case extends Conv2dOptions {
  channels: readonly [number, number];
  image: readonly [number, number];
  kernel: number;
  activation?: 'relu';
  bias?: true;
  /** The convolution is not trained. */
  frozen?: true;
}

/** x → norm → convolution → norm, with all gradients and running statistics. */
function sandwich({ channels, image, kernel, activation, bias, frozen, ...options }: Case, training: boolean) {
  const [inChannels, outChannels] = channels;
  const x = leaf([2, inChannels, ...image], 1);
  const norms = channels.map((n, i) => norm(n, 10 * i + 2));
  const weight = leaf([outChannels, inChannels / (options.groups ?? 1), kernel, kernel], 4);
  const offset = bias ? leaf([outChannels], 5) : null;
  weight.requiresGrad = !frozen;
  const inputs = [x, ...norms.flatMap((n) => [n.weight, n.bias]), ...(frozen ? [] : [weight])];
  return () => {
    const y = conv2d(batchNorm(x, { ...norms[0], training, activation }), weight, offset, options);
    const z = batchNorm(y, { ...norms[1], training });
    const gradients = grad(z.mul(z).mul(z).sum(), inputs) as Tensor[];
    const running = norms.flatMap(({ runningMean, runningVar }) => [runningMean.mul(1), runningVar.mul(1)]);
    return [y.mul(1), ...gradients, ...(training ? running : [])];
  };
}

// biome-ignore format: one case a line
const cases: Record<string, Case> = {
  '3×3, rows of vec4s': { channels: [8, 8], image: [4, 8], kernel: 3, padding: 1, activation: 'relu' },
  '3×3, stride 2, odd size': { channels: [9, 5], image: [7, 5], kernel: 3, stride: 2, padding: 1 },
  'groups, dilation, few channels': { channels: [6, 4], groups: 2, image: [5, 8], kernel: 2, dilation: 2, padding: 1, activation: 'relu' },
  '1×1, with running statistics': { channels: [16, 9], image: [5, 7], kernel: 1, activation: 'relu' },
};

for (const [what, options] of Object.entries(cases))
  test(`norm in the loads of a convolution: ${what}`, () =>
    onBothTargets(async () => {
      // With running statistics the launches around are others, those of the convolution the same: one case does for them.
      const kernels = await sameBits(what, () => sandwich(options, options.kernel > 1));
      assert.is(count(kernels, /^conv2d\.forward\.normalized/), 1, kernels.join(' '));
      assert.is(count(kernels, /^conv2d\.weightGradient\.normalized$/), 1, kernels.join(' '));
      assert.is(count(kernels, written), 1, 'the last');
    }, ['gpu']));

// biome-ignore format: one case a line
const sums: Record<string, Case> = {
  'groups, tiles of 16 channels, the last chunk short': { channels: [16, 18], groups: 2, image: [4, 9], kernel: 3, padding: 1, frozen: true },
  'a window over rows of vec4s, several images at once, ReLU': { channels: [20, 24], image: [8, 8], kernel: 3, padding: 1, activation: 'relu', frozen: true },
  'tiles of 32, ReLU': { channels: [20, 20], image: [8, 10], kernel: 1, activation: 'relu', frozen: true },
  'tiles of 64, ReLU': { channels: [40, 40], image: [4, 8], kernel: 1, activation: 'relu', frozen: true },
};

for (const [what, options] of Object.entries(sums))
  test(`sums for a norm where a convolution stores: ${what}`, () =>
    onBothTargets(async () => {
      const kernels = await sameBits(what, () => sandwich(options, true));
      assert.is(count(kernels, /^conv2d\.forward\.normalized\.statistics$/), 1, kernels.join(' '));
      assert.is(count(kernels, /^conv2d\.inputGradient(\.throughNorm)?\.gradient$/), 1, kernels.join(' '));
      // What is left: of the input, and of the gradient that does not come from a convolution.
      assert.is(count(kernels, /^batchNorm\.partials$/), 1);
      assert.is(count(kernels, /^batchNorm\.gradientPartials$/), 1);
    }, ['gpu']));

// biome-ignore format: one case a line
const apart: Record<string, Case> = {
  'whose planes are no vec4s': { channels: [8, 8], image: [3, 5], kernel: 1, frozen: true },
  'with a bias': { channels: [8, 8], image: [4, 8], kernel: 1, bias: true, frozen: true },
};

for (const [what, options] of Object.entries(apart))
  test(`a norm sums up what comes from a convolution ${what}`, () =>
    onBothTargets(async () => {
      const kernels = await sameBits(what, () => sandwich(options, true));
      assert.is(count(kernels, /^batchNorm\.partials$/), 2, kernels.join(' '));
    }, ['gpu']));

/** Two residual blocks and a norm, with all gradients: `join` adds the branches. */
function residual(channels: number, image: number, kernel: number, join: Join, times: Tensor[] = []) {
  const x = leaf([2, channels, image, image], 1);
  const norms = Array.from({ length: 5 }, (_, i) => norm(channels, 10 * i + 2));
  const weights = Array.from({ length: 4 }, (_, i) => leaf([channels, channels, kernel, kernel], 70 + i));
  const normed = (t: Tensor, i: number) => batchNorm(t, { ...norms[i], training: true, activation: 'relu' });
  const convolved = (t: Tensor, i: number) => conv2d(normed(t, i), weights[i], null, { padding: kernel >> 1 });
  const branches = [0, 2].map(
    (i): Branch =>
      (t) =>
        convolved(convolved(t, i), i + 1),
  );
  return () => {
    const y = normed(join(x, branches), 4);
    const inputs = [x, ...norms.flatMap((n) => [n.weight, n.bias]), ...weights, ...times];
    return [y.mul(1), ...(grad(y.mul(y).sum(), inputs) as Tensor[])];
  };
}
type Branch = (x: Tensor) => Tensor;
type Join = (x: Tensor, branches: Branch[]) => Tensor;
const added: Join = (x, branches) => branches.reduce((t, f) => t.add(f(t)), x);

test('residual connections where convolutions store, gradients of norms where they load', () =>
  onBothTargets(async () => {
    const kernels = await sameBits('3×3', () => residual(40, 8, 3, added));
    assert.is(count(kernels, /^add$/), 0, kernels.join(' '));
    assert.is(count(kernels, /^conv2d\.forward\.normalized\.sum\.statistics$/), 2);
    assert.is(count(kernels, /^batchNorm\.partials$/), 1, 'of the input');
    // The gradient of the input itself no convolution reads.
    assert.is(count(kernels, /^conv2d\.inputGradient\.throughNorm\.gradient$/), 4);
    assert.is(count(kernels, /^batchNorm\.gradientApply$/), 1);
  }, ['gpu']));

test('residual connections behind pointwise convolutions; no rows, so gradients of norms are written before', () =>
  onBothTargets(async () => {
    const kernels = await sameBits('1×1', () =>
      residual(20, 8, 1, (x, f) => f.reduce((t, branch) => branch(t).add(t), x)),
    );
    assert.is(count(kernels, /^add$/), 0, kernels.join(' '));
    assert.is(count(kernels, /\.sum\.statistics$/), 2);
    assert.is(count(kernels, /throughNorm/), 0);
  }, ['gpu']));

test('steps of particles where convolutions store: the branch is kept for the gradient of the times', () =>
  onBothTargets(async () => {
    const make = () => {
      const times = leaf([2], 5, 0.2, 0.8);
      return residual(12, 8, 3, (x, f) => residualSteps(x, f, times), [times]);
    };
    const kernels = await sameBits('step', make);
    assert.is(count(kernels, /^meanfield\.step$/), 0, kernels.join(' '));
    assert.is(count(kernels, /\.step\.statistics$/), 2);
    assert.is(count(kernels, /throughNorm/), 2);
  }, ['gpu']));

/** Sums that a convolution cannot make. */
const alone: Record<string, (x: Tensor, f: Tensor) => Tensor[]> = {
  'of a branch that the step returns': (x, f) => [x.add(f), f],
  'of a branch and itself': (_, f) => [f.add(f)],
  'with what is written after the branch': (x, f) => [x.mul_(3).add(f)],
  'with the branch transposed': (x, f) => [x.add(f.transpose(2, 3))],
};

for (const [what, body] of Object.entries(alone))
  test(`a sum stays a launch ${what}`, () =>
    onBothTargets(async () => {
      const [source, weight] = [leaf([2, 8, 8, 8], 1), leaf([8, 8, 3, 3], 2)];
      const make = () => () =>
        noGrad(() => {
          const x = source.mul(2);
          return body(x, conv2d(x, weight, null, { padding: 1 }));
        });
      const kernels = await sameBits(what, make);
      assert.is(count(kernels, /\.sum$/), 0, kernels.join(' '));
    }, ['gpu']));

test('a module made of plain operations gets it too', () =>
  onBothTargets(async () => {
    class Mine extends Module {
      readonly norm = new BatchNorm2d(8, { activation: 'relu' });
      readonly conv = new Conv2d(8, 8, 3, { padding: 1 });
      override forward(x: Tensor): Tensor {
        return x.add(this.conv.forward(this.norm.forward(x.mul(2))).tanh());
      }
    }
    const net = new Mine().eval();
    const x = leaf([2, 8, 4, 8], 1);
    const kernels = await sameBits('module', () => () => noGrad(() => [net.forward(x)]));
    // On CPU drivers it would cost more to compile than it saves.
    const fused = device().target.isCpu ? 0 : 1;
    assert.is(count(kernels, written), 1 - fused);
    assert.is(count(kernels, /conv2d\.forward\.normalized$/), fused);
  }));

/** Steps in which the normalised tensor must be written; `y` is it. */
const kept: Record<string, (x: Tensor, y: Tensor, convolved: (t: Tensor) => Tensor) => Tensor[]> = {
  'the shortcut reads it too': (_, y, convolved) => [convolved(y).add(y)],
  'the step returns it': (_, y, convolved) => [convolved(y), y],
  'what it is made of is overwritten before the convolution reads': (x, y, convolved) => {
    x.mul_(3);
    return [convolved(y), x];
  },
  'the convolution sees its channels elsewhere': (_, y, convolved) => [convolved(y.reshape([1, 8, 8, 8]))],
  'the convolution sees it transposed': (_, y, convolved) => [convolved(y.transpose(2, 3))],
};

for (const [what, body] of Object.entries(kept))
  test(`a normalised tensor is written where ${what}`, () =>
    onBothTargets(async () => {
      const make = () => {
        const [source, weight, { runningMean, runningVar, ...affine }] = [
          leaf([2, 8, 4, 8], 1),
          leaf([8, 8, 3, 3], 2),
          norm(8, 3),
        ];
        return () =>
          noGrad(() => {
            const x = source.mul(2);
            const y = batchNorm(x, { ...affine, runningMean, runningVar, training: true });
            return body(x, y, (t) => conv2d(t, weight, null, { padding: 1 }));
          });
      };
      const kernels = await sameBits(what, make);
      assert.is(count(kernels, written), 1, kernels.join(' '));
      assert.is(count(kernels, /normalized/), 0);
    }));

test.run();
