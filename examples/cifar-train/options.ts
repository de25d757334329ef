// The options of cifar-train: what can be set, and what a resumed run may change.

import { type Command, InvalidArgumentError } from 'commander';
import { MODEL_NAMES } from '../../src/models/catalog';
import { checkResumable, type JsonObject } from '../../src/train/checkpoint';
import { DATASETS } from '../shared/datasets';
import { modelName } from '../shared/model-name';
import {
  choice,
  count,
  createProgram,
  imageCount,
  integerFrom,
  numberFrom,
  numberList,
  seedNumber,
  stepCount,
  UsageError,
} from '../shared/options';
import { type Recipe, SCHEDULES, type Wanted } from '../shared/recipe';

/** What the command line gives; what is absent comes from the recipe. */
export interface Given extends Wanted {
  data?: string;
  out?: string;
  autotune?: boolean;
  profile?: number | true;
  resume?: string | true;
  json?: boolean;
}

const rate = numberFrom(0);
const above = (text: string): number => {
  const alpha = rate(text);
  if (alpha === 0) throw new InvalidArgumentError('It must be above 0.');
  return alpha;
};
const randAugment = (text: string): [number, number] => {
  const [operations, magnitude] = numberList(2)(text).map(String);
  return [integerFrom(1, 14)(operations ?? ''), integerFrom(0, 30)(magnitude ?? '')];
};
const size = (text: string): number => Number(choice(['16', '24', '32'] as const)(text));

export function createOptions() {
  const program = createProgram(
    'cifar-train',
    'Trains a residual network on CIFAR, by default a mean-field ResNet-20 with the recipe of its paper.',
  );
  program.configureHelp({ sortOptions: false });
  return addRecipeOptions(program)
    .option('--out <folder>', 'folder of the run (default: runs/<model>-<dataset>-<seed>-<time>)')
    .option('--profile [steps]', 'first show where the GPU time of a step goes (default: of 5 steps)', count)
    .option('--resume [folder]', 'go on with a run: the one in this folder, in --out, or the newest one');
}

