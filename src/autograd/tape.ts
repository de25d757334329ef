// The tape: a node for each recorded operation, with its gradient rules, and the modes that record or do not. backward.ts walks it.
import { modulePath } from '../tensor/context';
import { isFloat } from '../tensor/dtype';
import { evaluate } from '../tensor/elementwise';
import { Graph, tick, using } from '../tensor/held';
import type { Memory } from '../tensor/memory';
import { owned, safePoint } from '../tensor/memory';
import type { GradientNode } from '../tensor/tensor';
import { strided, Tensor } from '../tensor/tensor';
import { checkResult } from './anomaly';
import { Mode } from './modes';

/** Gradients for the inputs, from those of the outputs; null where an input needs none. */
export type Rule = (
  gradient: Tensor,
  needs: readonly boolean[],
  /** For rules that add up themselves (`onto`): the gradient that the first input has from elsewhere, contained in what they give for it. */
  onto?: Tensor | null,
  /** Of an operation with several outputs: the gradient of each, nothing where an output was not used. */
  outputs?: readonly (Tensor | undefined)[],
) => readonly (Tensor | null | undefined | false)[];

let sequence = 0;
/** Whether operations are recorded: the answer of the innermost `noGrad` or `enableGrad` that runs. */
const recording = new Mode(true);

/**
 * The tangent of an operation's result from those of its inputs, null for zero: its Jacobian times them (forward mode). Null where the gradient
 * rule for second derivatives, transposed, is to serve.
 */
export type PushForward = (...tangents: (Tensor | null)[]) => Tensor | null;

/** What the nodes of an operation with several outputs share: the shapes of these, and in forward mode their tangents. */
export interface Several {
  readonly shapes: readonly (readonly number[])[];
  tangents: readonly Tensor[];
}

/** An operation whose Jacobian is symmetric, as that of every elementwise function: its gradient rule is its push-forward. */
export const SYMMETRIC = 'symmetric';

interface NodeOptions {
  /** The rule adds to the gradient that its first input has from elsewhere, which saves a launch and its traffic. */
  onto?: boolean;
  /** Without it `jvp` refuses the operation. */
  push?: PushForward | typeof SYMMETRIC;
  /** The rule records its operation again and hands the gradient on to that record with `resume`. */
  recomputes?: boolean;
  /** The gradient rule in recorded operations, for `createGraph`; its tensors are saved ones. Without it a second derivative is refused. */
  differentiable?: Rule;
  /**
   * One of the nodes that an operation with several outputs consists of, with what they share: the gradient passes between them by `handOn`, in a
   * backward pass alone, tangents lie in `tangents`.
   */
  several?: Several;
  /** Which of the outputs the node is that of; of the operation's own node none. */
  output?: number;
  /** It has nothing to release, and stays for the passes from its other outputs. */
  lasting?: boolean;
  /** Why no gradient can pass, and what to do: `backward` refuses a graph with such a node before it launches anything. */
  closed?: string;
}

/** One recorded operation: its inputs, what its gradient rule reads, and the rule. Finished, it holds nothing. */
export class Node implements GradientNode {
  readonly id = sequence++;
  readonly path = modulePath();
  readonly versions: number[];
  readonly needs: boolean[];
  /** The operations that it hangs together with. */
  readonly graph: Graph;
  retained: Tensor | null = null;
  done = false;

  constructor(
    readonly name: string,
    public inputs: readonly Tensor[],
    readonly shape: readonly number[],
    public saved: readonly Tensor[],
    public rule: Rule,
    public options: NodeOptions,
  ) {
    this.versions = saved.map((t) => t.memory.version);
    this.needs = inputs.map((t) => t.requiresGrad);
    this.graph = joined(inputs);
    for (const { memory } of saved) {
      memory.pins++;
      memory.graph = this.graph;
    }
  }

  /** Releases what only this node needed, and lets go of the nodes before it. */
  finish(): void {
    if (this.done) return;
    this.done = true;
    for (const { gradNode, memory } of this.inputs) if (gradNode && !memory.detached) memory.consumed = true;
    for (const { memory } of this.saved) memory.unpin();
    this.inputs = this.saved = [];
    this.rule = finished;
    this.options = {};
  }
}

const finished: Rule = () => [];

/** The graph that an operation on these inputs belongs to. */
function joined(inputs: readonly Tensor[]): Graph {
  let graph: Graph | null = null;
  for (const { gradNode } of inputs) {
    if (!gradNode) continue;
    const other = (gradNode as Node).graph;
    graph = graph ? graph.join(other) : other.root();
  }
  graph ??= new Graph();
  using(graph);
  return graph;
}

/** Whether operations are being recorded. */
export const isRecording = (): boolean => recording.get();

/**
 * The nodes behind `output` that were recorded since `sequence` was `since`, oldest first, and the tensors with gradients that they take from
 * outside.
 */
