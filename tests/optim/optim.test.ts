// Optimizers in compiled steps and after a restart, clipping, schedules. Their formulas: formulas.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { Parameter } from '../../src/nn/parameter';
import { mul, square } from '../../src/ops/elementwise';
import { sum } from '../../src/ops/reduce';
import {
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  ASGD,
  clipGradNorm,
  clipGradValue,
  cosine,
  exponential,
  Lion,
  multiStep,
  NAdam,
  type Optimizer,
  RAdam,
  RMSprop,
  Rprop,
  Scheduler,
  SGD,
  sequential,
  step,
  warmUp,
} from '../../src/optim';
import { tensor } from '../../src/tensor/create';
import { copyInto } from '../../src/tensor/elementwise';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';

useGpu();

const makers = {
  SGD: (p: Parameter[]) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true }),
  Adam: (p: Parameter[]) => new Adam(p, { lr: 0.1, amsgrad: true }),
  AdamW: (p: Parameter[]) => new AdamW(p, { lr: 0.1 }),
  Adamax: (p: Parameter[]) => new Adamax(p, { lr: 0.1 }),
  Adagrad: (p: Parameter[]) => new Adagrad(p, { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.1 }),
  RMSprop: (p: Parameter[]) => new RMSprop(p, { lr: 0.1, momentum: 0.9, centered: true }),
};
const more = {
  Adadelta: (p: Parameter[]) => new Adadelta(p),
  NAdam: (p: Parameter[]) => new NAdam(p, { lr: 0.1, weightDecay: 0.1, decoupledWeightDecay: true }),
  RAdam: (p: Parameter[]) => new RAdam(p, { lr: 0.1, betas: [0.8, 0.9], weightDecay: 0.1 }),
  ASGD: (p: Parameter[]) => new ASGD(p, { lr: 0.1, lambd: 0.1, t0: 3, maximize: true }),
  Rprop: (p: Parameter[]) => new Rprop(p, { lr: 0.1 }),
  Lion: (p: Parameter[]) => new Lion(p, { lr: 0.1, weightDecay: 0.1 }),
};
const initial = () => [new Parameter(tensor([1, -2, 3])), new Parameter(tensor([0.5, 4]))];
const scale = [1, 0.5, -2, 3, 1.5, -0.25, 0.75, 2];

function objective([p, q]: Parameter[], s: Tensor): Tensor {
  return sum(square(mul(p, s))).add(sum(square(mul(q, s)).add(q)));
}

for (const [name, make] of Object.entries({ ...makers, ...more })) {
  const run = async (compiled: boolean, restartAt = -1) => {
    let params = initial();
    let optimizer = make(params);
    const body = (s: Tensor) => {
      backward(objective(params, s));
      optimizer.step();
      optimizer.zeroGrad();
    };
    const update = compiled ? compile(body) : body;
    for (const [t, s] of scale.entries()) {
      if (t === restartAt) {
        const before = params;
        params = await Promise.all(before.map(async (p) => new Parameter(tensor(await p.data()))));
        const saved = optimizer.stateDict();
        optimizer = make(params);
        optimizer.loadStateDict(saved);
      }
      optimizer.groups[0].lr = 0.1 / (1 + t); // read again by compiled steps
      update(tensor([s]));
    }
    return [...(await params[0].data()), ...(await params[1].data())];
  };

  test(`${name}: compiled steps and a restart end where eager steps do`, async () => {
    const eager = await run(false);
    assert.ok(eager.every(Number.isFinite));
    assert.equal(await run(true), eager);
    assert.equal(await run(false, 4), eager);
  });
}

/** Where a parameter gets to with the gradients of `scale`, `delay` steps after another one of its optimizer. */
async function path(make: (p: Parameter[]) => Optimizer<{ lr: number }>, delay: number, compiled = false) {
  const [p, q] = [new Parameter(tensor([1, -2])), new Parameter(tensor([0.5]))];
  const optimizer = make([q, p]);
  const body = (both: boolean) => (s: Tensor) => {
    const first = sum(square(mul(q, s)));
    backward(both ? first.add(sum(square(mul(p, s)))) : first);
    optimizer.step();
    optimizer.zeroGrad();
  };
  const [alone, together] = [false, true].map((both) => (compiled ? compile(body(both)) : body(both)));
  for (let i = 0; i < delay; i++) alone(tensor([1]));
  for (const s of scale) together(tensor([s]));
  return { optimizer, p, end: [...(await p.data())] };
}

