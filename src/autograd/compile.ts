// compile(step): the first call of a step runs as usual and makes what is made lazily; the second is traced into a plan; from then on a call
// replays the plan: one submit, nothing created. It is this framework's CUDA graph.
import { device, GpuError, Scalar } from '../gpu';
import type { Block } from '../gpu/blocks';
import { Storage } from '../gpu/blocks';
import { Plan } from '../gpu/plan';
import type { DType } from '../tensor/dtype';
import { bind, contiguous } from '../tensor/elementwise';
import { endStep, Memory, stepsEnded, tracedMemories } from '../tensor/memory';
import type { Shape } from '../tensor/shape';
import { empty, Tensor } from '../tensor/tensor';
import { isDetecting } from './anomaly';
import { consultedModes } from './modes';
import { isPlain, tensorsIn } from './tape';

/** What a call takes: a number where the step takes a Scalar, since it may change from call to call. */
type Outside<A> = { [K in keyof A]: Scalar extends A[K] ? A[K] | number : A[K] };

export interface PlanReport {
  readonly dispatches: number;
  readonly bytes: number;
  readonly kernels: readonly string[];
  /** Rewrites of the launches that did not prove right and were left out. */
  readonly skipped: readonly string[];
}

/** A compiled step, with what its plans are like. */
export interface CompiledStep<A extends unknown[], R> {
  (...args: A): R;
  /** One entry for each combination of argument shapes and module modes seen. */
  readonly plans: readonly PlanReport[];
}

interface Entry<R> {
  plan: Plan;
  matches(args: readonly unknown[]): boolean;
  /** Memory of the plan's own that tensor arguments are copied to, in the order of `tensorsIn`. */
  inputs: readonly Tensor[];
  scalars: readonly (Scalar | null)[];
  effects: readonly (() => void)[];
  outputs: readonly {
    block: Block;
    bytes: number;
    dtype: DType;
    shape: Shape;
    strides: readonly number[];
    offset: number;
  }[];
  rebuild: (tensors: Tensor[]) => R;
}

/** The plan owns the memory of its results, and overwrites it at the next call: those still in use are moved out before. */
const returnNothing = () => undefined;

/**
 * Compiles a training or evaluation step. `step` takes tensors, numbers and anything else, and returns a tensor or arrays or plain objects of
 * them. Tensor arguments may bring other values, numbers may change; another shape, another value of anything else, or another train/eval
 * mode makes another plan. Inside, nothing can be read back.
 *
 *     const step = compile((x: Tensor, y: Tensor) => {
 *       const loss = crossEntropy(model.forward(x), y);
 *       loss.backward();
 *       optimizer.step();
 *       optimizer.zeroGrad();
 *       return loss;
 *     });
 */
export function compile<A extends unknown[], R>(step: (...args: A) => R): CompiledStep<Outside<A>, R> {
  const entries: Entry<R>[] = [];
  let warm = false;
  let results: WeakRef<Memory>[] = [];
  const run = (...args: Outside<A>): R => {
    // Inside of another compiled step it becomes part of that one.
    if (!warm || isDetecting() || device().tracing) {
      warm = true;
      return step(...(args.map((a) => (typeof a === 'number' ? new Scalar(a) : a)) as A));
    }
    let entry = entries.find((e) => e.matches(args));
    if (entry) {
      fill(entry.inputs, args);
      for (const effect of entry.effects) effect();
    } else {
      entry = trace(step, args);
      entries.push(entry);
    }
    const { scalars, plan } = entry;
    scalars.forEach((target, i) => {
      if (target) target.value = args[i] as number;
    });
    for (const result of results) result.deref()?.moveOut();
    plan.run();
    const made = entry.outputs.map(({ block, bytes, dtype, shape, strides, offset }) => {
      const memory = new Memory(new Storage(block, 0, bytes, returnNothing), 'a compiled step');
      memory.escape();
      return new Tensor(memory, dtype, shape, strides, offset);
    });
    results = made.map((t) => new WeakRef(t.memory));
    return entry.rebuild(made);
  };
  return Object.defineProperty(run, 'plans', {
    get: () =>
      entries.map(({ plan: { dispatches, bytes, kernels, skipped } }) => ({ dispatches, bytes, kernels, skipped })),
  }) as CompiledStep<Outside<A>, R>;
}

