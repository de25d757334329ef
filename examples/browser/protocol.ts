// What the page and its worker say to each other: every message, and nothing else. The worker owns the framework and the training; the page draws.

import type { EpochLine } from '../../src/train/metrics';
import type { Settings } from './settings';

/** A stage of blocks, at one moment: which particle stands at each position, and its time. A vanilla network's times never change. */
export interface StageState {
  readonly order: readonly number[];
  /** By position. */
  readonly tau: readonly number[];
}

/** The numbers of a step, means since the point before. */
export interface Point {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Training error of the epoch so far, in percent. */
  readonly error: number;
  readonly lr: number;
  readonly stages: readonly StageState[];
}

/** Two particles of a stage that changed places before this step. */
export interface Crossing {
  readonly step: number;
  readonly stage: number;
  readonly a: number;
  readonly b: number;
}

/** What a run has shown so far. */
export interface History {
  points: Point[];
  crossings: Crossing[];
  epochs: EpochLine[];
}

export interface StageInfo {
  readonly name: string;
  /** Names of the blocks by position, as in the state dict. */
  readonly blocks: readonly string[];
}

export interface RunInfo {
  readonly id: number;
  readonly model: string;
  readonly label: string;
  readonly parameters: number;
  readonly stages: readonly StageInfo[];
  /** Whether its times are learned. */
  readonly particles: boolean;
}

export type Phase = 'idle' | 'preparing' | 'running' | 'paused' | 'finished' | 'failed' | 'missing';

/** Images as 3·32·32 bytes each, channels first. */
export interface Pictures {
  readonly bytes: Uint8Array;
  readonly count: number;
  /** The right class of each; −1 where nobody knows. */
  readonly labels: readonly number[];
}

/** The likeliest class of each picture, and how likely it is. */
export interface Predictions {
  readonly classes: readonly number[];
  readonly probabilities: readonly number[];
}

/** Sizes by width, each relative to the narrowest network: [width][layer]. */
export interface CoordinateSizes {
  readonly arm: 'mean-field' | 'standard';
  readonly widths: number[];
  readonly updates: number[][];
}

export type ToPage =
  | { type: 'ready'; adapter: string; isCpu: boolean; stored: readonly string[] }
  | { type: 'missing'; message: string }
  | { type: 'phase'; phase: Phase; message: string }
  | { type: 'begun'; settings: Settings; runs: readonly RunInfo[]; histories: readonly History[]; rate: number }
  | { type: 'progress'; what: string; done: number; total: number }
  | { type: 'point'; run: number; point: Point; crossings: readonly Crossing[] }
  | { type: 'epoch'; run: number; line: EpochLine }
  | { type: 'gauges'; imagesPerSecond: number; bytes: number; launches: number }
  | { type: 'pictures'; classes: readonly string[]; pictures: Pictures; own: Pictures | null }
  | { type: 'predictions'; run: number; pictures: Predictions; own: Predictions | null }
  | { type: 'lesion'; run: number; blocks: readonly Block[]; error: number; loss: number; before: number }
  | { type: 'stored'; data: readonly string[]; message: string }
  | { type: 'saved'; step: number }
  | { type: 'file'; name: string; mime: string; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'notice'; text: string }
  | { type: 'flow-gap'; width: number; values: number[]; slope: number | null; interval: [number, number] | null }
  | { type: 'flow-coordinates'; sizes: CoordinateSizes }
  | { type: 'flow-status'; running: boolean; text: string };

/** A block by its stage and the particle's number. */
export interface Block {
  readonly stage: number;
  readonly particle: number;
}

export type ToWorker =
  | { type: 'start'; settings: Settings }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'step' }
  | { type: 'reset' }
  | { type: 'rate'; factor: number }
  | { type: 'preview'; settings: Settings }
  | { type: 'lesion'; run: number; blocks: readonly Block[] }
  | { type: 'look'; files: readonly File[] }
  | { type: 'store'; files: readonly { path: string; file: File }[] }
  | { type: 'export'; what: 'checkpoint' | 'metrics'; run: number }
  | { type: 'import'; file: File }
  | { type: 'save' }
  /** `small` is enough to see that it works. */
  | { type: 'flow'; run: boolean; small: boolean }
  /** Ends the device as a driver's crash does: what a test needs. */
  | { type: 'lose-device' };
