// The laboratory of feature flows: experiments with what Fang et al. 2020 prove. `npm run feature-flow-lab -- --help` lists them.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { writeAtomic } from '../../src/train/files.node.js';
import { adapterName, withDevice } from '../shared/device';
import { createProgram, printJson, runProgram } from '../shared/options';
import { createProgress, formatDuration, type Progress, type Say } from '../shared/progress';
import { collapse, collapseOptions, collapseSummary, drawCollapse } from './collapse';
import { coordinates, coordinatesOptions, coordinatesSummary, drawCoordinates } from './coordinates';
import { distance, distanceOptions, distanceSummary, drawDistance } from './distance';
import { drawGram, gram, gramOptions, gramSummary } from './gram';
import { type Outcome, writeReport } from './report';
import { drawTheorem1, theorem1, theorem1Options, theorem1Summary } from './theorem-1';
import { drawTheorem2, theorem2, theorem2Options, theorem2Summary } from './theorem-2';
import { drawTransfer, transfer, transferOptions, transferSummary } from './transfer';

/** Its options come from the command line, its result is what is drawn and written; `summary` in it is the last line of --json. */
interface Experiment {
  summary: string;
  options: (command: Command) => Command;
  run: (options: never, say: Say, progress: Progress) => Promise<object & { summary?: object }>;
  draw: (result: never) => string;
}

const experiments: Record<string, Experiment> = {
  'theorem-1': { summary: theorem1Summary, options: theorem1Options, run: theorem1, draw: drawTheorem1 },
  'theorem-2': { summary: theorem2Summary, options: theorem2Options, run: theorem2, draw: drawTheorem2 },
  collapse: { summary: collapseSummary, options: collapseOptions, run: collapse, draw: drawCollapse },
  gram: { summary: gramSummary, options: gramOptions, run: gram, draw: drawGram },
  distance: { summary: distanceSummary, options: distanceOptions, run: distance, draw: drawDistance },
  coordinates: { summary: coordinatesSummary, options: coordinatesOptions, run: coordinates, draw: drawCoordinates },
  transfer: { summary: transferSummary, options: transferOptions, run: transfer, draw: drawTransfer },
};

interface Shared {
  out: string;
  json?: boolean;
}

let chosen: [name: string, options: Shared][] = [];
const program = createProgram('feature-flow-lab', 'Experiments with what Fang et al. 2020 prove of wide nets.')
  .option('--out <folder>', 'where results, figures and report.html are written', join('runs', 'feature-flow-lab'))
  .configureHelp({ showGlobalOptions: true });
for (const [name, { summary, options }] of Object.entries(experiments))
  options(program.command(name).description(summary)).action((_, command: Command) => {
    chosen = [[name, command.optsWithGlobals()]];
  });
program
  .command('all')
  .description('all of them with their defaults, one after the other')
  .action((_, command: Command) => {
    chosen = Object.entries(experiments).map(([name, { options }]) => {
      const defaults = options(program.createCommand(name)).parse([], { from: 'user' }).opts();
      return [name, { ...defaults, ...command.optsWithGlobals<Shared>() }];
    });
  });

await runProgram(program, () =>
  withDevice(async () => {
    for (const [name, options] of chosen) await perform(name, options);
  }),
);

async function perform(name: string, options: Shared): Promise<void> {
  const { out, json } = options;
  const { summary, run, draw } = experiments[name];
  const progress = createProgress({ silent: json, unit: 'steps' });
  const said: string[] = [];
  const say = (line: string) => {
    said.push(line);
    if (!json) progress.log(line);
  };
  const began = performance.now();
  const result = await run(options as never, say, progress);
  const seconds = (performance.now() - began) / 1000;
  mkdirSync(out, { recursive: true });
  const { out: _, json: __, ...own } = options;
  const figure = draw(result as never);
  const outcome: Outcome = {
    ...{ name, summary, options: own, said, seconds, date: new Date().toISOString().slice(0, 10) },
    adapter: adapterName(),
  };
  writeAtomic(join(out, `${name}.svg`), figure);
  writeAtomic(join(out, `${name}.json`), `${JSON.stringify({ ...outcome, result }, null, 1)}\n`);
  const report = writeReport(out);
  if (json) {
    printJson(result);
    if (result.summary) printJson(result.summary);
  } else progress.log(`${formatDuration(seconds)} minutes; ${join(out, `${name}.svg`)}, .json and ${report}`);
}
