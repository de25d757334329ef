// compile(step): the first call of a step runs as usual and makes what is made lazily; the second is traced into a graph; from then on a call
// replays the graph: one submit, nothing created. It is this framework's CUDA graph.
import { at } from '../../shaders/checked';
import { device, GpuError, Scalar } from '../gpu';
import type { Block } from '../gpu/blocks';
import { Storage } from '../gpu/blocks';
import { CompiledGraph } from '../gpu/graph';
import { checked, is } from '../gpu/options';
import { type Effect, undo, writtenBy } from '../gpu/trace';
import { inputError } from '../tensor/context';
import { bind, contiguous } from '../tensor/elementwise';
import type { Memory } from '../tensor/memory';
import { endStep, stepsEnded, tracedMemories } from '../tensor/memory';
import { empty, Tensor } from '../tensor/tensor';
import { isDetecting } from './anomaly';
import type { Fields } from './fields';
import { watchFields } from './fields';
import { Handed, rewritten } from './handed';
import { consultedModes } from './modes';
import { overwrite, refuseShared, requireOwn } from './overwrite';
import { requireSame, signatureOf } from './signature';
import { detach, isPlain, isRecording, Node, sumOf, tensorsIn, withoutHistory } from './tape';

/** What a call takes: a number where the step takes a Scalar, since it may change from call to call. */
type Outside<A> = { [K in keyof A]: Scalar extends A[K] ? A[K] | number : A[K] };

/** What `CompiledStep.report` tells of a plan: its launches a call, the bytes that it holds, and the kernels in their order. */
export interface PlanReport {
  /** Launches of a call. */
  readonly dispatches: number;
  /** How many of these are left out while nothing has written the memory that they read, such as packings of weights in evaluation. */
  readonly steady: number;
  /** Bytes of memory that the plan holds. */
  readonly bytes: number;
  /** The names of the kernels, in the order of their launches. */
  readonly kernels: readonly string[];
  /** Rewrites of the launches that did not prove right and were left out. */
  readonly skipped: readonly string[];
}

/** A compiled step, with what its plans are like. */
export interface CompiledStep<A extends unknown[], R> {
  (...args: A): R;
  /** One entry for each combination of argument shapes and module modes seen. */
  readonly plans: readonly PlanReport[];
  /** Releases the graphs and their memory, for a step that has done its work. Results stay; a further call makes a graph again. */
  release(): void;
}

interface Entry<R> {
  readonly graph: CompiledGraph;
  matches(args: readonly unknown[]): boolean;
  /** Refuses arguments that the step writes into where a write would be lost. */
  check(args: readonly unknown[]): void;
  /** What the host does before the graph runs again. */
  prepare(args: readonly unknown[]): ReturnType<Effect>[];
  /** What takes back the effects of the trace. */
  readonly undos: ReturnType<Effect>[];
  /** What it does afterwards: sets the fields that the step leaves, and gives its result. */
  finish(args: readonly unknown[]): R;
  /** Releases all that the graph holds; results that are still in use move out first. */
  release(): void;
  /** The step has made memory that later calls build on, such as an optimizer's state: the graph serves this call alone. */
  readonly once: boolean;
  readonly signature: readonly string[];
}

/** Options of `compile`. */
export interface CompileOptions {
  /**
   * Traces the step at every call and throws an InputError where a number, a shape or a tensor from outside is no longer what it was: a graph
   * would go on with the old one. Slow; for the search of a mistake.
   */
  debug?: boolean;
}

/**
 * Compiles a training or evaluation step. `step` takes tensors, numbers and anything else, and returns a tensor or arrays or plain objects of
 * them. Tensor arguments may bring other values, and the step may write into them; numbers may change. Another shape, another value of anything
 * else, or another train/eval mode makes another graph, and so does another `requiresGrad` or a gradient that is or is not there. All else that
 * comes from outside is part of the graph: a variable that is given another number or another tensor keeps its old value (`debug` finds that).
 * Results live as those of eager operations do. Inside, nothing can be read back.
 *
 *     const step = compile((x: Tensor, y: Tensor) => {
 *       const loss = crossEntropy(model.forward(x), y);
 *       loss.backward();
 *       optimizer.step();
 *       optimizer.zeroGrad();
 *       return loss;
 *     });
 */