for (const [name, make] of Object.entries({
  ...makers,
  'SGD with dampening': (p: Parameter[]) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.5 }),
})) {
  test(`${name}: a parameter's steps are counted from its own first gradient`, async () => {
    const { end } = await path(make, 0);
    assert.equal((await path(make, 5)).end, end);
    assert.equal((await path(make, 5, true)).end, end, 'in compiled steps');
  });

  test(`${name}: a new optimizer on the same parameter begins again`, async () => {
    const { p, end } = await path(make, 0);
    copyInto(p, tensor([1, -2]));
    const again = make([p]);
    for (const s of scale) {
      backward(sum(square(mul(p, tensor([s])))));
      again.step();
      again.zeroGrad();
    }
    assert.equal([...(await p.data())], end);
  });
}

test("the first moves of Adam are PyTorch's", async () => {
  const [p, q] = [new Parameter(tensor([0])), new Parameter(tensor([0]))];
  const optimizer = new Adam([p, q], { lr: 0.01 });
  for (let i = 0; i <= 10; i++) {
    p.grad = tensor([1]);
    q.grad = i === 10 ? tensor([1]) : null;
    optimizer.step();
  }
  close(await q.data(), [-0.01], 1e-8);
  const next = new Adam([p], { lr: 0.1 });
  const [before] = await p.data();
  for (let i = 1; i <= 3; i++) {
    p.grad = tensor([-1]);
    next.step();
    close(await p.data(), [before + 0.1 * i], 1e-6);
  }
});

test('state dicts hold the steps of each parameter; those of earlier versions take one number for all', async () => {
  const make = (params: Parameter[]) => new Adam(params, { lr: 0.1 });
  const { optimizer } = await path(make, 3);
  const dict = optimizer.stateDict();
  assert.equal([...(await dict.steps.data())], [11, 8]);
  assert.is(optimizer.steps, 11);
  const fresh = () => make([new Parameter(tensor([0])), new Parameter(tensor([0, 0]))]);
  const loaded = fresh();
  loaded.loadStateDict(dict);
  assert.equal([...(await loaded.stateDict().steps.data())], [11, 8]);
  const { steps: _, ...old } = dict;
  loaded.loadStateDict(old, 4);
  assert.equal([...(await loaded.stateDict().steps.data())], [4, 4]);
  loaded.loadStateDict({});
  assert.equal(Object.keys(loaded.stateDict()), [], 'as new');
  for (const [wrong, message] of [
    [old, /does not tell how often parameter 0 was updated/],
    [{ ...dict, '7.expAvg': tensor([1]) }, /7\.expAvg \[1\] fits no parameter/],
    [{ ...dict, '0.expAvg': tensor([1, 2]) }, /0\.expAvg \[2\] fits no parameter/],
    [{ ...dict, '0.momentum': tensor([1]) }, /'momentum' of parameter 0, these options keep \[expAvg,expAvgSq\]/],
    [{ ...dict, steps: tensor([1], { dtype: 'int32' }) }, /steps of 1 parameters, this optimizer has 2/],
  ] as const)
    assert.throws(() => fresh().loadStateDict(wrong as Record<string, Tensor>), message);
});

test('a compiled step goes on where an optimizer made since has moved its parameters', async () => {
  const params = [new Parameter(tensor([0, 1])), new Parameter(tensor([0]))];
  const optimizer = new SGD(params, { lr: 1 });
  const update = compile(() => {
    backward(sum(params[0]).add(sum(params[1])));
    optimizer.step();
    optimizer.zeroGrad();
  });
  for (let i = 0; i < 3; i++) update();
  new Adam(params);
  for (let i = 0; i < 2; i++) update();
  assert.equal([...(await params[0].data()), ...(await params[1].data())], [-5, -4, -5]);
});

function withGradients(...lists: number[][]): Parameter[] {
  return lists.map((list) => {
    const parameter = new Parameter(tensor(list.map(() => 0)));
    parameter.grad = tensor(list);
    return parameter;
  });
}

test('clipGradNorm scales all gradients by one factor', async () => {
  const params = withGradients([3, 0], [0, 4, 0]);
  const before = clipGradNorm(params, 1)!;
  close(await before.data(), [5], 1e-6);
  close(await params[0].grad!.data(), [0.6, 0], 1e-6);
  close(await params[1].grad!.data(), [0, 0.8, 0], 1e-6);
  const within = withGradients([0.3, -0.4]);
  close(await clipGradNorm(within, 1)!.data(), [0.5], 1e-6);
  close(await within[0].grad!.data(), [0.3, -0.4], 1e-6);
  const largest = withGradients([1, -8], [2]);
  close(await clipGradNorm(largest, 4, { normType: Infinity })!.data(), [8], 1e-6);
  close(await largest[1].grad!.data(), [1], 1e-6);
  assert.is(clipGradNorm([new Parameter(tensor([1]))], 1), null);
});

