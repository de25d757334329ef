// The backward pass: walks the recorded operations from the loss to the leaves, in the reverse order of their making.
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, insideModule } from '../tensor/context';
import { isFloat } from '../tensor/dtype';
import { copy, copyInto, evaluate } from '../tensor/elementwise';
import type { Memory } from '../tensor/memory';
import { computedDuring, owned } from '../tensor/memory';
import { bytesIn, isWhole } from '../tensor/rows';
import { sameShape, showShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { checkGradient } from './anomaly';
import { withoutAutocast } from './autocast';
import { castTo } from './cast';
import { watching } from './fields';
import { hooked } from './hooks';
import {
  enableGrad,
  memoriesIn,
  type Node,
  nextNode,
  type Rule,
  recordedSum,
  recordLinear,
  scopedNoGrad,
  sumOf,
  withoutHistory,
} from './tape';

const copied = (a: Tensor): Tensor =>
  evaluate({ name: 'gradient', expression: 'a', operands: { a }, shape: a.shape, result: a.dtype });

/** Adds to a leaf's `grad`, which is kept. A `fresh` gradient owns its memory alone and can be taken over. */
function accumulate(leaf: Tensor, gradient: Tensor, fresh: boolean): void {
  const before = leaf.grad;
  if (before && watching && !watching.has(before)) {
    // In a compiled step a gradient that was there before stays where it is: the next call finds it there.
    if (!isWhole(before))
      throw inputError(
        'compile',
        'a gradient set by hand is a view of other memory',
        { grad: before },
        'Set a clone().',
      );
    copyInto(before, sumOf(before, gradient));
    return;
  }
  leaf.grad = (before ? sumOf(before, gradient) : fresh ? gradient : copied(gradient)).keep();
  before?.dispose();
}

/** Refuses, before anything is launched, a graph whose memory was released, or of which a saved tensor was overwritten. */
function checkGraph(root: Tensor): void {
  const waiting: Node[] = root.gradNode ? [root.gradNode as Node] : [];
  const seen = new Set(waiting);
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    const { name, path, versions } = node;
    if (node.options.closed)
      throw inputError('backward', `no gradient passes '${name}'`, { output: node.shape }, node.options.closed);
    if (node.done)
      throw inputError(
        'backward',
        `the graph of '${name}' was used before and its memory released`,
        { output: node.shape },
        'Call backward({ retainGraph: true }) the first time.',
      );
    const overwritten = node.saved.find((t, i) => t.memory.version !== versions[i]);
    if (overwritten)
      throw inputError(
        'backward',
        `a tensor that '${name}'${path ? ` in ${path}` : ''} needs for its gradient was overwritten in place after it was used`,
        { overwritten },
        'Call backward() before optimizer.step(), or compute it from a clone().',
      );
    for (const { gradNode } of node.inputs) {
      const next = gradNode as Node | null;
      if (!next || seen.has(next)) continue;
      seen.add(next);
      waiting.push(next);
    }
  }
}

/** The gradients that a rule gave, each of the type of its input: rules compute in float32 where they like. */
function typed({ name, inputs, needs }: Node, gradients: ReturnType<Node['rule']>): ReturnType<Node['rule']> {
  return gradients.map((g, i) => {
    if (!g || !needs[i]) return g;
    const { dtype } = at(inputs, i);
    if (g.dtype === dtype) return g;
    if (isFloat(g.dtype)) return castTo(g, dtype);
    throw new InputError(`backward: '${name}' gave a gradient of ${g.dtype}; gradients are float32 or float16`);
  });
}

/** Hands a gradient on to a graph that a rule has recorded again, in the backward pass that runs. */
export let resume: (root: Tensor, gradient: Tensor) => void = () => {
  throw new InputError('resume: no backward pass is running');
};

/** Hands the gradient of one of several outputs to the operation, in the backward pass that runs. */
export let handOn: (node: Node, output: number, gradient: Tensor) => void = () => {
  throw new InputError('handOn: no backward pass is running');
};

