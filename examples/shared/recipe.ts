// The recipe of a run: every option that decides over its numbers, the paper's where the command line leaves it open.

import type { JsonObject } from '../../src/train/checkpoint';
import { DATASETS, type DatasetName } from './dataset-names';
import { UsageError } from './usage-error';

/** A complete recipe: the options of a run as config.json and checkpoints hold them. */
export type Recipe = {
  model: string;
  dataset: DatasetName;
  subset?: number;
  testSubset?: number;
  augment: boolean;
  compile: boolean;
  epochs: number;
  steps?: number;
  batch: number;
  lr: number;
  momentum: number;
  weightDecay: number;
  milestones: readonly number[];
  gamma: number;
  seed: number;
  tauTimes: 'ordinal' | 'fraction' | 'random';
  tauLr: number;
  tauMomentum: number;
  tauWeightDecay: number;
  freezeTau: boolean;
  clampTau: boolean;
  statistics: 'particle' | 'position';
  /** false: particles never change places. */
  sort?: boolean;
  /** Particles are put into a random order, over the same times, before every epoch but the first: a control. */
  shuffle?: boolean;
  /** Rate of births and deaths of particles, and epochs between two rounds. */
  birthDeath?: number;
  birthDeathEvery?: number;
  /** Factor on the channels; without one 1. */
  width?: number;
  /** Height and width that images are averaged to; without one 32. */
  size?: number;
  /** Feature-flow networks: C of the readout, λ of Algorithm 2 (0: left out). */
  readout?: number;
  lambda?: number;
  evalEvery: number;
  checkpointEvery: number;
  /** Images of a batch in evaluation; without one that of training. */
  testBatch?: number;
  /** What happens to the particles is measured on the way. */
  telemetry?: boolean;
  /** Mixed precision. */
  amp?: boolean;
  /** Side of the square that is left out of each training image. */
  cutout?: number;
  /** ε of the targets (1 − ε) · onehot + ε / classes. */
  labelSmoothing?: number;
  /** α of mixup and of cutmix. */
  mixup?: number;
  cutmix?: number;
  /** Operations of RandAugment, and their magnitude. */
  randAugment?: readonly [operations: number, magnitude: number];
  /** Decay of the exponential average of the weights. */
  ema?: number;
  /** How the rate changes: in steps at the milestones (without it), as half a cosine, or step by step up and down once. */
  schedule?: (typeof SCHEDULES)[number];
};

export const SCHEDULES = ['cosine', 'one-cycle'] as const;

/** What may be stated of a recipe; `tauWeightDecay: false` is 0, `eager` the opposite of `compile`. */
export interface Wanted extends Partial<Omit<Recipe, 'compile' | 'tauWeightDecay' | 'milestones'>> {
  milestones?: number[];
  tauWeightDecay?: number | false;
  /** Rate of the times as a factor on that of the weights. */
  tauRate?: number;
  eager?: boolean;
}

/**
 * Fills in the paper's recipe: batch 128, SGD with momentum 0.9, weight decay 1e-4 (ResNeXt 5e-4), rate 0.1 divided by 10 at 1/2 and 3/4 of
 * the 160 epochs (CIFAR-100 and ResNeXt 300). The times follow the weights. Feature-flow networks have no weight decay.
 */
export function completeRecipe(given: Wanted): Recipe {
  const { model = 'meanfield-resnet20', dataset = 'cifar10', momentum = 0.9 } = given;
  const flow = model.startsWith('feature-flow');
  if (flow && given.weightDecay) throw new UsageError('--weight-decay: scaled gradient descent has none');
  const foreign = flow ? undefined : (['readout', 'lambda'] as const).find((name) => given[name] !== undefined);
  if (foreign) throw new UsageError(`--${foreign} belongs to feature-flow networks, not to ${model}`);
  if (given.shuffle && given.sort === false)
    throw new UsageError('--shuffle puts particles over sorted times: it does not go with --no-sort');
  const { lr = 0.1 } = given;
  const resnext = model.includes('resnext');
  const { epochs = dataset === 'cifar100' || resnext ? 300 : 160, weightDecay = flow ? 0 : resnext ? 5e-4 : 1e-4 } =
    given;
  if (given.schedule && (given.milestones || given.gamma !== undefined))
    throw new UsageError(`--schedule ${given.schedule} has neither --milestones nor --gamma`);
  if (given.schedule === 'one-cycle' && (given.momentum !== undefined || given.tauMomentum !== undefined))
    throw new UsageError('--schedule one-cycle takes the momentum from 0.95 to 0.85 and back: leave out --momentum');
  const augmentation = (['cutout', 'mixup', 'cutmix', 'randAugment'] as const).find((name) => given[name]);
  if (augmentation && given.augment === false)
    throw new UsageError(`--${augmentation.replace('A', '-a')} is an augmentation: leave out --no-augment`);
  const milestones = given.milestones ?? [0.5, 0.75].map((part) => Math.round(part * epochs));
  if (milestones.some((m, i) => !Number.isInteger(m) || m < 0 || m < (milestones[i - 1] ?? 0)))
    throw new UsageError(`--milestones ${milestones.join(',')}: these must be epochs in ascending order`);
  return {
    model,
    dataset,
    ...(given.subset && { subset: given.subset }),
    ...(given.testSubset && { testSubset: given.testSubset }),
    augment: given.augment ?? true,
    compile: !given.eager,
    epochs,
    ...(given.steps && { steps: given.steps }),
    batch: given.batch ?? 128,
    lr,
    momentum,
    weightDecay,
    milestones,
    gamma: given.gamma ?? 0.1,
    seed: given.seed ?? 0,
    tauTimes: given.tauTimes ?? 'ordinal',
    tauLr: given.tauLr ?? lr * (given.tauRate ?? 1),
    tauMomentum: given.tauMomentum ?? momentum,
    tauWeightDecay: given.tauWeightDecay === false ? 0 : (given.tauWeightDecay ?? weightDecay),
    freezeTau: given.freezeTau ?? false,
    clampTau: given.clampTau ?? false,
    statistics: given.statistics ?? 'particle',
    ...(given.sort === false && { sort: false }),
    ...(given.shuffle && { shuffle: true }),
    ...((flow || given.width !== undefined) && { width: given.width ?? 1 }),
    ...(given.size !== undefined && { size: given.size }),
    ...(flow && { readout: given.readout ?? 20, lambda: given.lambda ?? 1e-4 }),
    ...(given.birthDeath && { birthDeath: given.birthDeath, birthDeathEvery: given.birthDeathEvery ?? 1 }),
    evalEvery: given.evalEvery ?? 1,
    checkpointEvery: given.checkpointEvery ?? 1,
    ...(given.testBatch && { testBatch: given.testBatch }),
    ...(given.telemetry && { telemetry: true }),
    ...(given.amp && { amp: true }),
    ...(given.cutout && { cutout: given.cutout }),
    ...(given.labelSmoothing && { labelSmoothing: given.labelSmoothing }),
    ...(given.mixup && { mixup: given.mixup }),
    ...(given.cutmix && { cutmix: given.cutmix }),
    ...(given.randAugment && { randAugment: given.randAugment }),
    ...(given.ema !== undefined && { ema: given.ema }),
    ...(given.schedule && { schedule: given.schedule }),
  };
}

