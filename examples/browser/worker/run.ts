// One run of the experiment: its network and Trainer, and what it shows after every step.

import type { ImageDataset } from '../../../datasets/cifar';
import { type Classifier, device, evaluate, type Trainer } from '../../../src/index';
import { decodeCheckpoint, encodeCheckpoint, type JsonObject } from '../../../src/train/checkpoint';
import type { StepLine } from '../../../src/train/metrics';
import type { StepReport } from '../../../src/train/options';
import type { Recipe } from '../../shared/recipe';
import { createNetwork, createTrainer, type residentImages } from '../../shared/training';
import { addPoint, crossingsBetween, emptyHistory } from '../history';
import type { Block, Crossing, History, Point, RunInfo } from '../protocol';
import type { PageRecipe } from '../settings';
import { type BlockStage, describeStages, readStages, stagesOf, switchOff } from './blocks';

/** What a run tells, and whom it asks whether it may go on. */
export interface RunEvents {
  point(run: Run, point: Point, crossings: readonly Crossing[]): void;
  epoch(run: Run): void;
  notice(text: string): void;
  /** Awaited after every point: it gives the GPU to others meanwhile. */
  between(run: Run): Promise<void>;
}

/** Updates between two points: on a GPU waiting for each would cost more than the update. */
export const updatesPerPoint = (): number => (device().target.isCpu ? 1 : 4);

const LABELS = { meanfield: 'mean-field', feature: 'feature flow', resnet: 'vanilla' } as const;

export class Run {
  readonly model: Classifier;
  readonly trainer: Trainer;
  readonly stages: readonly BlockStage[];
  readonly stop = new AbortController();
  /** Launches of the last step. */
  launches = 0;
  /** Of training alone: what else happens between two steps is left out. */
  imagesPerSecond = 0;
  #markedAt = 0;
  #dispatches = 0;
  #step = 0;

  constructor(
    readonly id: number,
    readonly recipe: PageRecipe,
    readonly data: ImageDataset,
    readonly images: ReturnType<typeof residentImages>,
    readonly events: RunEvents,
    readonly history: History = emptyHistory(),
  ) {
    const own = recipe as Recipe;
    this.model = createNetwork(own, data.classes.length);
    this.stages = stagesOf(this.model);
    this.trainer = createTrainer(this.model, own, data, {
      ...{ train: images.train, test: images.test, signal: this.stop.signal, readEvery: updatesPerPoint() },
      onNotice: events.notice,
      onEpochStart: () => this.#mark(),
      onStep: (report, line) => this.#show(report, line),
      onEpoch: (line) => {
        history.epochs.push(line);
        events.epoch(this);
      },
    });
  }

  get info(): RunInfo {
    const { model } = this.recipe;
    const kind = (Object.keys(LABELS) as (keyof typeof LABELS)[]).find((name) => model.startsWith(name)) ?? 'resnet';
    return {
      id: this.id,
      model,
      label: LABELS[kind],
      parameters: this.model.parameterCount,
      stages: describeStages(this.stages),
      particles: kind === 'meanfield',
    };
  }

  /** Sets the rates of weights and times to those of the recipe times a factor; schedules go on from there. */
  setRate(factor: number, before: number): void {
    for (const group of this.trainer.optimizer.groups) group.lr *= factor / before;
  }

  /** The first point: where the particles stand before anything more is trained. */
  async begin(): Promise<void> {
    if (this.history.points.length) return;
    const stages = await readStages(this.stages);
    const { step, epoch } = this.trainer;
    const nothing = { loss: Number.NaN, error: Number.NaN };
    addPoint(this.history, { step, epoch, ...nothing, lr: this.recipe.lr, stages }, []);
  }

  #mark(): void {
    this.#markedAt = performance.now();
    this.#dispatches = device().stats().dispatches;
    this.#step = this.trainer.step;
  }

  async #show({ step, epoch, accuracy = 0 }: StepReport, { loss, lr }: StepLine): Promise<void> {
    const launched = device().stats().dispatches - this.#dispatches;
    if (step > this.#step) this.launches = Math.round(launched / (step - this.#step));
    const rate = (1000 * this.recipe.batch * (step - this.#step)) / (performance.now() - this.#markedAt);
    if (this.history.points.length > 3)
      // the first steps compile
      this.imagesPerSecond = this.imagesPerSecond ? 0.8 * this.imagesPerSecond + 0.2 * rate : rate;
    const stages = await readStages(this.stages);
    const before = this.history.points.at(-1)?.stages ?? stages;
    const crossings = crossingsBetween(before, stages, step);
    const point = { step, epoch, loss, error: 100 - accuracy, lr, stages };
    addPoint(this.history, point, crossings);
    this.events.point(this, point, crossings);
    await this.events.between(this);
    this.#mark();
  }

  /** Loss and error in percent on the test images, with some blocks switched off. */
  async measure(off: readonly Block[] = []): Promise<{ loss: number; error: number }> {
    const restore = await switchOff(this.stages, off);
    try {
      const result = await evaluate(this.model, this.images.test, { batchSize: this.recipe.batch });
      if (!result) throw new Error('the evaluation was stopped');
      return result;
    } finally {
      restore();
    }
  }

  /** The file that `cifar-train` would have written here. */
  async checkpoint(): Promise<Uint8Array<ArrayBuffer>> {
    const { points, epochs } = this.history;
    return encodeCheckpoint(await this.trainer.state(), { metricsLines: String(points.length + epochs.length) });
  }

  restore(bytes: Uint8Array, what: string): void {
    this.trainer.restore(decodeCheckpoint(bytes, what), what);
  }

  /** What the run has logged, as lines of metrics.jsonl hold it. */
  get metrics(): JsonObject {
    const { points, crossings, epochs } = this.history;
    return JSON.parse(JSON.stringify({ recipe: this.recipe, points, crossings, epochs }));
  }
}
