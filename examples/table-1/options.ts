// The options of table-1, and the grid they ask for: rows × arms × seeds.

import { TABLE_1 } from '../../src/models/catalog';
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
  'meanfield-shuffled': { shuffle: true },
} as const satisfies Record<string, Wanted>;
export type Arm = keyof typeof ARMS;

type OfRuns =
  | 'width'
  | 'size'
  | 'dataset'
  | 'epochs'
  | 'subset'
  | 'testSubset'
  | 'batch'
  | 'lr'
  | 'evalEvery'
  | 'checkpointEvery';

export interface Given extends Pick<Wanted, OfRuns> {
  rows?: string[];
  arms?: Arm[];
  seeds: number;
  firstSeed: number;
  data?: string;
  out: string;
  autotune?: boolean;
  plan?: boolean;
  estimate: boolean;
  json?: boolean;
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
  return program
    .optionsGroup('The grid:')
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
    .option('--dataset <name>', `${DATASETS.join(', ')} (default: cifar10, ResNeXt cifar100)`, choice(DATASETS))
    .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
    .optionsGroup('The program:')
    .option(
      '--autotune',
      'first try which kernels are fastest here; cached, and kept by resumed runs (other last bits)',
    )
    .option('--out <folder>', 'folder of the table', 'runs/table-1')
    .option('--plan', 'say what would be run and how long it would take, and end')
    .option('--no-estimate', 'begin without timing a step of each network');
}

/** A row of the table: a network's name, or the depth of a ResNet. */
const rowName = (row: string): string => modelName(/^\d+$/.test(row) ? `resnet${row}` : row);

/** The runs, in an order that completes pairs of arms first and then adds seeds. Throws UsageError for what is named twice. */
export function gridOf(given: Given): Cell[] {
  const { width, size, dataset, epochs, subset, testSubset, batch, lr, evalEvery, checkpointEvery } = given;
  const { rows: asked = TABLE_1, arms = ['vanilla', 'meanfield'] } = given;
  const rows = [...asked];
  for (const list of [rows, arms]) {
    const twice = list.find((name, i) => list.indexOf(name) < i);
    if (twice) throw new UsageError(`'${twice}' is named twice`);
  }
  const seeds = Array.from({ length: given.seeds }, (_, i) => given.firstSeed + i);
  const common = { width, size, epochs, subset, testSubset, batch, lr, evalEvery, checkpointEvery };
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
