// Runs an optimizer case of the conformance schema. Variants that the framework has no option for are expressed by its learning rate, eps
// and initial buffers where the formulas agree.

import { backward } from '../../src/autograd/backward';
import { Parameter } from '../../src/nn/parameter';
import { add, exp, mul, square, sub } from '../../src/ops/elementwise';
import { linear, matmul } from '../../src/ops/matmul';
import { mean, sum } from '../../src/ops/reduce';
import { Adagrad } from '../../src/optim/adagrad';
import { Adam } from '../../src/optim/adam';
import { Adamax } from '../../src/optim/adamax';
import type { Optimizer } from '../../src/optim/optimizer';
import { RMSprop } from '../../src/optim/rmsprop';
import { SGD } from '../../src/optim/sgd';
import { full, tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { strided } from '../../src/tensor/tensor';
import type { OptimizerCase, StoredTensor, Update } from './case';
import { load, NotApplicable } from './case';
import { difference } from './compare';
import type { Outcome } from './outcome';
import { outcomeOf } from './outcome';

type Parameters = Record<string, Parameter>;
// biome-ignore lint/suspicious/noExplicitAny: losses bring fields of their own
type Loss = Record<string, any>;

const losses: Record<string, (loss: Loss, p: Parameters) => Tensor> = {
  linear_sum: ({ x }, p) => sum(add(matmul(load(x), p.weight), p.bias)),
  linear_sse: ({ x, y }, p) => {
    const target = load(y);
    const out = linear(load(x), p.weight, p.bias);
    return sum(square(sub(out, strided(target, out.shape, out.strides))));
  },
  quadratic: ({ target }, { p }) => sum(square(sub(p, target))),
  mean_scaled: ({ rate }, { p }) => mean(mul(p, rates(rate, p))),
  mean_square_scaled: ({ rate }, { p }) => mean(square(mul(p, rates(rate, p)))),
  sum_square_scaled: ({ rate }, { p }) => sum(square(mul(p, rates(rate, p)))),
  mean_exp_square: (_, { p }) => mean(square(exp(p))),
};
const rates = (rate: StoredTensor | number[] | number, p: Tensor): Tensor | number =>
  typeof rate === 'number' ? rate : Array.isArray(rate) ? tensor(rate, { shape: p.shape }) : load(rate);

interface Trainer {
  optimizer: Optimizer<{ lr: number }>;
  /** The schema's names of buffers in the framework's. */
  buffers: Record<string, string>;
  /** Called before step t = 1, 2, … */
  before?: (t: number) => void;
}

function trainer(o: OptimizerCase['optimizer'], params: Parameter[]): Trainer {
  const { lr, eps, momentum = 0, decoupled_weight_decay, beta1, beta2 } = o;
  const weightDecay = decoupled_weight_decay ?? o.weight_decay ?? 0;
  const common = { lr, weightDecay, decoupledWeightDecay: decoupled_weight_decay !== undefined };
  if (o.weight_decay && decoupled_weight_decay) throw new NotApplicable('both kinds of weight decay at once');
  switch (o.name) {
    case 'sgd': {
      const { nesterov = false, dampening = 0 } = o;
      return { optimizer: new SGD(params, { ...common, momentum, nesterov, dampening }), buffers: { buf: 'momentum' } };
    }
    case 'adam': {
      const optimizer = new Adam(params, { ...common, betas: [beta1, beta2], eps, amsgrad: o.amsgrad ?? false });
      const [group] = optimizer.groups;
      // eps beside √v instead of √v̂ is eps / √(1 − β₂ᵗ); without bias correction the rate makes up for the rest.
      const modes: Record<string, (t: number) => void> = {
        torch: () => undefined,
        hat: (t) => (group.eps = eps / Math.sqrt(1 - beta2 ** t)),
        no_bias_correction: (t) => {
          if (common.decoupledWeightDecay) throw new NotApplicable('decoupled weight decay without bias correction');
          group.eps = eps / Math.sqrt(1 - beta2 ** t);
          group.lr = (lr * (1 - beta1 ** t)) / Math.sqrt(1 - beta2 ** t);
        },
      };
      const before = modes[o.eps_mode ?? 'torch'];
      if (!before) throw new NotApplicable(`adam with eps_mode ${o.eps_mode}`);
      return { optimizer, buffers: { m: 'expAvg', v: 'expAvgSq', vm: 'maxExpAvgSq' }, before };
    }
    case 'adamax': {
      const optimizer = new Adamax(params, { lr, betas: [beta1, beta2], eps, weightDecay });
      const before = (t: number) => (optimizer.groups[0].lr = lr / (1 + (o.decay ?? 0) * (t - 1)));
      return { optimizer, buffers: { m: 'expAvg', u: 'expInf' }, before };
    }
    case 'adagrad': {
      const { initial_accumulator: start = 0, lr_decay: lrDecay = 0 } = o;
      const inside = o.eps_mode === 'inside_sqrt'; // √(a + eps) is the root of sums that start with eps
      const options = {
        lr,
        lrDecay,
        weightDecay,
        initialAccumulatorValue: inside ? start + eps : start,
        eps: inside ? 0 : eps,
      };
      return { optimizer: new Adagrad(params, options), buffers: { a: 'sum' } };
    }
    case 'rmsprop': {
      // The rate inside of the momentum buffer is the same as outside while it does not change.
      const { alpha, centered = false } = o;
      const epsInside = o.eps_mode === 'inside_sqrt';
      const optimizer = new RMSprop(params, { ...common, alpha, eps, momentum, centered, epsInside });
      if (o.initial_square_avg)
        optimizer.loadStateDict(
          Object.fromEntries(params.map((p, i) => [`${i}.squareAvg`, full(p.shape, o.initial_square_avg)])),
          0,
        );
      return { optimizer, buffers: { v: 'squareAvg', g: 'gradAvg', b: 'momentum' } };
    }
    default:
      throw new NotApplicable(`there is no optimizer '${o.name}'`);
  }
}

/** Puts the state that a case starts with into the buffers, and the count of steps. */
function restore({ optimizer, buffers }: Trainer, c: OptimizerCase, names: string[]): void {
  if (!c.state) return;
  const dict: Record<string, Tensor> = {};
  let steps = 0;
  names.forEach((name, i) => {
    for (const [key, value] of Object.entries(c.state![name] ?? {}))
      if (typeof value === 'number') steps = value;
      else dict[`${i}.${buffers[key]}`] = load(value);
  });
  optimizer.loadStateDict(dict, steps);
}

function setGradients(update: Update, params: Parameters): void {
  const { loss, grads } = update;
  if (grads) for (const [name, stored] of Object.entries(grads)) params[name].grad = load(stored);
  else {
    const objective = losses[loss!.kind];
    if (!objective) throw new NotApplicable(`there is no loss '${loss!.kind}'`);
    backward(objective(loss!, params));
  }
}

export const runOptimizer = async (c: OptimizerCase): Promise<Outcome[]> => [
  await outcomeOf(c, 'forward', async () => {
    const names = Object.keys(c.params);
    const params = Object.fromEntries(names.map((name) => [name, new Parameter(load(c.params[name]))]));
    const run = trainer(c.optimizer, Object.values(params));
    const { optimizer, buffers, before } = run;
    restore(run, c, names);
    for (const [k, update] of c.updates.entries()) {
      for (let i = 0; i < (update.repeat ?? 1); i++) {
        setGradients(update, params);
        before?.(optimizer.steps + 1);
        optimizer.step();
        optimizer.zeroGrad();
      }
      const checks = [
        ...Object.entries(update.expect ?? {}).map(([name, want]) => ({
          what: name,
          got: params[name] as Tensor,
          want,
        })),
        ...Object.entries(update.expect_state ?? {}).flatMap(([name, states]) =>
          Object.entries(states).map(([key, want]) => {
            const got = optimizer.stateOf(params[name]).get(buffers[key])!;
            return { what: `${name}.${key}`, got, want };
          }),
        ),
      ];
      for (const { what, got, want } of checks) {
        const problem = await difference(`update ${k + 1}: ${what}`, got, want, c.tolerance);
        if (problem) return problem;
      }
    }
    return null;
  }),
];