export function compile<A extends unknown[], R>(
  step: (...args: A) => R,
  options: CompileOptions = {},
): CompiledStep<Outside<A>, R> {
  const { debug = false } = checked('compile', options, { debug: is.flag });
  const entries: Entry<R>[] = [];
  let warm = false;
  let onces = 0;
  const run = (...args: Outside<A>): R => {
    const plainly = () => step(...(args.map((a) => (typeof a === 'number' ? new Scalar(a) : a)) as A));
    // Inside of another compiled step it becomes part of that one.
    if (isDetecting() || device().tracing) return plainly();
    if (!warm) {
      const result = plainly();
      warm = true;
      const outside = [...tensorsIn(result)].map((t) => (isOpen(t) ? closed(withoutHistory(t)) : t));
      return rebuild(result, outside) as R;
    }
    requireLeaves(args);
    let entry = entries.find((e) => e.matches(args));
    if (entry && !debug) {
      entry.check(args);
      started(entry, entry.prepare(args));
      return entry.finish(args);
    }
    const before = entry;
    entry = trace(step, args, debug);
    if (before) requireSame(before.signature, entry.signature);
    else if (debug || !entry.once) entries.push(entry);
    onces = entry.once ? onces + 1 : 0;
    if (onces === MANY_ONCES && !debug)
      console.warn(
        'compile: every call of the step keeps memory that it has made, so it is traced again each time. Return such tensors instead of keep().',
      );
    started(entry, entry.undos, args);
    const result = entry.finish(args);
    if (entry.once) entry.graph.destroy();
    return result;
  };
  const plans = () =>
    entries.map(({ graph: { dispatches, steady, bytes, kernels, skipped } }) => ({
      ...{ dispatches, steady, bytes, kernels, skipped },
    }));
  const release = () => {
    for (const entry of entries.splice(0)) entry.release();
  };
  return Object.defineProperties(run, { plans: { get: plans }, release: { value: release } }) as CompiledStep<
    Outside<A>,
    R
  >;
}

/** Whether there is history that no `backward` has gone through yet. */
const isOpen = ({ gradNode }: Tensor): boolean => gradNode instanceof Node && !gradNode.done;

/** A result of a step whose history is not outside: it takes part in recorded operations, and `backward` refuses to go through it. */
function closed(result: Tensor): Tensor {
  result.requiresGrad = true;
  const advice =
    'Gradients do not flow into a compiled step: call backward() inside it, or take result.detach() (in the step: noGrad).';
  result.gradNode = new Node('a compiled step', [], result.shape, [], () => [], { closed: advice });
  return result;
}

/** Runs the graph of an entry, for arguments that are not checked yet if given. Where it throws, nothing was done, and so the counters of the host go back. */
function started<R>({ graph, check }: Entry<R>, undos: ReturnType<Effect>[], args?: readonly unknown[]): void {
  try {
    if (args) check(args);
    graph.run();
  } catch (error) {
    undo(undos);
    throw error;
  }
}

const MANY_ONCES = 4;

/** Inside of a step the history of an argument would be lost. */
function requireLeaves(args: readonly unknown[]): void {
  for (const t of tensorsIn(args))
    if (t.requiresGrad && !t.isLeaf && isRecording())
      throw inputError(
        'compile',
        'an argument was computed from tensors with gradients, which do not flow out of a compiled step',
        { argument: t },
        'Give argument.detach(), or compute it inside the step.',
      );
}

