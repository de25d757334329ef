// `npm run table-1`: trains the grid of networks × arms × seeds, run by run, and writes Table 1. Given again, it goes on where it was.

import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeAtomic } from '../../src/files/files.node.js';
import { NonFiniteLossError } from '../../src/index.node.js';
import { checkResumable } from '../../src/train/checkpoint';
import { RunFolder, readRunConfig } from '../../src/train/run-folder.node.js';
import { type DatasetName, loadDataset } from '../shared/datasets';
import { adapterName, hasGpu, reopenDevice, withDevice } from '../shared/device';
import { writePng } from '../shared/image';
import { type Interrupts, watchInterrupts } from '../shared/interrupts';
import { runProgram } from '../shared/options';
import { count, formatDuration } from '../shared/progress';
import { completeRecipe } from '../shared/recipe';
import { createReport, percent, type Report } from '../shared/report';
import { createNetwork, createTrainer } from '../shared/training';
import { type Cell, createOptions, type Given, gridOf } from './options';
import { epochsLeft, type Planned, secondsFor, timeSteps } from './plan';
import { describeTable, gather, readRun } from './table';

const program = createOptions();

/** The size for those who have no GPU and ask for none. */
const QUICK = { rows: ['resnet20'], seeds: 2, subset: 5000, epochs: 3 };

await runProgram<Given>(program, async (given) => {
  const report = createReport(given.json ?? false);
  const interrupts = watchInterrupts(report);
  interrupts.remedy = ' The same command begins again.';
  await withDevice(async () => {
    report.say(`adapter: ${adapterName()}${hasGpu() ? '' : ' (no GPU)'}`);
    const typed = ['rows', 'arms', 'seeds', 'epochs', 'subset'].some(
      (key) => program.getOptionValueSource(key) === 'cli',
    );
    if (!hasGpu() && !typed && !given.plan) {
      report.say(
        'there is no GPU and no size was asked for, so this is a small table (some 15 to 30 minutes on two cores), as by\n' +
          '  npm run table-1 -- --rows 20 --seeds 2 --subset 5000 --epochs 3',
      );
      Object.assign(given, QUICK);
    }
    await main(given, report, interrupts);
  }, given);
});

async function main(given: Given, report: Report, interrupts: Interrupts): Promise<void> {
  const cells = gridOf(given);
  const plan = await planned(cells, given, report);
  await tellPlan(plan, given, report);
  if (given.plan) return;
  mkdirSync(given.out, { recursive: true });
  interrupts.begin();
  for (const [i, cell] of plan.entries()) {
    if (epochsLeft(cell, given.out) === 0) continue;
    const finished = await train(cell, `[${i + 1}/${plan.length}] ${cell.name}`, given, interrupts.signal, report);
    await writeTable(cells, given, report);
    if (!finished) {
      report.say('stopped and saved. The same command goes on from here.');
      process.exitCode = 130;
      return;
    }
    // The next run finds the memory of this one free, whatever became of its tensors.
    await reopenDevice(given);
  }
  const table = await writeTable(cells, given, report);
  report.say(`\n${table}`);
  report.say(`table, figures and runs: ${given.out}`);
}

/** Completes the recipes by the data that there are, and refuses runs in `out` that were begun with other options. */
async function planned(cells: readonly Cell[], given: Given, report: Report): Promise<Planned[]> {
  const found = new Map<DatasetName, { name: DatasetName; trainImages: number; testImages: number }>();
  const plan: Planned[] = [];
  for (const cell of cells) {
    const { dataset } = cell.wanted;
    if (!found.has(dataset)) {
      const data = await load(cell.wanted, given, report);
      const sizes = { trainImages: data.train.count, testImages: data.test.count };
      found.set(dataset, { name: data.name as DatasetName, ...sizes });
    }
    const { name, ...sizes } = found.get(dataset)!;
    const recipe = completeRecipe({ ...cell.wanted, dataset: name });
    const folder = join(given.out, cell.name);
    if (readRun(folder)) {
      try {
        checkResumable(readRunConfig(folder).options, recipe, Object.keys(recipe));
      } catch (error) {
        throw new Error(`${folder}: ${(error as Error).message}: --out names another folder`, { cause: error });
      }
    }
    plan.push({ ...cell, recipe, ...sizes });
  }
  return plan;
}

/** Images for a run; only the first of a data set tells where they come from. */
function load({ dataset, subset, testSubset, seed }: Cell['wanted'], { data }: Given, report?: Report) {
  return loadDataset({ dataset, train: subset, test: testSubset, seed, data, log: report?.say });
}