/** What a backward pass does with the gradient of a leaf or of a tensor asked for. `fresh`: its memory may be taken over. */
type Receive = (target: Tensor, gradient: Tensor, fresh: boolean) => void;

/**
 * Walks the recorded operations from `root` in reverse. `wanted` are tensors that are no leaves but are to be received as well. What was
 * recorded before operation `since` counts as a leaf.
 */
function backwardFrom(
  root: Tensor,
  seed: Tensor,
  retainGraph: boolean,
  receive: Receive,
  wanted: ReadonlyMap<object, Tensor> = new Map(),
  since = 0,
  createGraph = false,
): void {
  const add = createGraph ? recordedSum : sumOf;
  const firstNew = nextNode();
  const gradients = new Map<Node, Tensor>();
  /** Of operations with several outputs. */
  const several = new Map<Node, Tensor[]>();
  const leaves = new Map<Tensor, Tensor>();
  const own = new Set<Memory>();
  const queue: Node[] = [];
  const queued = new Set<Node>();
  const nodeOf = ({ gradNode }: Tensor) => (gradNode && (gradNode as Node).id >= since ? (gradNode as Node) : null);
  /** The gradient that a tensor has so far. */
  const soFar = (target: Tensor): Tensor | undefined => {
    const node = nodeOf(target);
    return node ? gradients.get(node) : leaves.get(target);
  };
  /** `whole`: the gradient contains what there was before. */
  const enqueue = (target: Tensor, gradient: Tensor, made: boolean, whole = false) => {
    const node = nodeOf(target);
    const before = soFar(target);
    const total = before && !whole ? add(before, gradient) : gradient;
    if (!createGraph && (made || before)) own.add(total.memory);
    total.memory.holds++;
    if (node) gradients.set(node, total);
    else leaves.set(target, total);
    if (before) drop(before);
    if (node) visitLater(node);
  };
  const visitLater = (node: Node) => {
    if (queued.has(node)) return;
    queued.add(node);
    queue.push(node);
  };
  const drop = (gradient: Tensor) => {
    const { memory } = gradient;
    if (--memory.holds === 0 && own.has(memory) && memory.disposable) memory.release();
  };

  const visit = (node: Node): void => {
    const outputs = several.get(node);
    // biome-ignore lint/style/noNonNullAssertion: a node is queued with its gradient, or with one for an output; asked for every node of every pass
    const gradient = gradients.get(node) ?? outputs!.find(Boolean)!;
    gradients.delete(node);
    const first = node.options.onto && !createGraph && node.needs[0] ? node.inputs[0] : null;
    const onto = (first && soFar(first)) ?? null;
    const final = hooked(node, gradient);
    if (node.retained) accumulate(node.retained, final, false);
    const asked = wanted.get(node);
    if (asked) receive(asked, final, false);
    const { result, made: computed } = computedDuring(() =>
      insideModule(node.path, () =>
        withoutAutocast(() =>
          typed(
            node,
            createGraph
              ? differentiableRule(node)(final, node.needs, null, outputs)
              : node.rule(final, node.needs, onto, outputs),
          ),
        ),
      ),
    );
    // What a rule has recorded belongs to its nodes.
    const made = createGraph || node.options.recomputes ? [] : computed;
    for (const memory of made) own.add(memory);
    node.inputs.forEach((input, i) => {
      const g = result[i];
      if (!g || !node.needs[i]) return;
      if (!sameShape(g.shape, input.shape))
        throw new InputError(
          `backward: '${node.name}' gave a gradient of shape ${showShape(g.shape)} for an input of shape ${showShape(input.shape)}`,
        );
      checkGradient(node.name, node.path, i, g);
      enqueue(input, g, made.includes(g.memory), i === 0 && !!onto);
    });
    for (const memory of made) if (memory.holds === 0 && memory.disposable) memory.release();
    for (const g of outputs ?? [gradient]) if (g) drop(g);
    if (!node.options.lasting && (!retainGraph || (node.id >= firstNew && !createGraph))) node.finish();
  };

  enqueue(root, seed, false);
  const outer = { resume, handOn };
  resume = (target, gradient) => enqueue(target, gradient, false);
  handOn = (node, output, gradient) => {
    gradient.memory.holds++;
    const outputs = several.get(node) ?? [];
    outputs[output] = gradient;
    several.set(node, outputs);
    visitLater(node);
  };
  try {
    while (queue.length) {
      // The youngest node: all that used its output are older in the walk. Few nodes wait at a time, so a scan is enough.
      let youngest = at(queue, 0);
      for (const node of queue) if (node.id > youngest.id) youngest = node;
      queue.splice(queue.indexOf(youngest), 1);
      visit(youngest);
    }
  } finally {
    ({ resume, handOn } = outer);
  }
  for (const [leaf, gradient] of leaves) {
    const final = hooked(leaf, gradient);
    const { memory } = final;
    const whole = final.isContiguous && memory.live && memory.storage.bytes === bytesIn(final);
    const fresh = whole && own.has(memory) && memory.holds === 1 && memory.disposable;
    if (leaf.requiresGrad) receive(leaf, final, fresh);
    drop(gradient);
  }
}

