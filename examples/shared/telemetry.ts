// What happens to the particles of a run besides what every run logs: how the loss jumps where particles change places and how it heals, and
// how large the gradients of times and weights are. All of it between steps, on a fixed probe batch in evaluation mode: a run with telemetry
// and one without have the same bits.
//
// The jump is the loss of the same weights and times in the order that sorting has made, minus that in the order before it. The steps after it
// show how it heals. The loss moves anyway, so quiet steps, at which nothing crossed, are followed in the same way.

import { at, there } from '../../shaders/checked';
import {
  type Batch,
  type BatchSource,
  type Classifier,
  evaluate,
  F,
  type MeanField,
  meanFieldsIn,
  tensor,
} from '../../src/index';
import type { ProbeLine } from '../../src/train/metrics';
import type { TrainerOptions } from '../../src/train/options';

/** Images of the probe batch. */
const PROBE = 100;
/** Updates that are followed after a crossing or a quiet step. */
export const FOLLOWED = 6;
/** Crossings and quiet steps of an epoch that are followed, at most: one at a time. */
const CROSSINGS = 3;
const QUIET = 2;

/** A re-sort that exchanged particles, or a quiet step, and what the loss of the probe batch did after it. */
export interface FollowedLine extends ProbeLine {
  kind: 'crossing' | 'quiet';
  /** Loss after the update in the order before the re-sort, and in the order that it has made; the same number of a quiet step. */
  before: number;
  after: number;
  /** After each of the next updates, fewer where the epoch ends. */
  later: number[];
  /** Of the next updates, those at which particles crossed again. */
  disturbed: number;
  /** Pairs that changed places, by stage. */
  exchanged: Record<string, number>;
}

/** Norms of the gradients of the probe batch at the end of an epoch, and of how many numbers they are. */
export interface GradientsLine extends ProbeLine {
  kind: 'gradients';
  norms: { stage: string; times: number; weights: number; timeCount: number; weightCount: number }[];
}

export type TelemetryLine = FollowedLine | GradientsLine;

/** Options of a Trainer with a source of batches that can be drawn again. */
type Watched = TrainerOptions & { train: BatchSource };

/** Adds telemetry to the options of a Trainer whose model has particles; its lines go to `options.store`. */
export function withTelemetry(options: Watched): TrainerOptions {
  const stages = [...meanFieldsIn(options.model)];
  if (!stages.length) return options;
  const watch = watchParticles(options, stages);
  const onStep: TrainerOptions['onStep'] = async (report, line) => {
    await options.onStep?.(report, line);
    await watch(report.epoch, report.step, report.done, report.total);
  };
  return { ...options, readEvery: 1, onStep };
}

function watchParticles({ model, train, seed, store }: Watched, stages: [string, MeanField][]) {
  const [batch] = train.batches({ batchSize: PROBE, shuffle: true, seed });
  const drawn = there(batch, 'batch to probe with');
  const probe: Batch = { ...drawn, images: drawn.images.keep(), labels: drawn.labels.keep() };
  const source = { count: probe.size, batches: () => [probe] };
  const loss = async () => there(await evaluate(model, source, { batchSize: probe.size }), 'result of a probe').loss;
  const orders = () => Promise.all(stages.map(async ([, stage]) => [...(await stage.ids.data())]));
  const emit = (line: TelemetryLine) => store?.appendMetrics(line);

  let epoch = 0;
  let order: number[][] = [];
  let left = { crossing: 0, quiet: 0 };
  let followed: FollowedLine | null = null;
  const begin = (line: FollowedLine) => {
    left[line.kind]--;
    followed = line;
  };

  return async (now: number, step: number, done: number, total: number): Promise<void> => {
    const [last, next] = [order, await orders()];
    order = next;
    const starts = now !== epoch; // the order before is not known: it may have been shuffled, or the run resumed
    if (starts) [epoch, left, followed] = [now, { crossing: CROSSINGS, quiet: QUIET }, null];
    const exchanged = stages.map(([name], s) => [name, starts ? 0 : exchanges(at(last, s), at(next, s))] as const);
    const crosses = exchanged.some(([, pairs]) => pairs > 0);
    const common = { type: 'probe', step, epoch, later: [], disturbed: 0 } as const;
    if (followed) {
      followed.later.push(await loss());
      if (crosses) followed.disturbed++;
    } else if (crosses && left.crossing) {
      const after = await loss();
      const before = await inOrder(stages, last, next, loss);
      begin({ ...common, later: [], kind: 'crossing', before, after, exchanged: Object.fromEntries(exchanged) });
    } else if (!crosses && !starts && left.quiet && done >= (total * (QUIET - left.quiet + 0.5)) / QUIET) {
      const here = await loss();
      begin({ ...common, later: [], kind: 'quiet', before: here, after: here, exchanged: {} });
    }
    const ends = total - done < 2; // a last image alone is left out
    if (followed && (ends || followed.later.length === FOLLOWED)) {
      emit(followed);
      followed = null;
    }
    if (ends) emit({ type: 'probe', kind: 'gradients', step, epoch, norms: await gradients(model, stages, probe) });
  };
}

/** Pairs that stand the other way round in the second order. */
function exchanges(before: readonly number[], after: readonly number[]): number {
  const at = after.map((id) => before.indexOf(id));
  return at.flatMap((p, i) => at.slice(i + 1).filter((q) => q < p)).length;
}

/** Runs `body` while the particles of each stage, which stand in the order `now`, are used in the order `before`, each with its own time. */
async function inOrder<T>(
  stages: readonly (readonly [string, MeanField])[],
  before: readonly number[][],
  now: readonly number[][],
  body: () => Promise<T>,
): Promise<T> {
  const forwards = stages.map(([, stage]) => [stage, stage.forward] as const);
  for (const [s, [, stage]] of stages.entries()) {
    const places = at(before, s).map((id) => at(now, s).indexOf(id));
    const tau = await stage.tau.data();
    const times = tensor(places.map((p) => tau[p] as number));
    stage.forward = (x) =>
      F.residualSteps(
        x,
        places.map((p) => at(stage.branches, p)),
        times,
      );
  }
  try {
    return await body();
  } finally {
    for (const [stage, forward] of forwards) stage.forward = forward;
  }
}

async function gradients(
  model: Classifier,
  stages: readonly (readonly [string, MeanField])[],
  { images, labels }: Batch,
): Promise<GradientsLine['norms']> {
  model.eval();
  F.crossEntropy(model.forward(images), labels).backward();
  const norm = async (parameters: readonly { grad: { data(): Promise<ArrayLike<number>> } | null }[]) => {
    const all = await Promise.all(parameters.map(async ({ grad }) => (grad ? [...Array.from(await grad.data())] : [])));
    return Math.sqrt(all.flat().reduce((sum, g) => sum + g * g, 0));
  };
  const lines = [];
  for (const [stage, field] of stages) {
    const weights = field.particles.flatMap((particle) => particle.parameters());
    const counts = { timeCount: field.tau.size, weightCount: weights.reduce((sum, w) => sum + w.size, 0) };
    lines.push({ stage, times: await norm([field.tau]), weights: await norm(weights), ...counts });
  }
  model.zeroGrad();
  model.train();
  return lines;
}