/** Lists what a step does and makes a graph of it. It does not run yet. */
function trace<A extends unknown[], R>(step: (...args: A) => R, args: Outside<A>, debug: boolean): Entry<R> {
  const given = [...tensorsIn(args)];
  const inputs = given.map((t) => {
    const input = empty('argument of a compiled step', t.shape, t.dtype).keep();
    input.requiresGrad = t.requiresGrad && t.isLeaf;
    return input;
  });
  fill(inputs, args);
  const versions = inputs.map(({ memory }) => memory.version);
  const scalars = args.map((arg) => (typeof arg === 'number' ? new Scalar(arg) : null));
  const own = rebuild(args, [...inputs]) as unknown[];
  const inside = own.map((arg, i) => scalars[i] ?? arg) as A;
  const gpu = device();
  let result!: R;
  let captured!: ReturnType<typeof tracedMemories>;
  let modes!: ReturnType<typeof consultedModes>;
  let fields!: Fields;
  const stepsBefore = stepsEnded();
  const recording = isRecording();
  const recorded = gpu.traced(() => {
    captured = tracedMemories(() => {
      fields = watchFields(() => {
        modes = consultedModes(() => {
          result = step(...inside);
        });
        if (!(result instanceof Promise)) return;
        result.catch(() => undefined); // what it says is not the cause
        throw new GpuError(
          'compile: the step is async; a step cannot wait for the GPU inside. Read its results outside.',
        );
      });
    });
  });
  const overwritten = [...inputs.entries()].filter(([i, { memory }]) => memory.version !== versions[i]);
  const isOverwritten = new Set(overwritten.map(([i]) => i));
  const writes = writtenBy(recorded.launches);
  const returned = [...tensorsIn(result)];
  const made = new Set(captured.made);
  const left = [...fields.grad].flatMap(([tensor, { written }]) => (written ? [{ tensor, grad: tensor.grad }] : []));
  const handed = new Set<Memory>();
  for (const t of [...returned, ...left.map(({ grad }) => grad)])
    if (t && made.has(t.memory)) {
      void t.storage; // throws where the step returns what it has disposed of
      handed.add(t.memory);
    }
  const pinned = new Set<Block>([
    ...[...handed].map((m) => m.storage.block),
    ...recorded.constants.map(({ storage }) => storage.block),
  ]);
  const lasting: Memory[] = [];
  for (const memory of made) {
    if (!memory.live || handed.has(memory)) continue;
    if (!memory.kept || fields.gradients.has(memory)) memory.release();
    else {
      pinned.add(memory.storage.block);
      lasting.push(memory);
    }
  }
  const graph = new CompiledGraph(
    recorded.launches,
    pinned,
    new Set(inputs.map((t) => t.storage.block)),
    gpu.pool,
    gpu.pipelines,
    gpu.commands,
  );
  graph.own([...new Set(recorded.constants.map(({ storage }) => storage.block))]);
  const once = debug || lasting.length > 0;
  const used = once ? [] : [...captured.used.values()].filter((storage) => !storage.released);
  for (const storage of used) storage.retain();
  const unchanged = conditions(fields, inputs, captured.used);
  const shapes = shapesOf(args);
  const others = args.map((arg) => (typeof arg === 'number' || [...tensorsIn(arg)].length ? null : arg));

  // How each tensor that the program gets is made from the memory of the graph.
  const out = new Handed();
  const placed = (t: Tensor): (() => Tensor) => {
    const { dtype, shape, strides, offset } = t;
    const { bytes } = t.storage;
    const block = graph.placeOf(t.storage.block);
    const tensor = () =>
      out.tensor({ block, bytes, dtype, shape, strides, offset }, once ? graph.handOver(block) : undefined);
    return isOpen(t) ? () => closed(tensor()) : tensor;
  };
  const giverOf = (t: Tensor): ((now: readonly Tensor[]) => Tensor) => {
    const place = inputs.findIndex((input) => input.memory === t.memory);
    if (place >= 0) return inputs[place] === t ? (now) => at(now, place) : placed(t);
    if (made.has(t.memory)) return placed(t);
    const outside = fields.has(t) ? detach(t) : t;
    return () => outside;
  };
  const results = returned.map(giverOf);
  const grads = left.map(({ tensor, grad }) => ({ tensor, give: grad && giverOf(grad) }));
  const dropped = [...fields.grad].flatMap(([tensor, { found }]) => (found?.memory.gone ? [tensor] : []));
  const trained = [...fields.requiresGrad].filter(([, { written }]) => written);
  const training = trained.map(([tensor]) => ({ tensor, value: tensor.requiresGrad }));
  // A call is a step: one that does not end it itself, as an optimizer does, ends with the call.
  const ends = stepsEnded() === stepsBefore ? [endStep] : [];
  const effects = [...recorded.effects, ...rewritten(recorded, handed), ...ends];
  return {
    graph,
    once,
    undos: recorded.undos,
    signature: debug ? signatureOf(recorded, inputs) : [],
    matches(next) {
      const same =
        recording === isRecording() && others.every((value, i) => value === null || Object.is(value, next[i]));
      return same && shapesOf(next) === shapes && modes.unchanged() && captured.inPlace() && unchanged();
    },
    check(next) {
      const now = [...tensorsIn(next)];
      for (const [i] of overwritten) requireOwn('compile', at(now, i), now);
      for (const [i, t] of now.entries()) {
        const outside = captured.used.get(t.memory);
        if (outside && (isOverwritten.has(i) || writes.has(outside.block))) refuseShared('compile', t);
      }
    },
    prepare(next) {
      const now = [...tensorsIn(next)];
      for (const { grad } of dropped) if (grad && !now.some((t) => t.memory === grad.memory)) grad.dispose();
      out.moveOut();
      fill(inputs, next);
      const undos: ReturnType<Effect>[] = [];
      try {
        for (const effect of effects) undos.push(effect());
      } catch (error) {
        undo(undos);
        throw error;
      }
      scalars.forEach((target, i) => {
        if (target) target.value = next[i] as number;
      });
      return undos;
    },
    finish(next) {
      const now = [...tensorsIn(next)];
      for (const [i, input] of overwritten) overwrite(at(now, i), input);
      for (const { tensor, value } of training) tensor.requiresGrad = value;
      for (const { tensor, give } of grads) {
        const argument = now[inputs.indexOf(tensor)];
        const grad = give?.(now) ?? null;
        if (argument && grad) argument.grad = argument.grad ? sumOf(argument.grad, grad).keep() : grad;
        tensor.grad = argument ? null : grad;
      }
      const value = rebuild(
        result,
        results.map((give) => give(now)),
      ) as R;
      out.done();
      if (once) out.moveOut(); // what lies in the arguments' memory
      for (const memory of lasting) {
        const { bytes } = memory.storage;
        const block = graph.placeOf(memory.storage.block);
        memory.rehome(new Storage(block, 0, bytes, graph.handOver(block)));
      }
      if (once) for (const input of inputs) input.dispose();
      return value;
    },
    release() {
      out.moveOut();
      graph.destroy();
      for (const storage of used) storage.release();
      for (const input of inputs) input.dispose();
    },
  };
}

