// Runs the optimizer cases of ../shared/torch-breadth: paths of parameters, state, and the options of groups.
import { backward } from '../../../src/autograd/backward';
import { Parameter } from '../../../src/nn/parameter';
import { mul, sub } from '../../../src/ops/elementwise';
import { concat } from '../../../src/ops/join';
import { matmul } from '../../../src/ops/matmul';
import { sum } from '../../../src/ops/reduce';
import { narrow, reshape } from '../../../src/ops/views';
import * as optim from '../../../src/optim';
import { hostValues } from '../../../src/tensor/create';
import type { Tensor } from '../../../src/tensor/tensor';
import type { Attributes, Case, Named, Stored } from './case';
import { camel, difference, load, Missing, options } from './case';

interface Update {
  grads?: Record<string, Stored | null>;
  expect?: Named;
  expect_state?: Record<string, Record<string, Stored | null>> | Record<string, number>;
  expect_loss?: number;
  tol_loss?: number;
}

type AnyOptimizer = optim.Optimizer<{ lr: number }>;
const classes = optim as unknown as Record<string, new (params: unknown, options: Attributes) => AnyOptimizer>;

/** The optimizer of a case. */
export function makeOptimizer({ name, ...given }: Attributes, params: unknown): AnyOptimizer {
  const Class = classes[name];
  if (!Class) throw new Missing(`optim.${name}`);
  const { groups: _, ...rest } = given;
  return new Class(params, options(rest));
}

/** PyTorch's names of state where the framework's are others. */
const STATE: Record<string, string> = { momentumBuffer: 'momentum' };

/** The problem with what is kept for a parameter; numbers stand in every element of a tensor, as its first one tells. */
async function stateProblem(
  optimizer: AnyOptimizer,
  steps: number,
  p: Parameter,
  want: Record<string, Stored | null>,
): Promise<string | null> {
  const kept = optimizer.stateOf(p);
  for (const [name, stored] of Object.entries(want)) {
    if (!stored) continue;
    if (name === 'step') {
      if (steps !== Number(stored.data[0])) return `step is ${steps}, expected ${stored.data[0]}`;
      continue;
    }
    const own = kept.get(STATE[camel(name)] ?? camel(name));
    const got =
      own && !stored.shape.length && own.ndim ? reshape(narrow(reshape(own.detach(), [own.size]), 0, 0, 1), []) : own;
    if (!got) return `there is no state '${name}'`;
    const problem = await difference(name, got, stored);
    if (problem) return problem;
  }
  return null;
}

function groupProblem(optimizer: AnyOptimizer, want: Attributes[], params: Parameter[]): string | null {
  for (const [i, { params: indices, ...expected }] of want.entries()) {
    const group = optimizer.groups[i] as unknown as Attributes & { params: Parameter[] };
    const positions = group.params.map((p) => params.indexOf(p));
    if (positions.join() !== indices.join()) return `group ${i} has the parameters ${positions}`;
    for (const [name, value] of Object.entries(options(expected)))
      if (JSON.stringify(group[name]) !== JSON.stringify(value))
        return `groups[${i}].${name} is ${JSON.stringify(group[name])}, expected ${JSON.stringify(value)}`;
  }
  return null;
}

/** The problem with an optimizer, or null. */
export async function runOptimizer(c: Case): Promise<string | null> {
  const params = Object.fromEntries(
    Object.entries(c.params as Named).map(([name, stored]) => [name, new Parameter(load(stored))]),
  );
  const groups = (c.groups as Attributes[] | undefined)?.map(({ params: names, ...own }) => ({
    ...options(own),
    params: names.map((name: string) => params[name]),
  }));
  const optimizer = makeOptimizer(c.optimizer, groups ?? Object.values(params));
  const order = ((c.param_order as string[] | undefined) ?? Object.keys(params)).map((name) => params[name]);
  for (const [k, update] of (c.updates as Update[]).entries()) {
    const at = `update ${k + 1}: `;
    if (optimizer instanceof optim.LBFGS) {
      const loss = await optimizer.step(() => {
        optimizer.zeroGrad();
        const value = quadratic(c.loss, Object.values(params));
        backward(value);
        return value;
      });
      const got = await loss.item();
      if (!(Math.abs(got - update.expect_loss!) <= update.tol_loss!))
        return `${at}the loss is ${got}, expected ${update.expect_loss}`;
      const counters = { n_iter: optimizer.iterations, func_evals: optimizer.evaluations };
      for (const [name, want] of Object.entries(update.expect_state ?? {}))
        if (counters[name as keyof typeof counters] !== want)
          return `${at}${name} is not ${want}: ${JSON.stringify(counters)}`;
    } else {
      for (const [name, stored] of Object.entries(update.grads!)) params[name].grad = stored && load(stored);
      optimizer.step();
      optimizer.zeroGrad();
    }
    for (const [name, want] of Object.entries(update.expect ?? {})) {
      const problem = await difference(at + name, params[name], want);
      if (problem) return problem;
    }
    if (optimizer instanceof optim.LBFGS) continue;
    const steps = optimizer.stateDict().steps;
    for (const [name, want] of Object.entries(update.expect_state ?? {})) {
      const index = [...optimizer.parameters()].indexOf(params[name]);
      const problem = await stateProblem(optimizer, hostValues(steps)![index], params[name], want as never);
      if (problem) return `${at}${name}: ${problem}`;
    }
  }
  return c.expect_param_groups ? groupProblem(optimizer, c.expect_param_groups, order) : null;
}

/** wᵀAw / 2 − b · w of all parameters in a row. */
function quadratic({ A, b }: { A: Stored; b: Stored }, params: Parameter[]): Tensor {
  const w = concat(params as Tensor[], 0);
  return sub(mul(sum(mul(w, matmul(load(A), w))), 0.5), sum(mul(load(b), w)));
}
