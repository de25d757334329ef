// What optimizers and schedulers save and load, groups added later, and counts of steps that fail.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, F, nn, noGrad, optim, type Tensor, tensor } from '../../src';
import { fromStored, toStored } from '../../src/nn/stored';
import { useGpu } from '../util';

useGpu();

const { Adam, exponential, Scheduler, SGD, step } = optim;
const parameters = () => [new nn.Parameter(tensor([1, -2])), new nn.Parameter(tensor([0.5]))];
const values = async (params: Iterable<nn.Parameter>) => {
  const all: number[] = [];
  for (const p of params) all.push(...(await p.data()));
  return all;
};

function train(optimizer: optim.Optimizer<{ lr: number }>, scales: number[]): void {
  for (const s of scales) {
    const losses = [...optimizer.parameters()].map((p) => F.sum(F.square(F.mul(p, s))));
    losses.reduce((a, b) => F.add(a, b)).backward();
    optimizer.step();
    optimizer.zeroGrad();
  }
}

/** As a file would bring it. */
const written = async (dict: Record<string, Tensor>) =>
  Object.fromEntries(
    await Promise.all(Object.entries(dict).map(async ([name, x]) => [name, fromStored(await toStored(x))] as const)),
  );

test('the options of groups are saved and loaded exactly, schedulers with them', async () => {
  const make = (lr: number, betas: readonly [number, number]) => {
    const [p, q] = parameters();
    const optimizer = new Adam([{ params: [p] }, { params: [q], lr: lr / 3, amsgrad: true }], { lr, betas });
    return { optimizer, schedulers: [new Scheduler(optimizer, exponential(0.9)), new Scheduler(optimizer, step(2))] };
  };
  const a = make(0.1, [0.8, 0.99]);
  train(a.optimizer, [1, 0.5]);
  for (const scheduler of a.schedulers) scheduler.step();
  a.optimizer.groups[1].lr = 0.7; // by hand
  const b = make(5, [0.1, 0.1]);
  assert.is(b.optimizer.groups[1].amsgrad, true);
  b.optimizer.groups[1].amsgrad = false;
  for (const [i, p] of [...b.optimizer.parameters()].entries())
    noGrad(() => p.assign_([...a.optimizer.parameters()][i]));
  b.optimizer.loadStateDict(await written(a.optimizer.stateDict()));
  for (const [i, scheduler] of b.schedulers.entries())
    scheduler.loadStateDict(JSON.parse(JSON.stringify(a.schedulers[i].stateDict())));
  const options = ({ optimizer }: typeof a) => optimizer.groups.map(({ params: _, ...rest }) => rest);
  assert.equal(options(b), options(a));
  for (const { optimizer, schedulers } of [a, b]) {
    train(optimizer, [-1]);
    for (const scheduler of schedulers) scheduler.step();
    train(optimizer, [2, 0.3]);
  }
  assert.equal(options(b), options(a));
  assert.equal(await values(b.optimizer.parameters()), await values(a.optimizer.parameters()));
});

test('what does not fit is refused, and nothing has changed', () => {
  const optimizer = new Adam(parameters(), { lr: 0.1 });
  train(optimizer, [1]);
  const dict = optimizer.stateDict();
  const other = new Adam(parameters(), { lr: 0.2 });
  for (const [wrong, message] of [
    [
      { ...dict, 'groups.1.lr': dict['groups.0.lr'] },
      /Adam: the state dict has 2 groups, this optimizer has 1; nothing/,
    ],
    [{ ...dict, 'groups.0.momentum': dict['groups.0.lr'] }, /'groups\.0\.momentum', an option that there is not/],
    [{ ...dict, 'groups.0.lr': tensor([0.1]) }, /the saved 'groups\.0\.lr' cannot be read here/],
    [
      { ...dict, 'groups.0.lr': tensor(new Uint32Array(new Float64Array([-1]).buffer)) },
      /Adam: lr -1 must be.*nothing/,
    ],
  ] as const)
    assert.throws(() => other.loadStateDict(wrong), message);
  assert.is(other.groups[0].lr, 0.2);
  assert.is(other.steps, 0);
  const scheduler = new Scheduler(other, exponential(0.5));
  assert.throws(() => scheduler.loadStateDict({} as optim.SchedulerState), /no state of a scheduler/);
  assert.throws(() => scheduler.loadStateDict({ epoch: 1, rates: [] }), /rates of 0 groups, the optimizer has 1/);
  assert.is(scheduler.epoch, 0);
});

test('a group added later is trained from then on, in compiled steps as well', async () => {
  const run = async (compiled: boolean) => {
    const [p, q] = parameters();
    const optimizer = new SGD([p], { lr: 0.1, momentum: 0.9 });
    const body = () => {
      F.add(F.sum(F.square(p)), F.sum(F.square(q))).backward();
      optimizer.step();
      optimizer.zeroGrad();
      q.grad = null;
    };
    const update = compiled ? compile(body) : body;
    for (let i = 0; i < 3; i++) update();
    assert.equal([...(await q.data())], [0.5]);
    optimizer.addParamGroup({ params: [q], lr: 0.01 });
    assert.is(optimizer.groups[1].momentum, 0.9);
    for (let i = 0; i < 3; i++) update();
    return values([p, q]);
  };
  const eager = await run(false);
  assert.ok(eager[2] < 0.5);
  assert.equal(await run(true), eager);
  const [p, q] = parameters();
  const optimizer = new SGD([p], { lr: 0.1 });
  assert.throws(() => optimizer.addParamGroup({ params: [q, p] }), /SGD: a parameter of shape \[2\] is listed twice/);
  assert.throws(() => optimizer.addParamGroup({ params: [q], lr: -1 }), /SGD: lr -1/);
  assert.is(optimizer.groups.length, 1);
});

test('a step that throws counts nothing', async () => {
  const [p] = parameters();
  const optimizer = new Adam([p], { lr: 0.1 });
  const scheduler = new Scheduler(optimizer, exponential(0.5));
  let fails = false;
  const update = compile((_: Tensor) => {
    F.sum(F.square(p)).backward();
    optimizer.step();
    optimizer.zeroGrad();
    scheduler.step();
    if (fails) throw new Error('too late');
  });
  update(tensor([1]));
  fails = true;
  assert.throws(() => update(tensor([1])), 'too late'); // while it is traced
  assert.equal([optimizer.steps, scheduler.epoch, optimizer.groups[0].lr], [1, 1, 0.05]);
  fails = false;
  update(tensor([1]));
  optimizer.groups[0].lr = Number.NaN;
  assert.throws(() => update(tensor([1])), /Adam: the scalar lr is NaN at step 3/); // in a replay
  p.grad = tensor([1, 1]);
  assert.throws(() => optimizer.step(), /Adam: the scalar lr is NaN at step 3/);
  assert.equal([optimizer.steps, scheduler.epoch], [2, 2]);
});

test.run();
