// The lines of metrics.jsonl: what a run logs per step, per epoch and at its end.

/** What the hook of `MeanField` adds to lines: a stage after an epoch or within it, its times in ascending order and the particle that stands at each position. */
export interface StageLine {
  /** Name of the module, such as 'stages.0'. */
  stage: string;
  /** Times by position. */
  tau: number[];
  /** The particle at each position, by its number at the start. */
  order: number[];
  /** Pairs of particles that changed places in the epoch. */
  swaps: number;
  /** Births and deaths that the epoch began with, by the ids of the particles. */
  turnover?: { killed: number; parent: number; child: number }[];
}

/** What is logged after some steps: one line of JSON. */
export interface StepLine {
  /** Tells it from the other lines. */
  type: 'step';
  /** Steps so far, all epochs together. */
  step: number;
  /** Counted from 1, as users see it. */
  epoch: number;
  /** Mean loss since the line before. */
  loss: number;
  /** Learning rate of the first group. */
  lr: number;
  /** Images, or other samples. */
  imagesPerSecond: number;
  /** Seconds since the run began. */
  time: number;
  /** The particles so far in the epoch, about twenty times in each. */
  stages?: StageLine[];
}

/**
 * Of a classifier: errors in percent. Of a step of one's own: each metric `name` as `trainName` and `testName`. Test values are absent in epochs
 * without evaluation.
 */
export interface EpochLine {
  /** Tells it from the other lines. */
  type: 'epoch';
  [mean: `train${string}` | `test${string}`]: number | undefined;
  /** Counted from 1, as users see it. */
  epoch: number;
  /** Steps so far, all epochs together. */
  step: number;
  /** Mean loss of the epoch's steps. */
  trainLoss: number;
  /** Wrong answers in training, in percent. */
  trainError?: number;
  /** Mean loss on the test set. */
  testLoss?: number;
  /** Wrong answers on the test set, in percent. */
  testError?: number;
  /** Learning rate of the first group in the epoch. */
  lr: number;
  /** Seconds of training in the epoch. */
  seconds: number;
  /** Images, or other samples, a second in training. */
  imagesPerSecond: number;
  /** Particles of each mean-field stage at the end of the epoch. */
  stages?: StageLine[];
}

/** What is logged when a run ends. */
export interface SummaryLine {
  /** Tells it from the other lines. */
  type: 'summary';
  [key: string]: unknown;
}

/** What a program has measured besides, after this step. */
export interface ProbeLine {
  /** Tells these lines from others. */
  type: 'probe';
  /** The step after which it was measured. */
  step: number;
  /** Its epoch, from 1. */
  epoch: number;
  [key: string]: unknown;
}

/** A line of metrics.json. */
export type MetricsLine = StepLine | EpochLine | SummaryLine | ProbeLine;
