// Schedulers with PyTorch's names: closed forms, rates set by hand, state, compiled steps, wrong calls.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, optim, tensor } from '../../src';
import { Parameter } from '../../src/nn/parameter';
import { close, useGpu } from '../util';

useGpu();

const sgd = (...rates: number[]) =>
  new optim.SGD(
    rates.map((lr) => ({ params: [new Parameter(tensor([1]))], lr })),
    { lr: 1, momentum: 0.9 },
  );

const EPOCHS = 20;
const cosine = (share: number) => (1 + Math.cos(Math.PI * share)) / 2;

/** Each scheduler and the factor on the first rate that it comes to. */
const forms: [string, (o: optim.Optimizer<{ lr: number }>) => optim.LRScheduler, (t: number) => number][] = [
  ['StepLR', (o) => new optim.StepLR(o, 3, { gamma: 0.5 }), (t) => 0.5 ** Math.floor(t / 3)],
  ['MultiStepLR', (o) => new optim.MultiStepLR(o, [2, 5, 5]), (t) => (t < 2 ? 1 : t < 5 ? 0.1 : 0.001)],
  ['ConstantLR', (o) => new optim.ConstantLR(o, { factor: 0.25, totalIters: 4 }), (t) => (t < 4 ? 0.25 : 1)],
  ['LinearLR', (o) => new optim.LinearLR(o, { startFactor: 0.2 }), (t) => 0.2 + 0.8 * Math.min(1, t / 5)],
  ['ExponentialLR', (o) => new optim.ExponentialLR(o, 0.8), (t) => 0.8 ** t],
  ['CosineAnnealingLR', (o) => new optim.CosineAnnealingLR(o, 6), (t) => cosine(t / 6)],
  ['CosineAnnealingWarmRestarts', (o) => new optim.CosineAnnealingWarmRestarts(o, 6), (t) => cosine((t % 6) / 6)],
  ['PolynomialLR', (o) => new optim.PolynomialLR(o, { totalIters: 8, power: 2 }), (t) => Math.max(0, 1 - t / 8) ** 2],
  ['LambdaLR', (o) => new optim.LambdaLR(o, (t) => 1 / (t + 1)), (t) => 1 / (t + 1)],
  ['MultiplicativeLR', (o) => new optim.MultiplicativeLR(o, () => 0.9), (t) => 0.9 ** t],
  [
    'SequentialLR',
    (o) =>
      new optim.SequentialLR(
        o,
        [new optim.ConstantLR(o, { factor: 0.5, totalIters: 9 }), new optim.ExponentialLR(o, 0.5)],
        [3],
      ),
    (t) => (t < 3 ? 0.5 : 0.5 ** (t - 3)),
  ],
  [
    'ChainedScheduler',
    (o) => new optim.ChainedScheduler([new optim.ExponentialLR(o, 0.9), new optim.StepLR(o, 2)]),
    (t) => 0.9 ** t * 0.1 ** Math.floor(t / 2),
  ],
];

test('rates are those of the closed forms, for each group; a loaded state goes on', () => {
  for (const [name, make, factor] of forms) {
    const optimizer = sgd(0.1, 2);
    const scheduler = make(optimizer);
    for (let t = 0; t <= EPOCHS; t++) {
      const rates = optimizer.groups.map(({ lr }) => lr);
      assert.ok(Math.abs(rates[0] - 0.1 * factor(t)) < 1e-9, `${name} epoch ${t}: ${rates}`);
      assert.ok(Math.abs(rates[1] - 2 * factor(t)) < 1e-9, `${name} epoch ${t}: ${rates}`);
      assert.equal(scheduler.getLastLr(), rates);
      scheduler.step();
    }
    const again = sgd(0.1, 2);
    const other = make(again);
    other.loadStateDict(JSON.parse(JSON.stringify(scheduler.stateDict())));
    again.groups.forEach((group, i) => (group.lr = optimizer.groups[i].lr));
    for (const s of [scheduler, other]) s.step();
    assert.equal(other.getLastLr(), scheduler.getLastLr(), name);
  }
});

