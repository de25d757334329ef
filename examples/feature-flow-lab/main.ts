// The laboratory of feature flows: experiments with what Fang et al. 2020 prove. `npm run feature-flow-lab -- --help` lists them.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { writeAtomic } from '../../src/files/files.node.js';
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

interface Outputs {
  result: object & { summary?: object };
  figure: string;
}

interface Experiment {
  summary: string;
  /** Adds its options to a command. */
  options: (command: Command) => Command;
  /** Runs with the options of the command line; `summary` in the result is the last line of --json. */
  perform: (options: unknown, say: Say, progress: Progress) => Promise<Outputs>;
}

/** The options that `options` adds are of the kind that `run` takes; what it gives is drawn. */
const experiment = <Options, Result extends Outputs['result']>(
  summary: string,
  options: (command: Command) => Command,
  run: (options: Options, say: Say, progress: Progress) => Promise<Result>,
  draw: (result: Result) => string,
): Experiment => ({
  summary,
  options,
  async perform(given, say, progress) {
    const result = await run(given as Options, say, progress);
    return { result, figure: draw(result) };
  },
});

const experiments: Record<string, Experiment> = {
  'theorem-1': experiment(theorem1Summary, theorem1Options, theorem1, drawTheorem1),
  'theorem-2': experiment(theorem2Summary, theorem2Options, theorem2, drawTheorem2),
  collapse: experiment(collapseSummary, collapseOptions, collapse, drawCollapse),
  gram: experiment(gramSummary, gramOptions, gram, drawGram),
  distance: experiment(distanceSummary, distanceOptions, distance, drawDistance),
  coordinates: experiment(coordinatesSummary, coordinatesOptions, coordinates, drawCoordinates),
  transfer: experiment(transferSummary, transferOptions, transfer, drawTransfer),
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
  const { summary, perform: run } = experiments[name] as Experiment; // no other name is a command
  const progress = createProgress({ silent: json, unit: 'steps' });
  const said: string[] = [];
  const say = (line: string) => {
    said.push(line);
    if (!json) progress.log(line);
  };
  const began = performance.now();
  const { result, figure } = await run(options, say, progress);
  const seconds = (performance.now() - began) / 1000;
  mkdirSync(out, { recursive: true });
  const { out: _, json: __, ...own } = options;
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