test('clipGradValue clamps, also in compiled steps', async () => {
  const params = [new Parameter(tensor([1, -1, 0.01]))];
  const optimizer = new SGD(params, { lr: 1 });
  const update = compile((s: Tensor) => {
    backward(sum(mul(params[0], s)));
    clipGradValue(params, 0.5);
    optimizer.step();
    optimizer.zeroGrad();
  });
  for (const s of [3, -3, 0.25, 0.25]) update(tensor([s]));
  close(await params[0].data(), [0.5, -1.5, -0.49], 1e-6);
});

test('schedules', () => {
  const rates = (schedule: (epoch: number) => number, epochs: number) =>
    Array.from({ length: epochs }, (_, e) => schedule(e));
  close(rates(step(2, 0.5), 5), [1, 1, 0.5, 0.5, 0.25]);
  close(rates(exponential(0.5), 4), [1, 0.5, 0.25, 0.125]);
  close(rates(multiStep([1, 3], 0.1), 5), [1, 0.1, 0.1, 0.01, 0.01]);
  close(rates(warmUp(4, 0.2), 6), [0.2, 0.4, 0.6, 0.8, 1, 1]);
  close(rates(cosine(4, 0.1), 5), [1, 0.1 + 0.45 * (1 + Math.SQRT1_2), 0.55, 0.1 + 0.45 * (1 - Math.SQRT1_2), 0.1]);
  close(rates(sequential([warmUp(2, 0.5), cosine(2)], [2]), 5), [0.5, 0.75, 1, 0.5, 0]);
  assert.throws(() => sequential([warmUp(2)], [2]), /one ascending milestone less/);
  const optimizer = new SGD(initial(), { lr: 0.4 });
  const scheduler = new Scheduler(optimizer, (epoch) => 1 / (1 + epoch)); // any function is a schedule
  scheduler.step();
  close([optimizer.groups[0].lr], [0.2]);
});

test('several schedulers multiply their factors, also inside a compiled step, and go on from a rate set by hand', async () => {
  const params = [new Parameter(tensor([0]))];
  const optimizer = new SGD(params, { lr: 1 });
  const rate = () => optimizer.groups[0].lr;
  const both = [new Scheduler(optimizer, exponential(0.9)), new Scheduler(optimizer, step(2, 0.5))];
  const seen: number[] = [];
  const update = compile(() => {
    backward(sum(params[0]));
    optimizer.step();
    optimizer.zeroGrad();
    for (const scheduler of both) scheduler.step();
  });
  for (let i = 0; i < 6; i++) {
    seen.push(rate());
    update();
  }
  close(seen, [1, 0.9, 0.405, 0.3645, 0.164025, 0.1476225], 1e-9); // PyTorch's
  close(await params[0].data(), [-seen.reduce((a, b) => a + b)], 1e-6);
  optimizer.groups[0].lr = 8;
  both[0].step();
  close([rate()], [7.2], 1e-9);
});

test('wrong options are refused', () => {
  assert.throws(() => new Adam(initial(), { betas: [0.9, 1] }), /Adam: betas \[0.9, 1\] must be in 0 ≤ β < 1/);
  assert.throws(() => new AdamW(initial(), { lr: -1 }), /AdamW: lr -1 must be a number ≥ 0/);
  assert.throws(() => new RMSprop(initial(), { alpha: Number.NaN }), /RMSprop: alpha NaN/);
  assert.throws(() => clipGradNorm(initial(), Number.NaN), /maxNorm NaN/);
});

test('former names of options are taken, of groups and of saved states too', async () => {
  const moved = async (make: (p: Parameter[]) => Optimizer<{ lr: number }>) => {
    const p = new Parameter(tensor([1, -2]));
    const optimizer = make([p]);
    p.grad = tensor([0.5, 0.25]);
    optimizer.step();
    return [...(await p.data())];
  };
  assert.equal(
    await moved((p) => new Adagrad(p, { lr: 0.1, initialAccumulator: 0.3 })),
    await moved((p) => new Adagrad(p, { lr: 0.1, initialAccumulatorValue: 0.3 })),
  );
  assert.equal(
    await moved((p) => new SGD([{ params: p, decoupled: true }], { lr: 0.1, weightDecay: 0.5 })),
    await moved((p) => new SGD(p, { lr: 0.1, weightDecay: 0.5, decoupledWeightDecay: true })),
  );
  const q = new Parameter(tensor([1]));
  const before = new SGD([q], { lr: 0.1, decoupledWeightDecay: true });
  q.grad = tensor([1]);
  before.step(); // until then its state is empty
  const old = Object.fromEntries(
    Object.entries(before.stateDict()).map(([name, x]) => [name.replace('decoupledWeightDecay', 'decoupled'), x]),
  );
  const resumed = new SGD([new Parameter(tensor([1]))], { lr: 0.1 });
  resumed.loadStateDict(old);
  assert.is(resumed.groups[0].decoupledWeightDecay, true);
});

test.run();
