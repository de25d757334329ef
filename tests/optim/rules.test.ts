// Optimizers of one's own: a rule as data runs like the built-in ones, eager and compiled, and what is wrong with it is said before a step.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compile, F, optim, type Tensor, tensor } from '../../src';
import { Parameter } from '../../src/nn/parameter';
import { close, numbers, useGpu } from '../util';
import { Lion } from './lion';

useGpu();

const sizes = [3, 64, 5, 130];
const options = { lr: 0.01, betas: [0.9, 0.95], weightDecay: 0.1 } as const;

async function train(compiled: boolean) {
  const params = sizes.map((n, i) => new Parameter(tensor(Float32Array.from(numbers(n, i)))));
  const optimizer = new Lion(params, options);
  const body = (s: Tensor) => {
    params
      .map((p, i) => F.sum(F.square(F.sub(F.mul(p, s), i - 1))))
      .reduce((a, b) => F.add(a, b))
      .backward();
    optimizer.step();
    optimizer.zeroGrad();
  };
  const step = compiled ? compile(body) : body;
  for (const s of [1, -0.5, 2, 0.25, 1.5, -1]) step(tensor([s]));
  const kernels = compiled ? (step as ReturnType<typeof compile>).plans[0].kernels : [];
  return { values: await Promise.all(params.map(async (p) => [...(await p.data())])), optimizer, kernels };
}

/** The same in float64. */
function reference(): number[][] {
  return sizes.map((n, i) =>
    [...numbers(n, i)].map((start) => {
      let [x, m] = [start, 0];
      for (const s of [1, -0.5, 2, 0.25, 1.5, -1]) {
        const g = 2 * s * (x * s - (i - 1));
        x -= options.lr * options.weightDecay * x + options.lr * Math.sign(0.9 * m + (1 - 0.9) * g);
        m = 0.95 * m + (1 - 0.95) * g;
      }
      return x;
    }),
  );
}

test('Lion in a few lines: right, the same bits compiled, one launch for all parameters', async () => {
  const eager = await train(false);
  for (const [i, want] of reference().entries()) close(eager.values[i], want, 1e-5, `parameter ${i}`);
  assert.equal([...eager.optimizer.stateOf(eager.optimizer.groups[0].params[0]).keys()], ['expAvg']);
  const compiled = await train(true);
  assert.equal(compiled.values, eager.values);
  assert.is(compiled.kernels.filter((kernel) => kernel.startsWith('Lion')).length, 1, compiled.kernels.join());
});

type Options = { lr: number; decay: number };
const parameter = () => new Parameter(tensor([1, 2, 3]));
const withRule = (rule: optim.Rule<Options>) =>
  new (class Mine extends optim.Optimizer<Options> {
    constructor() {
      super([parameter()], { decay: 0.5 }, { lr: 0.1 });
    }
    protected override rule() {
      return rule;
    }
  })();

test('what is wrong with a rule is said when the optimizer is made', () => {
  for (const [rule, message] of [
    [{ code: 'x -= rate * d;' }, /Mine\.rule: the code names 'rate'.*there are x, d, decay, lr/],
    [{ code: 'x -= lr * d;', sate: { m: 0 } }, /Mine\.rule: there is no option 'sate': did you mean state\?/],
    [{ code: 'let step = lr * d;' }, /Mine\.rule: the code never changes x/],
    [{ code: 'x -= d * m;', scalars: { m: () => 1 }, state: { m: 0 } }, /Mine\.rule: 'm' is both a scalar and state/],
    [{ code: 'x -= d * g;', state: { g: 0 } }, /Mine\.rule: 'g' cannot be a name here/],
    [{ code: 'x -= d * m;', state: { m: Number.NaN } }, /Mine\.rule: state m starts as NaN/],
    [{ code: 'x -= d * c;', scalars: { c: () => Number.NaN } }, /Mine: the scalar c is NaN at step 1/],
    [{ code: 'x -= lr * d;', decoupled: true }, /Mine\.rule: decoupled needs the options lr and weightDecay/],
    [{}, /Mine\.rule: 'code' is missing/],
  ] as [optim.Rule<Options>, RegExp][])
    assert.throws(() => withRule(rule), message);
});

test("WGSL that does not compile is told with the rule's own line, and nothing has changed", async () => {
  const optimizer = withRule({ state: { m: 0 }, code: 'm += d;\nx -= lr * nothing(m);' });
  const [p] = optimizer.parameters();
  p.grad = tensor([1, 1, 1]);
  assert.throws(() => optimizer.step(), /compiling the kernel 'Mine'.*\n.*line 2 of your code.*nothing.*\n.*x -= lr/);
  assert.is(optimizer.steps, 0);
  assert.equal([...optimizer.stateOf(p).keys()], []);
  assert.equal([...(await p.data())], [1, 2, 3]);
});

test('scalars may follow the step and a number of the parameter', async () => {
  class Scaled extends optim.Optimizer<{ lr: number }> {
    constructor(params: Parameter[]) {
      super(params, {}, { lr: 1 });
    }
    protected override rule(): optim.Rule<{ lr: number }> {
      return {
        perParameter: (p) => p.size,
        scalars: { rate: ({ lr }, step, size) => (lr * size) / step },
        code: 'x -= rate * d; // as often as it likes',
      };
    }
  }
  const run = async (compiled: boolean) => {
    const params = [new Parameter(tensor([0])), new Parameter(tensor([0, 0]))];
    const optimizer = new Scaled(params);
    const body = () => {
      F.add(F.sum(params[0]), F.sum(params[1])).backward();
      optimizer.step();
      optimizer.zeroGrad();
    };
    const step = compiled ? compile(body) : body;
    for (let i = 0; i < 4; i++) step();
    return [...(await params[0].data()), ...(await params[1].data())];
  };
  const total = -(1 + 1 / 2 + 1 / 3 + 1 / 4);
  close(await run(false), [total, 2 * total, 2 * total], 1e-6);
  assert.equal(await run(true), await run(false));
});

test.run();
