// What happened to the particles of an arm, over its runs: crossings, order, times at the end, what a re-sort did to the loss, gradients.

import { at, there } from '../../shaders/checked';
import { kendallDistance } from '../shared/figure';
import type { RunState } from '../shared/run-state';
import type { FollowedLine, GradientsLine, TelemetryLine } from '../shared/telemetry';

/** Loss of the probe batch around the crossings, or the quiet steps, that were followed. */
export interface Followed {
  events: number;
  /** Loss in the sorted order minus loss in the order before: mean, median, and the part of the events at which it rose. */
  jump: { mean: number; median: number; rose: number } | null;
  /** Mean of the loss after each of the next updates minus that before the event. */
  later: number[];
  /** Updates until the loss was first no higher than before the event: the median, null where that is beyond what was followed. */
  healed: number | null;
}

export interface ParticleSummary {
  runs: number;
  /** Pairs that changed places: in a run, and in each of its epochs, means. */
  crossings: number;
  crossingsByEpoch: number[];
  /** Kendall's distance to the first order at the end, in percent, mean over the stages; of particles that are never sorted that of their times. */
  kendall: number;
  stages: {
    stage: string;
    /** At the end, over all runs: smallest, median and largest step Δτ, the part that is negative in percent, the mean of the last time. */
    steps: [least: number, median: number, most: number];
    negative: number;
    end: number;
    /** Norm of the gradient for one number of the times over that for one of the weights, mean over epochs and runs; null without telemetry. */
    gradients: number | null;
  }[];
  /** Null without telemetry, and where nothing was followed. */
  crossed: Followed | null;
  quiet: Followed | null;
  /** Where each particle of each run stands at the end. */
  orders: number[][][];
}

const mean = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (at(sorted, Math.ceil(half) - 1) + at(sorted, Math.floor(half))) / 2;
}

/** Null where no run has particles. */
export function summariseParticles(all: readonly Pick<RunState, 'metrics' | 'epochs'>[]): ParticleSummary | null {
  const runs = all.flatMap(({ metrics, epochs }) => {
    const end = epochs.at(-1)?.stages;
    return end?.length ? [{ metrics, epochs, end }] : [];
  });
  if (!runs.length) return null;
  const last = runs.map(({ end }) => end);
  const lines = runs.flatMap(({ metrics }) => metrics.filter((line) => line.type === 'probe')) as TelemetryLine[];
  const followed = (kind: FollowedLine['kind']) =>
    follow(lines.filter((line): line is FollowedLine => line.kind === kind));
  const gradients = lines.filter((line): line is GradientsLine => line.kind === 'gradients');
  const swapsIn = (e: number) =>
    runs.flatMap(({ epochs }) =>
      epochs[e] ? [(epochs[e].stages ?? []).reduce((sum, { swaps }) => sum + swaps, 0)] : [],
    );
  const crossingsByEpoch = runs.reduce((n, { epochs }) => Math.max(n, epochs.length), 0);
  const byEpoch = Array.from({ length: crossingsByEpoch }, (_, e) => mean(swapsIn(e)));
  return {
    runs: runs.length,
    crossings: byEpoch.reduce((a, b) => a + b, 0),
    crossingsByEpoch: byEpoch,
    kendall: 100 * mean(last.flatMap((stages) => stages.map(({ order, tau }) => drift(order, tau)))),
    stages: at(last, 0).map(({ stage }) => {
      const times = last.map((stages) => {
        const own = stages.find((s) => s.stage === stage);
        return there(own, stage).tau;
      });
      const steps = times.flatMap((tau) => tau.map((t, l) => t - (tau[l - 1] ?? 0)));
      const ratios = gradients.flatMap((line) => {
        const found = line.norms.find((s) => s.stage === stage);
        if (!found) return [];
        const { times, weights, timeCount, weightCount } = found;
        return [times / Math.sqrt(timeCount) / (weights / Math.sqrt(weightCount))];
      });
      return {
        stage,
        steps: [Math.min(...steps), median(steps), Math.max(...steps)],
        negative: (100 * steps.filter((step) => step < 0).length) / steps.length,
        end: mean(times.map((tau) => Math.max(...tau))),
        gradients: ratios.length ? mean(ratios) : null,
      };
    }),
    crossed: followed('crossing'),
    quiet: followed('quiet'),
    orders: last.map((stages) => stages.map(({ order }) => order)),
  };
}

/** Of particles that are sorted their order, of others that of their times. */
function drift(order: readonly number[], tau: readonly number[]): number {
  const byTime = tau.map((_, i) => i).sort((i, j) => at(tau, i) - at(tau, j));
  return kendallDistance(byTime.map((i) => at(order, i)));
}

function follow(events: readonly FollowedLine[]): Followed | null {
  const [first] = events;
  if (!first) return null;
  const jumps = events.map(({ before, after }) => after - before);
  const longest = Math.max(...events.map(({ later }) => later.length));
  const later = Array.from({ length: longest }, (_, i) => {
    const known = events.filter((event) => event.later.length > i);
    return mean(known.map((event) => at(event.later, i) - event.before));
  });
  // 0 where the re-sort itself did not raise it. What was cut off by the end of its epoch before it healed is not known to heal.
  const times = events.map((event) => {
    if (event.kind === 'crossing' && event.after <= event.before) return 0;
    const healed = event.later.findIndex((loss) => loss <= event.before);
    return healed < 0 ? Number.POSITIVE_INFINITY : healed + 1;
  });
  const typical = median(times);
  return {
    events: events.length,
    jump:
      first.kind === 'quiet'
        ? null
        : { mean: mean(jumps), median: median(jumps), rose: mean(jumps.map((jump) => Number(jump > 0))) },
    later,
    healed: Number.isFinite(typical) ? typical : null,
  };
}