/** What decides over the numbers of a run, and where its images come from. */
export function addRecipeOptions(program: Command): Command {
  return program
    .optionsGroup('What to train, on what:')
    .option(
      '--model <name>',
      `${[...MODEL_NAMES.slice(0, 4), 'feature-flow-resnet20'].join(', ')}, … any depth 6n + 2 (default: meanfield-resnet20)`,
      modelName,
    )
    .option('--dataset <name>', `${DATASETS.join(', ')} (default: cifar10)`, choice(DATASETS))
    .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
    .option('--subset <images>', 'train on so many images, the same number of each class', imageCount)
    .option('--test-subset <images>', 'evaluate on so many', imageCount)
    .option('--width <factor>', 'on the channels of all layers (default: 1)', numberFrom(0, 1024))
    .option('--size <pixels>', 'average images to 16 or 24 pixels a side (default: 32)', size)
    .option('--no-augment', 'no random crops and flips')
    .option(
      '--cutout <pixels>',
      'leave a square of so many pixels a side out of each training image',
      integerFrom(1, 32),
    )
    .option('--mixup <alpha>', 'blend pairs of training images, by shares of Beta(alpha, alpha), such as 0.2', above)
    .option(
      '--cutmix <alpha>',
      'exchange boxes between pairs, such as 1; with --mixup each batch is one or the other',
      above,
    )
    .option(
      '--rand-augment <n,m>',
      'n of 14 operations on each training image, with magnitude m of 0 … 30, such as 2,9',
      randAugment,
    )
    .option('--seed <number>', 'of weights, order and augmentation (default: 0)', seedNumber)
    .optionsGroup('How long:')
    .option('--epochs <number>', '(default: 160, on CIFAR-100 300)', count)
    .option('--steps <number>', 'stop after so many updates', stepCount)
    .option('--batch <images>', 'images per update (default: 128)', imageCount)
    .optionsGroup('SGD:')
    .option('--lr <rate>', 'learning rate (default: 0.1)', rate)
    .option('--momentum <factor>', '(default: 0.9)', numberFrom(0, 1))
    .option('--weight-decay <factor>', '(default: 1e-4)', rate)
    .option(
      '--milestones <epochs>',
      'where the rate is multiplied by gamma (default: 1/2 and 3/4 of the epochs)',
      numberList(),
    )
    .option('--gamma <factor>', '(default: 0.1)', rate)
    .option(
      '--schedule <kind>',
      'cosine: the rate falls as half a cosine instead; one-cycle: step by step from lr/25 up to lr and down to nothing, momentum 0.95 to 0.85 and back',
      choice(SCHEDULES),
    )
    .option(
      '--ema <decay>',
      'keep an exponential average of the weights, such as 0.999, and test it beside them (default: none)',
      numberFrom(0, 1),
    )
    .option('--label-smoothing <share>', 'of the targets, spread over all classes (default: 0)', numberFrom(0, 1))
    .optionsGroup('Particles (mean-field networks):')
    .option(
      '--tau-times <kind>',
      'first times: ordinal 1 … n, fraction i/n, random (default: ordinal)',
      choice(['ordinal', 'fraction', 'random']),
    )
    .option('--tau-lr <rate>', 'learning rate of the times (default: that of the weights)', rate)
    .option('--tau-momentum <factor>', '(default: that of the weights)', numberFrom(0, 1))
    .option('--tau-weight-decay <factor>', '(default: that of the weights)', rate)
    .option('--no-tau-weight-decay', 'no weight decay on the times')
    .option('--freeze-tau', 'do not train the times')
    .option('--no-sort', 'particles never change places: steps of time may become negative')
    .option('--shuffle', 'particles in a random order over the same times before every epoch but the first: a control')
    .option('--clamp-tau', 'keep the times ≥ 0')
    .option(
      '--statistics <where>',
      "whether batch norm's statistics move with the particle or stay at the position (default: particle)",
      choice(['particle', 'position']),
    )
    .optionsGroup('Feature-flow networks (no weight decay):')
    .option('--readout <number>', "C: the readout's first weights are ±C (default: 20)", rate)
    .option('--lambda <number>', "λ of Algorithm 2's soft initialisation, 0 for none (default: 1e-4)", rate)
    .option(
      '--birth-death <rate>',
      'kill and clone particles by their effect on the loss, at this rate per step and unit of effect, such as 0.01 (default: off)',
      numberFrom(0),
    )
    .option('--birth-death-every <epochs>', 'before every so many epochs (default: 1)', count)
    .optionsGroup('The run:')
    .option('--eval-every <epochs>', 'test error after every so many epochs (default: 1)', count)
    .option('--test-batch <images>', 'images of a batch in evaluation (default: those of an update)', imageCount)
    .option('--checkpoint-every <epochs>', '(default: 1)', count)
    .option('--telemetry', 'measure on the way what crossings do to the loss, and gradients of times and weights')
    .option('--eager', 'launch every operation of a step again instead of replaying a plan (slower; other last bits)')
    .option('--amp', 'mixed precision: products in float16, the loss in float32 and scaled; needs shader-f16')
    .option(
      '--autotune',
      'first try which kernels are fastest here; cached, and kept by a resumed run (other last bits)',
    );
}

/** What a resumed run may change; everything else decides over its bits. */
export const CHANGEABLE = ['epochs', 'steps', 'evalEvery', 'checkpointEvery'];

/** The recipe of a saved run with what the command line changes. Throws an error that names every option that cannot be changed. */
export function changeRecipe(saved: Recipe, given: Given): Recipe {
  const { data: _, out: __, resume: ___, json: ____, profile: _____, autotune: ______, ...typed } = given;
  const stated: JsonObject = typed.tauWeightDecay === false ? { ...typed, tauWeightDecay: 0 } : (typed as JsonObject);
  const fixed = Object.keys(typed).filter((key) => !CHANGEABLE.includes(key));
  checkResumable(saved, stated, fixed);
  if (saved.schedule === 'one-cycle' && (stated.epochs ?? saved.epochs) !== saved.epochs)
    throw new UsageError(`--epochs: the one cycle of this run was laid out over ${saved.epochs} epochs`);
  if (saved.schedule === 'one-cycle' && (stated.steps ?? saved.steps) !== saved.steps)
    throw new UsageError('--steps: the one cycle of this run was laid out over its steps');
  return { ...saved, ...stated };
}

/** Sizes that finish in about two minutes on a processor of two cores, where there is no GPU and the user asked for nothing. */
export const QUICK = {
  model: 'meanfield-resnet20',
  subset: 960,
  testSubset: 192,
  batch: 32,
  epochs: 5,
  lr: 0.05,
  milestones: [4],
};

/** Whether the command line leaves the size of the run open. */
export const leavesSizeOpen = (given: Given): boolean =>
  Object.keys(given).every((key) =>
    ['json', 'out', 'seed', 'data', 'augment', 'eager', 'amp', 'profile', 'autotune'].includes(key),
  );
