// The options of table-1, and the grid they ask for: rows × arms × seeds.

import type { Command } from 'commander';
import { TABLE_1 } from '../../src/models/catalog';
import { addQueueOptions, type QueueGiven } from '../queue/options';
import { DATASETS, type DatasetName } from '../shared/datasets';
import { modelName } from '../shared/model-name';
import {
  choice,
  choices,
  count,
  createProgram,
  imageCount,
  numberFrom,
  seedNumber,
  UsageError,
  words,
} from '../shared/options';
import type { Wanted } from '../shared/recipe';

const sizeOption = (text: string): number => Number(choice(['16', '24', '32'] as const)(text));

/** What an arm changes in the recipe of its row. */
export const ARMS = {
  vanilla: {},
  meanfield: {},
  'meanfield-no-decay': { tauWeightDecay: false },
  'meanfield-frozen': { freezeTau: true },
  'meanfield-fraction': { tauTimes: 'fraction' },
  // What re-sorting does: times are trained as ever, and the blocks never change places.
  'meanfield-unsorted': { sort: false },
  'meanfield-fraction-unsorted': { tauTimes: 'fraction', sort: false },
  'meanfield-random': { tauTimes: 'random' },
  'meanfield-fast': { tauRate: 10 },
  'meanfield-fast-100': { tauRate: 100 },
  'meanfield-fast-unsorted': { tauRate: 10, sort: false },
  'meanfield-shuffled': { shuffle: true },
  'meanfield-fraction-shuffled': { tauTimes: 'fraction', shuffle: true },
  // Times i/n make the branches n times weaker: this tells how much of what they do is that alone.
  'meanfield-fraction-frozen': { tauTimes: 'fraction', freezeTau: true },
} as const satisfies Record<string, Wanted>;
export type Arm = keyof typeof ARMS;

/** Options that every run gets as they are. */
const OF_RUNS = [
  ...(['width', 'size', 'dataset', 'epochs', 'subset', 'testSubset', 'batch', 'lr'] as const),
  ...(['evalEvery', 'checkpointEvery', 'testBatch', 'telemetry'] as const),
];

export interface Given extends Pick<Wanted, (typeof OF_RUNS)[number]>, QueueGiven {
  preset?: keyof typeof PRESETS;
  rows?: readonly string[];
  arms?: readonly Arm[];
  seeds: number;
  firstSeed: number;
  data?: string;
  out: string;
  autotune?: boolean;
  plan?: boolean;
  report?: boolean;
  /** Minutes. */
  timeLimit?: number;
  estimate: boolean;
  json?: boolean;
}

/** Chosen before any of these runs was looked at; `docs/re-sorting.md` says why each of them is there. */
const RE_SORTING: Arm[] = [
  ...(['vanilla', 'meanfield', 'meanfield-fraction', 'meanfield-fraction-unsorted'] as const),
  ...(['meanfield-fraction-shuffled', 'meanfield-fraction-frozen'] as const),
  ...(['meanfield-fast', 'meanfield-fast-unsorted', 'meanfield-random'] as const),
];

/** Grids with a name: what stands in the options that are not given. The seeds 0 to 2 had been seen in a pilot. */
export const PRESETS = {
  // A narrow ResNet-56, small images, few epochs: particles cross, and a run takes minutes on two cores, seconds on a GPU.
  're-sorting': {
    ...{
      rows: ['resnet56'],
      arms: RE_SORTING,
      seeds: 7,
      firstSeed: 3,
      width: 0.5,
      size: 16,
      subset: 10_000,
      epochs: 8,
    },
    ...{ testBatch: 1000, telemetry: true, out: 'runs/re-sorting' },
  },
  // The whole network on all images, for a GPU.
  're-sorting-full': {
    ...{ rows: ['resnet56'], arms: RE_SORTING, seeds: 7, firstSeed: 3, epochs: 20 },
    ...{ testBatch: 500, telemetry: true, out: 'runs/re-sorting-full' },
  },
} satisfies Record<string, Partial<Given>>;

/** What was given, completed by the preset, if there is one: what was typed goes before it. */
export function withPreset(program: Command): Given {
  const given = { ...program.opts<Given>() };
  if (!given.preset) return given;
  // Its runs tell soon enough how long the rest will take.
  const preset: Partial<Given> = { ...PRESETS[given.preset], estimate: given.plan ?? false };
  const open = Object.entries(preset).filter(([key]) => program.getOptionValueSource(key) !== 'cli');
  return Object.assign(given, Object.fromEntries(open));
}