/** What a field must be, in words, and whether a value is that. */
type Check = readonly [must: string, is: (value: unknown) => boolean];

const whole = (least: number): Check => [
  `a whole number of at least ${least}`,
  (value) => Number.isSafeInteger(value) && (value as number) >= least,
];
const factor: Check = ['a finite number of at least 0', (value) => Number.isFinite(value) && (value as number) >= 0];
const positive: Check = ['a finite number above 0', (value) => factor[1](value) && value !== 0];
const share: Check = ['a number of 0 … 1', (value) => factor[1](value) && (value as number) <= 1];
const pair: Check = [
  'two whole numbers: of 1 … 14 operations, and a magnitude of 0 … 30',
  (value) =>
    Array.isArray(value) &&
    value.length === 2 &&
    value.every(Number.isInteger) &&
    value.every((n, i) => n >= 1 - i && n <= (i ? 30 : 14)),
];
const flag: Check = ['true or false', (value) => typeof value === 'boolean'];
const text: Check = ['a name', (value) => typeof value === 'string' && value !== ''];
const oneOf = (names: readonly (string | number)[]): Check => [
  `one of ${names.join(', ')}`,
  (value) => names.includes(value as string),
];
const optional = ([must, is]: Check): Check => [must, (value) => value === undefined || is(value)];
const epochs: Check = ['epochs', (value) => Array.isArray(value) && value.every(whole(0)[1])];

const FIELDS: Record<keyof Recipe, Check> = {
  ...{ model: text, dataset: oneOf(DATASETS), subset: optional(whole(1)), testSubset: optional(whole(1)) },
  ...{ augment: flag, compile: flag, epochs: whole(1), steps: optional(whole(1)), batch: whole(1), seed: whole(0) },
  ...{ lr: factor, momentum: factor, weightDecay: factor, milestones: epochs, gamma: factor },
  ...{ tauTimes: oneOf(['ordinal', 'fraction', 'random']), tauLr: factor, tauMomentum: factor, tauWeightDecay: factor },
  ...{ freezeTau: flag, clampTau: flag, statistics: oneOf(['particle', 'position']) },
  ...{ birthDeath: optional(factor), birthDeathEvery: optional(whole(1)) },
  ...{ sort: optional(flag), shuffle: optional(flag), size: optional(oneOf([16, 24, 32])) },
  ...{ width: optional(factor), readout: optional(factor), lambda: optional(factor) },
  ...{ evalEvery: whole(1), checkpointEvery: whole(1), testBatch: optional(whole(1)), telemetry: optional(flag) },
  ...{ amp: optional(flag), cutout: optional(whole(0)), labelSmoothing: optional(factor) },
  ...{ mixup: optional(positive), cutmix: optional(positive), randAugment: optional(pair), ema: optional(share) },
  schedule: optional(oneOf(SCHEDULES)),
};

/** The recipe that a file holds. Throws an error that names the file, `what`, and the field that cannot be; with `names` only those are looked at, where they are there. */
export function checkRecipe(options: JsonObject, what: string, names?: readonly (keyof Recipe)[]): Recipe {
  for (const name of names ?? (Object.keys(FIELDS) as (keyof Recipe)[])) {
    const [must, is] = names ? optional(FIELDS[name]) : FIELDS[name];
    if (!is(options[name]))
      throw new Error(`${what}: options.${name} is ${JSON.stringify(options[name])}, it must be ${must}`);
  }
  return options as Recipe;
}
