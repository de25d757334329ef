// The shallow-ensemble expansion against the deep network in float64: what is left scales as ε² and ε³ in the strength of the branches.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { MeanField } from '../../src/meanfield/mean-field';
import { PreActBranch } from '../../src/models/blocks';
import { Module } from '../../src/nn/module';
import { Parameter } from '../../src/nn/parameter';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers, useGpu } from '../util';

useGpu();

const [n, d, N] = [6, 4, 5];
const theta = Array.from({ length: n }, (_, l) => Float32Array.from(numbers(d * d, 40 + l)));
const points = Float32Array.from(numbers(N * d, 50));

class Smooth extends Module {
  readonly theta: Parameter;
  constructor(
    l: number,
    readonly strength: number,
  ) {
    super();
    this.theta = new Parameter(tensor(theta[l], { shape: [d, d] }));
  }
  override forward(x: Tensor): Tensor {
    return x.matmul(this.theta.transpose(0, 1)).tanh().mul(this.strength);
  }
}

/** The deep network in float64. */
function deep(strength: number): Float64Array {
  let x = Float64Array.from(points);
  for (let l = 0; l < n; l++)
    x = x.map((value, i) => {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += theta[l][(i % d) * d + k] * x[i - (i % d) + k];
      return value + (strength * Math.tanh(sum)) / n;
    });
  return x;
}

/** log₂ of the factors by which errors shrink when ε is halved. */
async function slopes(order: 1 | 2, strengths: number[]): Promise<number[]> {
  const errors: number[] = [];
  for (const strength of strengths) {
    const net = new MeanField(n, (l) => new Smooth(l, strength), { times: 'fraction' });
    const y = await net.expand(tensor(points, { shape: [N, d] }), order).data();
    errors.push(Math.hypot(...deep(strength).map((v, i) => v - y[i])));
  }
  return errors.slice(1).map((e, i) => Math.log2(errors[i] / e));
}

test('first order: errors fall as ε², slope within [1.9, 2.1]', async () => {
  for (const found of await slopes(1, [0.4, 0.2, 0.1])) assert.ok(found > 1.9 && found < 2.1, `${found}`);
});

test('second order: errors fall as ε³, slope within [2.8, 3.2]', async () => {
  for (const found of await slopes(2, [0.8, 0.4, 0.2])) assert.ok(found > 2.8 && found < 3.2, `${found}`);
});

test('of a linear network of two particles the second order is all there is', async () => {
  class Linear extends Smooth {
    override forward(x: Tensor): Tensor {
      return x.matmul(this.theta);
    }
  }
  const net = new MeanField(2, (l) => new Linear(l, 1));
  const x = tensor(points, { shape: [N, d] });
  close(await net.expand(x, 2).data(), await net.forward(x).data(), 1e-5);
});

test('convolutional branches expand; the first order has gradients; other orders are refused', async () => {
  manualSeed(1);
  const shape = { inChannels: 4, innerChannels: 4, outChannels: 4 };
  const net = new MeanField(3, () => new PreActBranch(shape), { times: [1e-3, 2e-3, 3e-3] });
  net.eval();
  const x = tensor(Float32Array.from(numbers(2 * 4 * 36, 6)), { shape: [2, 4, 6, 6] });
  const y = await net.forward(x).data();
  const off = async (order: 1 | 2) => {
    const z = await net.expand(x, order).data();
    return Math.max(...Array.from(y, (v, i) => Math.abs(v - z[i])));
  };
  const [first, second] = [await off(1), await off(2)];
  assert.ok(second < first / 20 && second < 1e-6, `${first}, ${second}`);
  net.expand(x, 1).square().mean().backward();
  assert.ok(net.parameters().every((p) => p.grad));
  assert.throws(() => net.expand(x, 3 as 2), /order 3; there are orders 1 and 2/);
});

test.run();
