// Between a run and its checkpoint: everything that it needs to go on is taken, checked, and put back.
import { there } from '../../shaders/checked';
import { targetName } from '../../shaders/target';
import { device, InputError, type TuningTable } from '../gpu';
import type { AnyModule } from '../nn/module';
import { Parameter } from '../nn/parameter';
import { findNonFinite, fromStored, loadWeights, PRIVATE, readAll } from '../nn/stored';
import type { Optimizer } from '../optim/optimizer';
import { getRngState, setRngState } from '../tensor/seed';
import { Tensor } from '../tensor/tensor';
import type { Checkpoint, Json, JsonObject } from './checkpoint';
import type { HookState, Hooks, TrainerRun } from './hooks';
import type { Progress } from './progress';
import { checkProgress, OWN_FIELDS } from './progress';
import type { Tally } from './tally';

/** What belongs to a run. */
export interface Parts {
  readonly model: AnyModule;
  readonly optimizer: Optimizer<{ lr: number }>;
  readonly hooks: Hooks;
  readonly tally: Tally;
  readonly config: JsonObject;
  /** Samples of an epoch. */
  readonly count: number;
}

/** The sums of the tally, among a checkpoint's tensors. */
const SUMS = `${PRIVATE.trainer}sums`;
/** The sums of the tally in a checkpoint of a Trainer; `check` has seen that it is one. */
export const sumsOf = (tensors: Checkpoint['tensors']): Float32Array => there(tensors[SUMS], SUMS).data as Float32Array;
const TAKEN = new Set([...OWN_FIELDS, 'sums']);

/** Takes everything: weights, states, optimizer buffers, partial sums and what hooks keep are read back. `lap` brings the clock up to date. */
export async function take(parts: Parts, progress: Progress, lap: () => void): Promise<Checkpoint> {
  const { model, optimizer, hooks, tally, config } = parts;
  const found: [name: string, x: Tensor][] = [...model.allNames()];
  const buffers = optimizer.stateDict();
  for (const [name, x] of Object.entries(buffers)) found.push([PRIVATE.optimizer + name, x]);
  const values: Record<string, Json | undefined> = {};
  for (const [name, value] of Object.entries(await hooks.stateDict(TAKEN)))
    if (value instanceof Tensor) found.push([PRIVATE.trainer + name, value]);
    else values[name] = value;
  found.push([SUMS, tally.sums]);
  const tensors = await readAll(found);
  lap();
  const metrics = Object.fromEntries(tally.names.map((name) => [name, progress.metrics?.[name] ?? 0]));
  const all = {
    ...structuredClone(progress),
    ...(tally.names.length && { metrics }),
    ...values,
    pendingSteps: tally.steps,
    pendingImages: tally.images,
    rng: { ...getRngState() },
    buffers: Object.keys(buffers),
  };
  return { tensors, progress: all as unknown as JsonObject, options: config, engine: engine() };
}

/** Throws where anything in a checkpoint cannot have been saved by a run like this one. */
export function check({ tensors, progress, engine }: Checkpoint, { model, tally, count }: Parts, what: string): void {
  const sums = tensors[SUMS];
  if (!sums) throw new InputError(`Trainer: ${what} was not saved by a Trainer; load its weights with loadWeights()`);
  const { position } = checkProgress(progress, what);
  if (position > count)
    throw new InputError(`${what}: progress.position is ${position}, but there are ${count} training images`);
  const { size } = tally.sums;
  if (sums.dtype !== 'F32' || sums.data.length !== size)
    throw new InputError(`${what}: tensor '${SUMS}' is ${sums.dtype} [${sums.shape}], it must be F32 [${size}]`);
  const { buffers = [] } = progress as { buffers?: string[] }; // older runs do not list them
  if (!Array.isArray(buffers)) throw new InputError(`${what}: progress.buffers is no list of names`);
  const lost = buffers.find((name) => !Object.hasOwn(tensors, PRIVATE.optimizer + name));
  if (lost !== undefined) throw new InputError(`${what}: lacks the optimizer's buffer '${PRIVATE.optimizer}${lost}'`);
  const { kernels = {} } = engine;
  const isTable = kernels !== null && typeof kernels === 'object' && !Array.isArray(kernels);
  if (!isTable || !Object.values(kernels).every((variant) => typeof variant === 'string'))
    throw new InputError(`${what}: engine.kernels is no object of names`);
  const found = notFinite(model, tensors);
  if (found) throw new InputError(`${what}: ${found}; a run cannot go on from it`);
}

/** Another variant of a kernel may add up in another order: the run's own decide, before anything is launched. Another adapter is told. */
export function installEngine(saved: JsonObject, notice: (text: string) => void): void {
  device().tuning.install((saved.kernels ?? {}) as TuningTable);
  const [then, now] = [saved, engine()].map((e) => JSON.stringify({ ...e, kernels: undefined }));
  if (then !== now) notice(`this run was begun on ${then}, now it is ${now}: the last bits of its numbers may change`);
}

/** Puts everything back, what hooks keep first, as they may refuse it; errors begin with `what`. Returns the progress. */
export function put({ tensors, progress: saved }: Checkpoint, parts: Parts, run: TrainerRun, what: string): Progress {
  const { model, optimizer, hooks, tally } = parts;
  const progress = checkProgress(saved, what);
  const named = (prefix: string, fits: (name: string) => boolean = () => true) =>
    Object.entries(tensors).filter(([name]) => name.startsWith(prefix) && fits(name));
  const isEffect = (name: string) => name.endsWith('.effect'); // of particles, in checkpoints of earlier versions
  const state: HookState = Object.fromEntries(Object.entries(saved).filter(([name]) => !OWN_FIELDS.has(name)));
  for (const [name, x] of named(PRIVATE.trainer)) state[name.slice(PRIVATE.trainer.length)] = fromStored(x);
  for (const [name, x] of named(PRIVATE.optimizer, isEffect)) state[name] = fromStored(x);
  try {
    hooks.loadStateDict(state, run);
  } catch (error) {
    throw new InputError(`${what}: ${(error as Error).message}`, { cause: error });
  }
  loadWeights(model, tensors);
  model.zeroGrad();
  const buffers = named(PRIVATE.optimizer, (name) => !isEffect(name)).map(
    ([name, x]) => [name.slice(PRIVATE.optimizer.length), fromStored(x)] as const,
  );
  optimizer.loadStateDict(Object.fromEntries(buffers), progress.optimizerSteps);
  device().write(tally.sums.storage, Float32Array.from(sumsOf(tensors)));
  tally.sums.memory.written();
  tally.steps = progress.pendingSteps;
  tally.images = progress.pendingImages;
  tally.names = Object.keys(progress.metrics ?? {});
  setRngState(progress.rng);
  return progress;
}

/** The first tensor that no training can go on with, and what is wrong with it. States, such as masks, may be infinite, statistics may not. */
export function notFinite(model: AnyModule, tensors: Checkpoint['tensors']): string | null {
  const own = new Map(model.namedTensors());
  return findNonFinite(tensors, (name) => {
    const tensor = own.get(name);
    return tensor !== undefined && !(tensor instanceof Parameter) && !/running_(mean|var)$/.test(name);
  });
}

/** What the bits of the results depend on besides the options. */
function engine(): JsonObject {
  const { info, target, profile, tuning } = device();
  const kernels = Object.keys(tuning.table).length && tuning.table;
  return {
    adapter: info.description || info.device,
    vendor: info.vendor,
    back: targetName(target),
    profile,
    ...(kernels && { kernels }),
  };
}
