// The lines of metrics.jsonl: what a run logs per step, per epoch and at its end.

/** What the hook of `MeanField` adds to lines: a stage after an epoch or within it, its times in ascending order and the particle that stands at each position. */
export interface StageLine {
  /** Which stage. */
  stage: string;
  /** The times. */
  tau: number[];
  /** The particles in the order of their times. */
  order: number[];
  /** Pairs of particles that changed places in the epoch. */
  swaps: number;
  /** Births and deaths that the epoch began with, by the ids of the particles. */
  turnover?: { killed: number; parent: number; child: number }[];
}

/** A line of metrics after some steps. */
export interface StepLine {
  /** Which kind it is. */
  type: 'step';
  /** How many steps there were. */
  step: number;
  /** Which epoch, from 0. */
  epoch: number;
  /** Mean loss since the line before. */
  loss: number;
  /** Learning rate. */
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
  /** Which kind it is. */
  type: 'epoch';
  [mean: `train${string}` | `test${string}`]: number | undefined;
  /** Which epoch, from 0. */
  epoch: number;
  /** How many steps there were. */
  step: number;
  /** Mean loss of the epoch's steps. */
  trainLoss: number;
  /** Wrong answers in training, in percent. */
  trainError?: number;
  /** Mean loss on the test set. */
  testLoss?: number;
  /** Wrong answers on the test set, in percent. */
  testError?: number;
  /** Learning rate. */
  lr: number;
  /** How long the epoch took. */
  seconds: number;
  /** Images a second in training. */
  imagesPerSecond: number;
  /** One of each stage. */
  stages?: StageLine[];
}

/** The last line of metrics. */
export interface SummaryLine {
  /** Which kind it is. */
  type: 'summary';
  [key: string]: unknown;
}

/** What a program has measured besides, after this step. */
export interface ProbeLine {
  type: 'probe';
  step: number;
  epoch: number;
  [key: string]: unknown;
}

/** A line of metrics.json. */
export type MetricsLine = StepLine | EpochLine | SummaryLine | ProbeLine;
