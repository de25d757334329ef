// The lines of metrics.jsonl: what a run logs per step, per epoch and at its end.

/** What the hook of `MeanField` adds to lines: a stage after an epoch or within it, its times in ascending order and the particle that stands at each position. */
export interface StageLine {
  stage: string;
  tau: number[];
  order: number[];
  /** Pairs of particles that changed places in the epoch. */
  swaps: number;
  /** Births and deaths that the epoch began with, by the ids of the particles. */
  turnover?: { killed: number; parent: number; child: number }[];
}

export interface StepLine {
  type: 'step';
  step: number;
  epoch: number;
  loss: number;
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
  type: 'epoch';
  [mean: `train${string}` | `test${string}`]: number | undefined;
  epoch: number;
  step: number;
  trainLoss: number;
  trainError?: number;
  testLoss?: number;
  testError?: number;
  lr: number;
  seconds: number;
  imagesPerSecond: number;
  stages?: StageLine[];
}

export interface SummaryLine {
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

export type MetricsLine = StepLine | EpochLine | SummaryLine | ProbeLine;