export function recordedSince(since: number, output: Tensor): { nodes: Node[]; sources: Tensor[] } {
  const nodes = new Set<Node>();
  const sources = new Set<Tensor>();
  const visit = (x: Tensor): void => {
    const node = x.gradNode as Node | null;
    if (!node || node.id < since) {
      if (x.requiresGrad) sources.add(x);
    } else if (!nodes.has(node)) {
      nodes.add(node);
      node.inputs.forEach(visit);
    }
  };
  visit(output);
  return { nodes: [...nodes].sort((a, b) => a.id - b.id), sources: [...sources] };
}

/** The number of the next operation to be recorded. */
export const nextNode = (): number => sequence;

/** Whether an operation on these inputs must be recorded. Every differentiable operation asks, so garbage is looked for here. */
export function needsGradient(...inputs: readonly Tensor[]): boolean {
  safePoint();
  return inputs.some((t) => t.requiresGrad) && recording.get();
}

/**
 * Records how `output` came from `inputs`. `saved` lists every tensor that `rule` reads later, so that overwriting one is noticed.
 * Returns `output`.
 */
export function record(
  name: string,
  inputs: readonly Tensor[],
  output: Tensor,
  saved: readonly Tensor[],
  rule: Rule,
  options: NodeOptions = {},
): Tensor {
  if (needsGradient(...inputs) && isFloat(output.dtype)) {
    output.requiresGrad = true;
    output.gradNode = new Node(name, inputs, output.shape, saved, rule, options);
    checkResult(name, inputs, output);
  }
  return output;
}

/** An object literal, one without a prototype, or one of another realm. */
export function isPlain(x: unknown): x is object {
  if (!x || typeof x !== 'object') return false;
  const prototype = Object.getPrototypeOf(x);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Records a linear operation of one tensor: applied to a tangent it is its own push-forward. `adjoint` is its gradient rule, which is linear as
 * well and has `apply` for its own. `saved` are other tensors that both read, such as an index.
 */
export const recordLinear = (
  name: string,
  x: Tensor,
  apply: (x: Tensor) => Tensor,
  adjoint: (gradient: Tensor) => Tensor,
  saved: readonly Tensor[] = [],
): Tensor => {
  const y = apply(x);
  // What has nothing to do gives its input: a record of its own needs a tensor of its own.
  return record(name, [x], y === x ? withoutHistory(x) : y, saved, (g) => [adjoint(g)], {
    push: (t) => apply(sumOfAll(t)),
    differentiable: (g) => [recordLinear(name, g, adjoint, apply, saved)],
  });
};

/** a + b, recorded: what adds up gradients that have a history. */
export const recordedSum = (a: Tensor, b: Tensor): Tensor =>
  record('accumulate gradient', [a, b], sumOf(a, b), [], (g) => [g, g], {
    push: (s, t) => sumOfAll(s, t),
    differentiable: (g) => [g, g],
  });

/** Every tensor in a result: a tensor, or arrays and plain objects of them. */
export function* tensorsIn(value: unknown): Iterable<Tensor> {
  if (value instanceof Tensor) yield value;
  else if (Array.isArray(value)) for (const item of value) yield* tensorsIn(item);
  else if (isPlain(value)) for (const item of Object.values(value)) yield* tensorsIn(item);
}

/** The memory of every tensor in a result. */
export function* memoriesIn(value: unknown): Iterable<Memory> {
  for (const tensor of tensorsIn(value)) yield tensor.memory;
}

/**
 * Runs `body` without recording, as `torch.no_grad()`. An async function is followed through its awaits: what runs in the meantime records as
 * before. (Not in browsers, which cannot follow it: there it is refused.)
 */
export function noGrad<T>(body: () => T): T {
  try {
    return recording.run('noGrad', false, body);
  } finally {
    tick(false);
  }
}

/** Runs `body` with recording on again, inside `noGrad`. */
export const enableGrad = <T>(body: () => T): T => recording.run('enableGrad', true, body);

/** `noGrad` for the engine's own use, on behalf of `op`. */
export const unrecorded = <T>(op: string, body: () => T): T => recording.run(op, false, body);

/** The same, and what it computes is released at the end, except what it returns. */
export const scopedNoGrad = <T>(body: () => T): T => owned(() => unrecorded('noGrad', body), memoriesIn);

/** The same values without history: gradients stop here. Shares memory. */
export function detach(x: Tensor): Tensor {
  x.memory.detached = true;
  x.memory.consumed = false;
  return withoutHistory(x);
}

/** `detach` for the engine's own use. */
export const withoutHistory = (x: Tensor): Tensor => strided(x, x.shape, x.strides);

/** a + b, for gradients. */
export const sumOf = (a: Tensor, b: Tensor): Tensor =>
  evaluate({ name: 'accumulate gradient', expression: 'a + b', operands: { a, b }, shape: a.shape, result: a.dtype });

/** The sum of what there is, for push-forwards of operations with several inputs: at least one. */
export function sumOfAll(...terms: (Tensor | null | false)[]): Tensor {
  return terms.filter((t) => !!t).reduce(sumOf);
}
