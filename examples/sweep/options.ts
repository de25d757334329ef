// The options of a sweep: those of cifar-train, fixed or varied, and how.

import type { Command } from 'commander';
import { addRecipeOptions } from '../cifar-train/options';
import { addQueueOptions, type QueueGiven } from '../queue/options';
import { count, createProgram, numberFrom, seedNumber } from '../shared/options';
import type { Wanted } from '../shared/recipe';

export interface Given extends Wanted, QueueGiven {
  grid?: string[];
  random?: number;
  searchSeed: number;
  seeds: number;
  data?: string;
  autotune?: boolean;
  out: string;
  plan?: boolean;
  report?: boolean;
  timeLimit?: number;
  json?: boolean;
}

/** Of the options above: those that are no part of a recipe. */
export const OF_SWEEP = [
  ...(['grid', 'random', 'searchSeed', 'seeds', 'data', 'autotune', 'out', 'plan', 'report', 'timeLimit'] as const),
  ...(['json', 'queue', 'detach', 'watch'] as const),
];

export function createOptions(): Command {
  const program = createProgram(
    'sweep',
    'Trains networks over a grid of any options of cifar-train, or at random points of it: docs/sweeps.md. A sweep that was stopped goes on when the command is given again.',
  );
  program.configureHelp({ sortOptions: false });
  program
    .optionsGroup('The sweep:')
    .option(
      '--grid <option=values>',
      'lr=0.05,0.1,0.2: an option of those below and its values; once for each option; yes and no for those without a value',
      (text: string, before: string[] = []) => [...before, text],
    )
    .option(
      '--random <points>',
      'so many points drawn from the grid; a range lr=0.01..1 is drawn evenly by its logarithm',
      count,
    )
    .option('--search-seed <number>', 'of the points that --random draws', seedNumber, 0)
    .option('--seeds <number>', 'runs of each point', count, 1)
    .option('--out <folder>', 'folder of the sweep', 'runs/sweep')
    .option('--plan', 'list the runs, and end')
    .option('--report', 'make table and figure of what has been run so far, and end')
    .option('--time-limit <minutes>', 'stop and save after so long', numberFrom(0, 1e6));
  return addQueueOptions(addRecipeOptions(program));
}