test('a rate that was set by hand is what a scheduler goes on from', () => {
  const optimizer = sgd(1);
  const [group] = optimizer.groups;
  const scheduler = new optim.ExponentialLR(optimizer, 0.5);
  group.lr = 8;
  scheduler.step();
  assert.is(group.lr, 4);
});

test('one cycle and cyclic rates move momentum, or β₁, the other way', () => {
  const optimizer = sgd(0.1);
  const [group] = optimizer.groups;
  const one = new optim.OneCycleLR(optimizer, 1, { totalSteps: 11, pctStart: 5 / 11, annealStrategy: 'linear' });
  close([group.lr, group.momentum], [1 / 25, 0.95], 1e-12);
  for (let i = 0; i < 4; i++) one.step();
  close([group.lr, group.momentum], [1, 0.85], 1e-12);
  for (let i = 0; i < 6; i++) one.step();
  close([group.lr, group.momentum], [1 / 25e4, 0.95], 1e-12);
  one.step();
  assert.throws(() => one.step(), /OneCycleLR: this is step 12, and there are 11/);
  const adam = new optim.Adam([new Parameter(tensor([1]))]);
  const cyclic = new optim.CyclicLR(adam, 0.1, 0.3, { stepSizeUp: 2 });
  close([adam.groups[0].lr, ...adam.groups[0].betas], [0.1, 0.9, 0.999], 1e-12);
  cyclic.step();
  close([adam.groups[0].lr, adam.groups[0].betas[0]], [0.2, 0.85], 1e-12);
  assert.throws(
    () => new optim.CyclicLR(new optim.Adagrad([new Parameter(tensor([1]))]), 0.1, 1),
    /cycleMomentum: false/,
  );
});

test('the rate falls on a plateau', () => {
  const optimizer = sgd(1);
  const scheduler = new optim.ReduceLROnPlateau(optimizer, { patience: 1, factor: 0.5, cooldown: 1 });
  const rates = [3, 2, 2, 2, 2, 2, 2, 2].map((loss) => {
    scheduler.step(loss);
    return optimizer.groups[0].lr;
  });
  assert.equal(rates, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]);
  const other = new optim.ReduceLROnPlateau(optimizer, { patience: 1 });
  other.loadStateDict(JSON.parse(JSON.stringify(scheduler.stateDict())));
  assert.is(other.stateDict().best, 2);
  assert.throws(() => scheduler.step(tensor(1) as never), /await loss\.item\(\)/);
});

test('schedulers step in compiled steps', async () => {
  const run = async (compiled: boolean) => {
    const p = new Parameter(tensor([1]));
    const optimizer = new optim.SGD([p], { lr: 1 });
    const scheduler = new optim.ChainedScheduler([
      new optim.ExponentialLR(optimizer, 0.5),
      new optim.StepLR(optimizer, 2),
    ]);
    const body = () => {
      p.sum().backward();
      optimizer.step();
      optimizer.zeroGrad();
      scheduler.step();
    };
    const step = compiled ? compile(body) : body;
    for (let i = 0; i < 4; i++) step();
    return [...(await p.data()), optimizer.groups[0].lr];
  };
  assert.equal(await run(true), await run(false));
});

test('wrong calls', () => {
  const optimizer = sgd(1);
  const inner = new optim.ExponentialLR(sgd(1), 0.5);
  assert.throws(() => new optim.StepLR(optimizer, 0), /StepLR: stepSize 0 must be a whole number/);
  assert.throws(() => new optim.SequentialLR(optimizer, [inner], [3]), /scheduler 0 is one of another optimizer/);
  assert.throws(() => new optim.SequentialLR(sgd(1), [], []), /give a list of schedulers/);
  assert.throws(() => new optim.OneCycleLR(optimizer, 1), /give totalSteps/);
  assert.throws(() => new optim.LambdaLR(sgd(1, 2), [() => 1]), /1 functions for 2 groups/);
  assert.throws(() => inner.loadStateDict({ last_epoch: 3 }), /no state of such a scheduler.*lacks gamma/);
  assert.throws(() => new optim.LambdaLR(optimizer, () => Number.NaN), /the rate of epoch 0 is NaN/);
});

test.run();
