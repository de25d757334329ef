// The rules of the optimizers against loops in float64 that follow their definitions.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { Parameter } from '../../src/nn/parameter';
import * as optim from '../../src/optim';
import { tensor } from '../../src/tensor/create';
import { close, numbers, useGpu } from '../util';

useGpu();

type Make = (p: Parameter[]) => optim.Optimizer<{ lr: number }>;
/** A step t = 1, 2, … of one number: from the weight w and the gradient g to the new weight; `s` is its state, empty at first. */
type Step = (w: number, g: number, t: number, s: Record<string, number>) => number;

const { sign, sqrt, max, min } = Math;
/** Running means m and v of g and g², started at 0 in the first step. */
function moments(g: number, s: Record<string, number>, beta1: number, beta2: number): void {
  s.m = beta1 * (s.m ?? 0) + (1 - beta1) * g;
  s.v = beta2 * (s.v ?? 0) + (1 - beta2) * g * g;
}
const hats = (t: number, s: Record<string, number>, beta1 = 0.9, beta2 = 0.99) => [
  s.m / (1 - beta1 ** t),
  s.v / (1 - beta2 ** t),
];
const betas = [0.9, 0.99] as const;

const rules: Record<string, [make: Make, step: Step]> = {
  'SGD with momentum': [
    (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, weightDecay: 0.1 }),
    (w, g, _, s) => {
      s.b = 0.9 * (s.b ?? 0) + g + 0.1 * w;
      return w - 0.1 * s.b;
    },
  ],
  Adam: [
    (p) => new optim.Adam(p, { lr: 0.1, betas }),
    (w, g, t, s) => {
      moments(g, s, ...betas);
      const [m, v] = hats(t, s);
      return w - (0.1 * m) / (sqrt(v) + 1e-8);
    },
  ],
  AdamW: [
    (p) => new optim.AdamW(p, { lr: 0.1, betas, weightDecay: 0.2, maximize: true }),
    (w, g, t, s) => {
      moments(-g, s, ...betas);
      const [m, v] = hats(t, s);
      return w * (1 - 0.1 * 0.2) - (0.1 * m) / (sqrt(v) + 1e-8);
    },
  ],
  Adamax: [
    (p) => new optim.Adamax(p, { lr: 0.1, betas }),
    (w, g, t, s) => {
      moments(g, s, ...betas);
      s.u = max(0.99 * (s.u ?? 0), Math.abs(g) + 1e-8);
      return w - (0.1 * hats(t, s)[0]) / s.u;
    },
  ],
  Adagrad: [
    (p) => new optim.Adagrad(p, { lr: 0.1, lrDecay: 0.2, initialAccumulatorValue: 0.3 }),
    (w, g, t, s) => {
      s.sum = (s.sum ?? 0.3) + g * g;
      return w - ((0.1 / (1 + (t - 1) * 0.2)) * g) / (sqrt(s.sum) + 1e-10);
    },
  ],
  'RMSprop, centered': [
    (p) => new optim.RMSprop(p, { lr: 0.1, alpha: 0.9, centered: true, momentum: 0.5 }),
    (w, g, _, s) => {
      moments(g, s, 0.9, 0.9);
      s.b = 0.5 * (s.b ?? 0) + g / (sqrt(s.v - s.m * s.m) + 1e-8);
      return w - 0.1 * s.b;
    },
  ],
  Adadelta: [
    (p) => new optim.Adadelta(p, { lr: 0.5, rho: 0.8, eps: 1e-3 }),
    (w, g, _, s) => {
      s.v = 0.8 * (s.v ?? 0) + 0.2 * g * g;
      const change = (sqrt((s.u ?? 0) + 1e-3) / sqrt(s.v + 1e-3)) * g;
      s.u = 0.8 * (s.u ?? 0) + 0.2 * change * change;
      return w - 0.5 * change;
    },
  ],
  NAdam: [
    (p) => new optim.NAdam(p, { lr: 0.1, betas, momentumDecay: 0.5 }),
    (w, g, t, s) => {
      const mu = (k: number) => 0.9 * (1 - 0.96 ** (k * 0.5) / 2);
      moments(g, s, ...betas);
      s.product = (s.product ?? 1) * mu(t);
      const ahead = (g * (1 - mu(t))) / (1 - s.product) + (s.m * mu(t + 1)) / (1 - s.product * mu(t + 1));
      return w - (0.1 * ahead) / (sqrt(hats(t, s)[1]) + 1e-8);
    },
  ],
  RAdam: [
    (p) => new optim.RAdam(p, { lr: 0.1, betas }),
    (w, g, t, s) => {
      moments(g, s, ...betas);
      const [most, power] = [2 / 0.01 - 1, 0.99 ** t];
      const length = most - (2 * t * power) / (1 - power);
      const [m, v] = hats(t, s);
      if (length <= 5) return w - 0.1 * m;
      const r = sqrt(((length - 4) * (length - 2) * most) / ((most - 4) * (most - 2) * length));
      return w - (0.1 * m * r * sqrt(1 - power)) / (sqrt(v * (1 - power)) + 1e-8);
    },
  ],
  ASGD: [
    (p) => new optim.ASGD(p, { lr: 0.1, lambd: 0.2, alpha: 0.5 }),
    (w, g, t) => {
      const eta = t === 1 ? 0.1 : 0.1 / (1 + 0.2 * 0.1 * (t - 1)) ** 0.5;
      return w * (1 - 0.2 * eta) - eta * g;
    },
  ],
  Rprop: [
    (p) => new optim.Rprop(p, { lr: 0.1, stepSizes: [0.06, 0.13] }),
    (w, g, _, s) => {
      const change = sign(g * (s.before ?? 0));
      s.size = min(0.13, max(0.06, (s.size ?? 0.1) * (change > 0 ? 1.2 : change < 0 ? 0.5 : 1)));
      s.before = change < 0 ? 0 : g;
      return w - sign(s.before) * s.size;
    },
  ],
  Lion: [
    (p) => new optim.Lion(p, { lr: 0.1, betas, weightDecay: 0.2 }),
    (w, g, _, s) => {
      const direction = sign(0.9 * (s.m ?? 0) + (1 - 0.9) * g);
      s.m = 0.99 * (s.m ?? 0) + (1 - 0.99) * g;
      return w * (1 - 0.1 * 0.2) - 0.1 * direction;
    },
  ],
};

const SIZE = 7; // more than a vector of four, and no multiple of it
const STEPS = 9; // RAdam divides by √v from its sixth step on

for (const [name, [make, step]] of Object.entries(rules))
  test(`${name} follows its definition`, async () => {
    const first = numbers(SIZE, 1);
    const p = new Parameter(tensor(Float32Array.from(first)));
    const optimizer = make([p]);
    const want = [...first];
    const states = want.map((): Record<string, number> => ({}));
    for (let t = 1; t <= STEPS; t++) {
      const g = numbers(SIZE, 1 + t);
      p.grad = tensor(Float32Array.from(g));
      optimizer.step();
      for (const [i, w] of want.entries()) want[i] = step(w, g[i], t, states[i]);
    }
    close(await p.data(), want, 2e-5);
  });

test('every rule of the package is above', () => {
  const elsewhere = ['Optimizer', 'LBFGS', 'Muon']; // matrices.test.ts
  const known = [...Object.keys(rules).map((name) => name.split(/\W/)[0]), ...elsewhere];
  const classes = Object.entries(optim).filter(
    ([, f]) => f === optim.Optimizer || f.prototype instanceof optim.Optimizer,
  );
  assert.equal(
    classes.map(([name]) => name).filter((name) => !known.includes(name)),
    [],
  );
});

test.run();