/** Times a step of each network that is not done, and says what will be run and for how long. */
async function tellPlan(plan: readonly Planned[], given: Given, report: Report): Promise<void> {
  const rows = [...new Set(plan.map(({ row }) => row))];
  let total = 0;
  for (const row of rows) {
    const cells = plan.filter((cell) => cell.row === row);
    const open = cells.filter((cell) => epochsLeft(cell, given.out) > 0);
    const begun = open.filter((cell) => epochsLeft(cell, given.out) < cell.recipe.epochs).length;
    const counts = `${cells.length - open.length} of ${cells.length} runs finished${begun ? `, ${begun} begun` : ''}`;
    const line = {
      type: 'plan',
      row,
      runs: cells.length,
      finished: cells.length - open.length,
      epochs: cells[0]!.recipe.epochs,
    };
    if (!given.estimate || open.length === 0) {
      report.say(`${row}: ${counts}`);
      report.emit(line);
      continue;
    }
    const { imagesPerSecond, parameters } = await timeSteps(open[0]!.recipe);
    await reopenDevice(given);
    const seconds = open.reduce((sum, cell) => sum + secondsFor(epochsLeft(cell, given.out), cell, imagesPerSecond), 0);
    total += seconds;
    report.say(
      `${row}: ${count(parameters)} parameters, ${imagesPerSecond.toPrecision(3)} images/s; ${counts}; ` +
        `about ${formatDuration(seconds)} to go`,
    );
    report.emit({ ...line, parameters, imagesPerSecond, seconds });
  }
  if (total) report.say(`${plan.length} runs, about ${formatDuration(total)} to go on ${adapterName()}`);
}

/** Begins a run or goes on with it; false when it was stopped before its end. A loss that is not finite ends it for good. */
async function train(
  cell: Planned,
  title: string,
  given: Given,
  signal: AbortSignal,
  report: Report,
): Promise<boolean> {
  const { recipe, name } = cell;
  const path = join(given.out, name);
  const model = createNetwork(recipe); // first: a name of no network leaves no folder
  const folder = readRun(path) ? RunFolder.open(path) : RunFolder.create(path, recipe);
  try {
    const events = report.events(recipe.epochs, name, title);
    const trainer = createTrainer(model, recipe, await load(cell.wanted, given), { store: folder, signal, ...events });
    const checkpoint = folder.resume([], report.say);
    if (checkpoint) {
      trainer.restore(checkpoint, checkpoint.path);
      report.say(`${title}: going on after step ${count(trainer.step)}`);
    }
    const summary = await trainer.run();
    report.end();
    if (summary.finished)
      report.say(`${title}: test error ${percent(summary.testError!)}, ${formatDuration(summary.seconds)}`);
    return summary.finished;
  } catch (error) {
    if (!(error instanceof NonFiniteLossError)) throw error;
    report.end();
    report.say(`${title}: ${error.message}`);
    folder.appendMetrics({ type: 'summary', divergedAt: error.step });
    return true;
  } finally {
    folder.close();
  }
}

/** Writes table.md, table.json and the figures with what is there; returns the Markdown. */
async function writeTable(cells: readonly Cell[], { out }: Given, report: Report): Promise<string> {
  // A chart library: not before it is needed.
  const [{ drawRun }, { drawErrors }] = await Promise.all([import('../shared/figure'), import('./figures')]);
  const entries = gather(cells, out);
  const write = async (file: string, svg: string) => {
    await writePng(join(out, file.replace(/svg$/, 'png')), svg); // first: once the SVG is there, both are
    writeAtomic(join(out, file), svg);
  };
  const figures: string[] = [];
  for (const name of new Set(entries.map((entry) => entry.row))) {
    const runs = cells
      .filter((cell) => cell.row === name)
      .flatMap((cell) => {
        const run = readRun(join(out, cell.name));
        return run?.epochs.length ? [{ ...cell, ...run }] : [];
      });
    if (runs.length === 0) continue;
    figures.push(
      `errors-${name}.svg`,
      ...runs.filter(({ arm }) => arm !== 'vanilla').map((run) => `${run.name}/figure.svg`),
    );
    await write(`errors-${name}.svg`, drawErrors(`${name} on ${runs[0]!.recipe.dataset}`, runs));
    for (const run of runs)
      if (isOlder(join(out, run.name, 'figure.svg'), join(out, run.name, 'metrics.jsonl')))
        await write(`${run.name}/figure.svg`, drawRun(run.metrics, run.name));
  }
  const table = describeTable(entries, adapterName(), figures);
  writeAtomic(join(out, 'table.md'), table);
  writeAtomic(join(out, 'table.json'), `${JSON.stringify({ adapter: adapterName(), entries, figures }, null, 2)}\n`);
  report.emit({ type: 'table', entries, folder: out });
  return table;
}

/** Whether a file is older than what it was made from, or not there. */
function isOlder(file: string, source: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < statSync(source).mtimeMs;
}