/** One run of the grid. */
export interface Cell {
  /** The run's folder within the table's. */
  readonly name: string;
  /** The vanilla network. */
  readonly row: string;
  readonly arm: Arm;
  readonly seed: number;
  readonly wanted: Wanted & { dataset: DatasetName };
}

export function createOptions() {
  const program = createProgram(
    'table-1',
    "Table 1 of the mean-field paper: trains each network (row) as vanilla and as mean-field (arms) from the same seeds, and compares. A run that was stopped or killed goes on when the command is given again; what is finished is not run again. Runs lie in the table's folder, with table.md, table.json and figures.",
  );
  program.configureHelp({ sortOptions: false });
  const names = Object.keys(ARMS) as Arm[];
  program
    .optionsGroup('The grid:')
    .option(
      '--preset <name>',
      `a grid with a name, ${Object.keys(PRESETS).join(' or ')}: what re-sorting does, see docs/re-sorting.md; options given beside it go first`,
      choice(Object.keys(PRESETS) as (keyof typeof PRESETS)[]),
    )
    .option('--rows <names>', `networks, or depths of ResNets (default: all, ${TABLE_1.join(', ')})`, (text) =>
      words()(text).map(rowName),
    )
    .option('--arms <names>', `of ${names.join(', ')} (default: vanilla,meanfield)`, choices(names))
    .option('--seeds <number>', 'runs of each network and arm; the arms of a seed share weights and batches', count, 3)
    .option('--first-seed <number>', 'the seeds go up from here', seedNumber, 0)
    .optionsGroup('Each run:')
    .option('--epochs <number>', '(default: 160, ResNeXt 300); the rate falls at 1/2 and 3/4', count)
    .option('--width <factor>', 'on the channels of all layers (default: 1)', numberFrom(0, 1024))
    .option('--size <pixels>', 'average images to 16 or 24 pixels a side (default: 32)', sizeOption)
    .option('--subset <images>', 'train on so many images, the same number of each class', imageCount)
    .option('--test-subset <images>', 'evaluate on so many', imageCount)
    .option('--batch <images>', 'images per update (default: 128)', imageCount)
    .option('--lr <rate>', 'learning rate (default: 0.1)', numberFrom(0))
    .option('--eval-every <epochs>', 'test error after every so many epochs (default: 1)', count)
    .option('--checkpoint-every <epochs>', '(default: 1)', count)
    .option('--test-batch <images>', 'images of a batch in evaluation (default: those of an update)', imageCount)
    .option('--telemetry', 'measure on the way what crossings do to the loss, and gradients of times and weights')
    .option('--dataset <name>', `${DATASETS.join(', ')} (default: cifar10, ResNeXt cifar100)`, choice(DATASETS))
    .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
    .optionsGroup('The program:')
    .option(
      '--autotune',
      'first try which kernels are fastest here; cached, and kept by resumed runs (other last bits)',
    )
    .option('--out <folder>', 'folder of the table', 'runs/table-1')
    .option('--plan', 'say what would be run and how long it would take, and end')
    .option('--report', 'make table and figures of what has been run so far, and end')
    .option('--time-limit <minutes>', 'stop and save after so long', numberFrom(0, 1e6))
    .option('--no-estimate', 'begin without timing a step of each network');
  return addQueueOptions(program);
}

/** A row of the table: a network's name, or the depth of a ResNet. */
const rowName = (row: string): string => modelName(/^\d+$/.test(row) ? `resnet${row}` : row);

/** The runs, in an order that completes pairs of arms first and then adds seeds. Throws UsageError for what is named twice. */
export function gridOf(given: Given): Cell[] {
  const { dataset } = given;
  const { rows: asked = TABLE_1, arms = ['vanilla', 'meanfield'] } = given;
  const rows = [...asked];
  for (const list of [rows, arms] as readonly string[][]) {
    const twice = list.find((name, i) => list.indexOf(name) < i);
    if (twice) throw new UsageError(`'${twice}' is named twice`);
  }
  const seeds = Array.from({ length: given.seeds }, (_, i) => given.firstSeed + i);
  const common = Object.fromEntries(OF_RUNS.map((key) => [key, given[key]]));
  return seeds.flatMap((seed) =>
    rows.flatMap((row) =>
      arms.map((arm): Cell => {
        const model = arm === 'vanilla' ? row : `meanfield-${row}`;
        const images = dataset ?? (row.includes('resnext') ? 'cifar100' : 'cifar10');
        const wanted = { ...common, ...ARMS[arm], model, seed, dataset: images };
        return { name: `${row}-${arm}-seed${seed}`, row, arm, seed, wanted };
      }),
    ),
  );
}