/** The gradient rule whose results have a history. */
function differentiableRule(node: Node): Rule {
  const { name, path, options, rule } = node;
  if (options.differentiable) return options.differentiable;
  if (options.recomputes) return rule; // it hands the gradient on to operations that are recorded
  throw inputError(
    'createGraph',
    `'${name}'${path ? ` in ${path}` : ''} has no second derivative`,
    { result: node.shape },
    'Write it with other operations, or as a customFunction whose backward uses recorded operations.',
  );
}

/** What `backward` and `grad` take. */
export interface BackwardOptions {
  /** ∂(objective)/∂output, 1 by default; needed where the output has more than one element. */
  gradient?: Tensor;
  /** Keeps the graph for another backward pass; what `createGraph` is, by default. */
  retainGraph?: boolean;
  /** Records the gradients' own history, so that they can be differentiated again. */
  createGraph?: boolean;
}

const BACKWARD: OptionTable<BackwardOptions> = {
  gradient: is.tensor,
  retainGraph: is.flag,
  createGraph: is.flag,
};

/**
 * Fills `grad` of every leaf that `loss` was computed from, adding to what is there. `gradient` is ∂(objective)/∂loss, 1 by default, needed
 * when `loss` has more than one element. Releases what was recorded unless `retainGraph`. With `createGraph` each `grad` has a history and can be
 * differentiated in turn.
 */
export function backward(loss: Tensor, options: BackwardOptions = {}): void {
  const { gradient, createGraph = false, retainGraph = createGraph } = checked('backward', options, BACKWARD);
  checkRoot('backward', loss, gradient, createGraph);
  if (!createGraph) {
    scopedNoGrad(() => backwardFrom(loss, seedOf(loss, gradient), retainGraph, accumulate));
    return;
  }
  const leaves: Tensor[] = [];
  const receive: Receive = (leaf, g) => {
    leaf.grad = leaf.grad ? recordedSum(leaf.grad, g) : g;
    leaves.push(leaf.grad);
  };
  withHistory(() => {
    backwardFrom(loss, seedOf(loss, gradient), retainGraph, receive, undefined, 0, true);
    return leaves;
  });
}

/** Runs a backward pass that is recorded. What it computes goes with the graph, except the gradients. */
export const withHistory = <T>(body: () => T): T => owned(() => enableGrad(body), memoriesIn);

/**
 * Gradients of `output` for `inputs`, leaves or computed, as `torch.autograd.grad`: nothing is added to any `grad`. `gradient` is
 * ∂(objective)/∂output, 1 by default. Null for an input that `output` does not depend on. With `createGraph` the gradients have a history, so that
 * a loss may contain them:
 *
 *     const [g] = grad(critic.forward(x).sum(), [x], { createGraph: true });
 *     g!.square().sum(1).sqrt().sub(1).square().mean().backward();
 *
 * Throws InputError that names the operation where one has no second derivative.
 */
