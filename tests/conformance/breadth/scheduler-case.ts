// Runs the scheduler cases of ../shared/torch-breadth: rates, momenta and state of learning-rate schedulers.
import { Parameter } from '../../../src/nn/parameter';
import * as optim from '../../../src/optim';
import { tensor } from '../../../src/tensor/create';
import { numberOf, type Value } from '../case';
import { type Attributes, type Case, Missing, options } from './case';
import { makeOptimizer } from './optimizer-case';

/** The arguments that are positional, in PyTorch's order. */
const POSITIONAL: Record<string, string[]> = {
  StepLR: ['step_size'],
  MultiStepLR: ['milestones'],
  ExponentialLR: ['gamma'],
  CosineAnnealingLR: ['T_max'],
  CosineAnnealingWarmRestarts: ['T_0'],
  CyclicLR: ['base_lr', 'max_lr'],
  OneCycleLR: ['max_lr'],
  LambdaLR: ['lr_lambda'],
  MultiplicativeLR: ['lr_lambda'],
};
/** Keywords whose camel case is no plain one. */
const KEYWORDS: Record<string, string> = { T_mult: 'tMult' };

type AnyScheduler = optim.LRScheduler | optim.ReduceLROnPlateau;
// biome-ignore lint/suspicious/noExplicitAny: constructors differ
const classes = optim as unknown as Record<string, new (...args: any[]) => AnyScheduler>;

const lambda = (table: Attributes): unknown =>
  Array.isArray(table) ? table.map(lambda) : (epoch: number) => (table.table as number[])[epoch];

function makeScheduler({ name, schedulers, milestones, ...given }: Attributes, optimizer: unknown): AnyScheduler {
  const Class = classes[name];
  if (!Class) throw new Missing(`optim.${name}`);
  const inner = schedulers?.map((s: Attributes) => makeScheduler(s, optimizer));
  if (name === 'SequentialLR') return new Class(optimizer, inner, milestones);
  if (name === 'ChainedScheduler') return new Class(inner, { optimizer });
  const all: Attributes = { ...given, ...(milestones && { milestones }) };
  const first = (POSITIONAL[name] ?? []).map((key) => (key === 'lr_lambda' ? lambda(all[key]) : all[key]));
  const rest = Object.entries(all).filter(([key]) => !POSITIONAL[name]?.includes(key));
  const o = options(Object.fromEntries(rest.filter(([key]) => !KEYWORDS[key])));
  for (const [key, value] of rest) if (KEYWORDS[key]) o[KEYWORDS[key]] = value;
  return new Class(optimizer, ...first, ...(Object.keys(o).length ? [o] : []));
}

const near = (got: number, want: number) =>
  Object.is(got, want) || Math.abs(got - want) <= 1e-9 * Math.abs(want) + 1e-12;

/** The problem with a scheduler, or null. */
export async function runScheduler(c: Case): Promise<string | null> {
  const { groups, ...given } = c.optimizer as Attributes;
  const params = groups.map((group: Attributes) => ({ ...options(group), params: [new Parameter(tensor([1]))] }));
  const optimizer = makeOptimizer(given, params);
  const scheduler = makeScheduler(c.scheduler, optimizer);
  const { lr, momentum, beta1, state } = c.expect as Attributes;
  for (let t = 0; t <= c.steps; t++) {
    if (t) {
      if (scheduler instanceof optim.ReduceLROnPlateau) scheduler.step(c.metrics[t - 1]);
      else scheduler.step();
    }
    for (const [i, group] of (optimizer.groups as unknown as Attributes[]).entries())
      for (const [name, list, got] of [
        ['lr', lr, group.lr],
        ['momentum', momentum, group.momentum],
        ['beta1', beta1, group.betas?.[0]],
      ])
        if (list && !near(got, list[t][i])) return `${name}[${t}][${i}] is ${got}, expected ${list[t][i]}`;
  }
  const own = scheduler.stateDict();
  for (const [name, want] of Object.entries((state ?? {}) as Record<string, Value>))
    if (!near(own[name] as number, numberOf(want))) return `state ${name} is ${own[name]}, expected ${want}`;
  return null;
}
