// Runs straight-line programs and module calls of ../shared/torch-breadth: values, gradients, gradients of gradients, buffers.
import { backward, grad } from '../../../src/autograd/backward';
import type { Module } from '../../../src/nn/module';
import { add, mul } from '../../../src/ops/elementwise';
import { sum } from '../../../src/ops/reduce';
import { Tensor } from '../../../src/tensor/tensor';
import type { Attributes, Case, Gradients, Named, Names, Step, Stored } from './case';
import { firstDifference, load, Missing, options } from './case';
import { modules } from './modules';
import { operations } from './operations';

/** What an operation takes: tensors, lists of them, null for an absent one. */
export type Arguments = (Tensor | null | Arguments)[];
type Values = Map<string, Tensor>;

const look = (values: Values, names: Names): Arguments =>
  names.map((name) => (name === null ? null : Array.isArray(name) ? look(values, name) : values.get(name)!));

/** Notes results under their names, which may be nested as tuples are. */
function note(values: Values, names: Names, results: unknown): void {
  const list = results instanceof Tensor ? [results] : (results as unknown[]);
  for (const [i, name] of names.entries()) {
    if (Array.isArray(name)) note(values, name, list[i]);
    else if (name !== null) {
      if (!(list[i] instanceof Tensor)) throw new Error(`there is no result number ${i} (${name})`);
      values.set(name, list[i] as Tensor);
    }
  }
}

async function runStep(step: Step, values: Values): Promise<void> {
  const { op, attrs, kw = {} } = step;
  const inputs = look(values, step.in);
  if (op === 'grad') {
    const wrt = look(values, attrs.wrt) as Tensor[];
    const gradient = attrs.grad_outputs ? values.get(attrs.grad_outputs) : undefined;
    note(values, step.out, grad(inputs[0] as Tensor, wrt, { gradient, createGraph: true } as never));
    return;
  }
  const run = operations[op];
  if (!run) throw new Missing(op);
  const named = op === 'index' ? attrs : options(attrs);
  const keywords = Object.fromEntries(Object.entries(kw).map(([name, value]) => [name, values.get(value)]));
  const lookUp = (name: string) => values.get(name);
  note(values, step.out, await run(inputs as never[], { ...named, ...options(keywords as Attributes) }, lookUp));
}

/** Σ upstream · output over the outputs, and its gradients. */
function differentiate(upstream: Gradients['upstream'], values: Values): void {
  const terms = Object.entries(upstream)
    .filter(([output]) => values.get(output)!.requiresGrad)
    .map(([output, weight]) => sum(mul(values.get(output)!, values.get(weight)!)));
  if (terms.length) backward(terms.reduce((a, b) => add(a, b)));
}

function loadInputs(inputs: Named, grad: Gradients | undefined): Values {
  const wanted = new Set(Object.keys(grad?.expect ?? {}));
  return new Map(Object.entries(inputs).map(([name, stored]) => [name, load(stored, wanted.has(name))]));
}

/** The problem with a program, or null. */
export async function runProgram(c: Case): Promise<string | null> {
  const gradients = c.grad as Gradients | undefined;
  const wrt = (c.steps as Step[]).flatMap(({ attrs }) => (attrs.wrt as string[]) ?? []);
  const values = loadInputs(c.inputs, gradients);
  for (const name of wrt) if (c.inputs[name]) values.get(name)!.requiresGrad = true;
  const leaves = new Map(values);
  for (const step of c.steps as Step[]) await runStep(step, values);
  const problem = await firstDifference(c.expect, (name) => values.get(name));
  if (problem || !gradients) return problem;
  differentiate(gradients.upstream, values);
  return firstDifference(gradients.expect, (name) => leaves.get(name)!.grad, 'gradient of ');
}

/** The problem with a call of a module, or null. */
export async function runModule(c: Case): Promise<string | null> {
  const { name, args, training } = c.module as { name: string; args: Attributes; training: boolean };
  const make = modules[name];
  if (!make) throw new Missing(name);
  const gradients = c.grad as Gradients | undefined;
  const values = loadInputs(c.inputs, gradients);
  const leaves = new Map(values);
  const module = make(options(args)) as Module;
  module.train(training);
  const weights = Object.entries(c.weights as Named).map(([key, stored]) => [key, load(stored)] as const);
  module.loadStateDict(Object.fromEntries(weights));
  const { attrs = {}, kw = {} } = c.call as { attrs?: Attributes; kw?: Record<string, string> };
  const keywords = Object.fromEntries(Object.entries(kw).map(([key, value]) => [key, values.get(value)]));
  const extra = { ...options(attrs), ...options(keywords as Attributes) };
  const inputs = look(values, c.call.in);
  const call = module.forward as (...inputs: unknown[]) => unknown;
  note(values, c.call.out, call.apply(module, Object.keys(extra).length ? [...inputs, extra] : inputs));
  const [outputs, buffers] = [{ ...c.expect }, {} as Record<string, Stored>];
  for (const key of Object.keys(outputs))
    if (key.startsWith('buffer.')) {
      buffers[key.slice('buffer.'.length)] = outputs[key];
      delete outputs[key];
    }
  const dict = module.stateDict();
  let problem = await firstDifference(outputs, (key) => values.get(key));
  problem ??= await firstDifference(buffers, (key) => dict[key], 'buffer ');
  if (problem || !gradients) return problem;
  differentiate(gradients.upstream, values);
  problem = await firstDifference(gradients.expect, (key) => leaves.get(key)!.grad, 'gradient of ');
  return problem ?? firstDifference(gradients.weights ?? {}, (key) => dict[key].grad, 'gradient of ');
}