export function grad(output: Tensor, inputs: readonly Tensor[], options: BackwardOptions = {}): (Tensor | null)[] {
  return gradSince(0, output, inputs, checked('grad', options, BACKWARD));
}

/** `grad` as far back as operation `since`: tensors computed before it count as leaves, and their graph stays. */
export function gradSince(
  since: number,
  output: Tensor,
  inputs: readonly Tensor[],
  { gradient, createGraph = false, retainGraph = createGraph }: BackwardOptions = {},
): (Tensor | null)[] {
  checkRoot('grad', output, gradient, createGraph);
  const found = new Map<Tensor, Tensor>();
  const wanted = new Map(inputs.flatMap((x) => (x.gradNode ? [[x.gradNode, x] as const] : [])));
  const receive: Receive = (target, g) => {
    if (inputs.includes(target)) found.set(target, createGraph ? g : copied(g));
  };
  const scoped = createGraph ? withHistory : scopedNoGrad;
  return scoped(() => {
    backwardFrom(output, seedOf(output, gradient), retainGraph, receive, wanted, since, createGraph);
    return inputs.map((x) => found.get(x) ?? null);
  });
}

/** A gradient rule for `createGraph` from what the operation is: `definition` computes it from the same inputs in recorded operations. */
export const byDefinition =
  (inputs: readonly Tensor[], definition: (...inputs: Tensor[]) => Tensor): Rule =>
  (gradient, needs) => {
    // Views of the inputs, so that the pass stops there and the result depends on the inputs themselves.
    const own = inputs.map((x) => recordLinear('input', x, withoutHistory, withoutHistory));
    const since = nextNode();
    const y = definition(...own);
    const wanted = own.filter((_, i) => needs[i]);
    const found = gradSince(since, y, wanted, { gradient, createGraph: true });
    return own.map((x) => found[wanted.indexOf(x)]);
  };

/** What a backward pass begins with, in the type of the root: ones, or the given gradient. */
function seedOf(root: Tensor, gradient?: Tensor): Tensor {
  if (!gradient)
    return evaluate({ name: 'ones', expression: '1.0', operands: {}, shape: root.shape, result: root.dtype });
  return gradient.dtype === root.dtype ? gradient : copy(gradient, root.dtype);
}

/** The first operation recorded by the function of the outermost `jvp`; infinite outside of one. */
let pushedSince = Infinity;

/** Whether the function of a `jvp` runs. */
export const isPushing = (): boolean => pushedSince < Infinity;

/** Runs a function that `jvp` pushes tangents through. Gradients taken inside of it need a history, or their tangents would be zeros in silence. */
export function pushing<T>(body: () => T): T {
  const outer = pushedSince;
  pushedSince = Math.min(outer, nextNode());
  try {
    return enableGrad(body);
  } finally {
    pushedSince = outer;
  }
}

/** Refuses what no backward pass can begin with. */
function checkRoot(op: string, loss: Tensor, gradient: Tensor | undefined, createGraph: boolean): void {
  if (!createGraph && loss.gradNode && (loss.gradNode as Node).id >= pushedSince)
    throw inputError(
      op,
      'a gradient taken inside the function of a jvp has no tangent without its history',
      { loss },
      'Pass { createGraph: true }, or take the gradient outside of jvp.',
    );
  if (!loss.requiresGrad)
    throw inputError(
      op,
      'this tensor was computed from nothing that requires a gradient, or under noGrad',
      { loss },
      'Use parameters, or tensor(data, { requiresGrad: true }).',
    );
  if (!gradient && loss.size !== 1)
    throw inputError(
      op,
      `the loss has ${loss.size} elements`,
      { loss },
      'Reduce it to one number (mean, sum) or pass { gradient } of its shape.',
    );
  if (gradient) requireTensors(op, { gradient });
  if (gradient && !sameShape(gradient.shape, loss.shape))
    throw inputError(
      op,
      'the gradient does not have the shape of the loss',
      { gradient, loss },
      'It is ∂(objective)/∂loss, element by element.',
    );
  checkGraph(loss);
}