function trace<A extends unknown[], R>(step: (...args: A) => R, args: Outside<A>): Entry<R> {
  const tensors = [...tensorsIn(args)];
  const inputs = tensors.map((t) => empty('argument of a compiled step', t.shape, t.dtype).keep());
  fill(inputs, args);
  const scalars = args.map((arg) => (typeof arg === 'number' ? new Scalar(arg) : null));
  const own = rebuild(args, [...inputs]) as unknown[];
  const inside = own.map((arg, i) => scalars[i] ?? arg) as A;
  const gpu = device();
  let result!: R;
  let captured!: ReturnType<typeof tracedMemories>;
  let modes!: ReturnType<typeof consultedModes>;
  const stepsBefore = stepsEnded();
  const recorded = gpu.traced(() => {
    captured = tracedMemories(() => {
      modes = consultedModes(() => {
        result = step(...inside);
      });
    });
  });
  if (result instanceof Promise) {
    result.catch(() => undefined); // what it says is not the cause
    throw new GpuError('compile: the step is async; a step cannot wait for the GPU inside. Read its results outside.');
  }
  const returned = [...tensorsIn(result)];
  const outputs = returned.map((t) => ({
    block: t.storage.block,
    bytes: t.storage.bytes,
    dtype: t.dtype,
    shape: t.shape,
    strides: t.strides,
    offset: t.offset,
  }));
  const pinned = new Set<Block>([...outputs.map((o) => o.block), ...recorded.constants]);
  for (const memory of captured.made)
    if (memory.live && memory.kept) pinned.add(memory.storage.block);
    else if (memory.live) memory.release();
  const plan = new Plan(recorded.launches, pinned, gpu.pool, gpu.pipelines, gpu.commands);
  for (const storage of captured.used) if (!storage.released) storage.retain();
  const shapes = shapesOf(args);
  const others = args.map((arg) => (typeof arg === 'number' || [...tensorsIn(arg)].length ? null : arg));
  return {
    plan,
    inputs,
    scalars,
    // A call is a step: one that does not end it itself, as an optimizer does, ends with the call.
    effects: stepsEnded() === stepsBefore ? [...recorded.effects, endStep] : recorded.effects,
    outputs: outputs.map((o) => ({ ...o, block: placed(o.block) })),
    rebuild: (made) => rebuild(result, made) as R,
    matches(next) {
      const same = others.every((value, i) => value === null || Object.is(value, next[i]));
      return same && shapesOf(next) === shapes && modes.unchanged() && captured.inPlace();
    },
  };
}

const shapesOf = (args: readonly unknown[]): string =>
  [...tensorsIn(args)].map((t) => `${t.dtype}[${t.shape.join()}]`).join(';');

/** Copies the tensors among the arguments of a call to the memory that the plan reads them from. */
function fill(inputs: readonly Tensor[], args: readonly unknown[]): void {
  [...tensorsIn(args)].forEach((arg, i) => {
    if (arg.size) device().copy(bind(contiguous(arg)), bind(inputs[i]));
  });
}

/** The real block behind a result; one that no launch writes lies where it always lay. */
const placed = (block: Block): Block => (block as Block & { place?: Block | null }).place ?? block;

/** The value of a step with its tensors exchanged for those of a call, in the order of `tensorsIn`. */
function rebuild(value: unknown, tensors: Tensor[]): unknown {
  if (value instanceof Tensor) return tensors.shift();
  if (Array.isArray(value)) return value.map((item) => rebuild(item, tensors));
  if (isPlain(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rebuild(item, tensors)]));
  return value;
}