/** A check whether the fields that a trace has asked for are as it found them, gradients that it has read at their place. */
function conditions(fields: Fields, inputs: readonly Tensor[], used: ReadonlyMap<Memory, Storage>): () => boolean {
  const placeOf = ({ memory, strides, offset }: Tensor) =>
    memory.live ? `${memory.storage.block.id}+${memory.storage.offset}+${offset}:${strides}` : '';
  const flags = [...fields.requiresGrad].filter(([t, { asked }]) => asked && !inputs.includes(t));
  const grads = [...fields.grad]
    .filter(([t, { asked }]) => asked && !inputs.includes(t))
    .map(([tensor, { found }]) => ({
      tensor,
      there: found !== null,
      place: found && used.has(found.memory) ? placeOf(found) : null,
    }));
  return () =>
    flags.every(([tensor, { found }]) => tensor.requiresGrad === found) &&
    grads.every(
      ({ tensor: { grad }, there, place }) =>
        (grad !== null) === there && (place === null || (grad !== null && placeOf(grad) === place)),
    );
}

const shapesOf = (args: readonly unknown[]): string =>
  [...tensorsIn(args)].map((t) => `${t.dtype}[${t.shape.join()}]${t.requiresGrad ? '*' : ''}`).join(';');

/** Copies the tensors among the arguments of a call to the memory that the graph reads them from. */
function fill(inputs: readonly Tensor[], args: readonly unknown[]): void {
  [...tensorsIn(args)].forEach((arg, i) => {
    if (arg.size) device().copy(bind(contiguous(arg)), bind(at(inputs, i)));
  });
}

/** The value of a step with its tensors exchanged for those of a call, in the order of `tensorsIn`. */
function rebuild(value: unknown, tensors: Tensor[]): unknown {
  if (value instanceof Tensor) return tensors.shift();
  if (Array.isArray(value)) return value.map((item) => rebuild(item, tensors));
  if (isPlain(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rebuild(item, tensors)]));
  return value;
}
