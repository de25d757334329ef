// `npm run table-1`: trains the grid of networks × arms × seeds, run by run, and writes Table 1. Given again, it goes on where it was.

import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { at } from '../../shaders/checked';
import { readJson, writeAtomic } from '../../src/files/files.node.js';
import { device, NonFiniteLossError } from '../../src/index.node.js';
import { checkResumable } from '../../src/train/checkpoint';
import { RunFolder, readRunConfig } from '../../src/train/run-folder.node.js';
import type { DatasetName } from '../shared/datasets';
import { adapterName, hasGpu, reopenDevice, withDevice } from '../shared/device';
import { writePng } from '../shared/image';
import { type Interrupts, watchInterrupts } from '../shared/interrupts';
import { commandOf, runProgram } from '../shared/options';
import { count, formatDuration } from '../shared/progress';
import { completeRecipe } from '../shared/recipe';
import { createReport, percent, type Report } from '../shared/report';
import { createNetwork, createTrainer } from '../shared/training';
import { type Comparison, compare } from './comparisons';
import { SharedImages } from './images';
import { type Cell, createOptions, type Given, gridOf, withPreset } from './options';
import { epochsLeft, type Planned, secondsFor, timeSteps, WorkLeft } from './plan';
import { describeTable, gather, readRun } from './table';

const program = createOptions();

/** Bytes on the device between two runs: what the collector has not seen yet. */
const MOST_LEFT = 2 ** 30;

/** The size for those who have no GPU and ask for none. */
const QUICK = { rows: ['resnet20'], seeds: 2, subset: 5000, epochs: 3 };

await runProgram<Given>(program, async () => {
  const given = withPreset(program);
  const report = createReport(given.json ?? false);
  if (given.report) {
    report.say(`\n${await writeTable(gridOf(given), given, report, true)}`);
    report.say(`table and figures: ${given.out}`);
    return;
  }
  const interrupts = watchInterrupts(report);
  interrupts.remedy = ' The same command begins again.';
  await withDevice(async () => {
    report.say(`adapter: ${adapterName()}${hasGpu() ? '' : ' (no GPU)'}`);
    const typed = ['preset', 'rows', 'arms', 'seeds', 'epochs', 'subset'].some(
      (key) => program.getOptionValueSource(key) === 'cli',
    );
    if (!hasGpu() && !typed && !given.plan) {
      report.say(
        'there is no GPU and no size was asked for, so this is a small table (some 15 to 30 minutes on two cores), as by\n' +
          `  ${commandOf('table-1')} --rows 20 --seeds 2 --subset 5000 --epochs 3`,
      );
      Object.assign(given, QUICK);
    }
    await main(given, report, interrupts);
  }, given);
});

async function main(given: Given, report: Report, interrupts: Interrupts): Promise<void> {
  const images = new SharedImages(given, report);
  const cells = gridOf(given);
  const plan = await planned(cells, given, images);
  await tellPlan(plan, given, report);
  if (given.plan) return;
  mkdirSync(given.out, { recursive: true });
  interrupts.begin();
  const limit = given.timeLimit === undefined ? [] : [AbortSignal.timeout(60_000 * given.timeLimit)];
  const signal = AbortSignal.any([interrupts.signal, ...limit]);
  const open = plan.filter((cell) => epochsLeft(cell, given.out) > 0);
  const work = new WorkLeft(open, given.out);
  let row = open[0]?.row;
  for (const cell of open) {
    // Runs of one network share its pipelines, which take longest to make, and the images. Another one finds all memory free.
    if (cell.row !== row || device().stats().liveBytes > MOST_LEFT) {
      images.release();
      await reopenDevice(given);
      row = cell.row;
    }
    const title = `[${plan.indexOf(cell) + 1}/${plan.length}] ${cell.name}`;
    const finished = signal.aborted ? false : await train(cell, title, given, images, signal, report);
    if (!finished) {
      report.say(`\n${await writeTable(cells, given, report, true)}`);
      report.say('stopped and saved. The same command goes on from here.');
      process.exitCode = 130;
      return;
    }
    await writeTable(cells, given, report, false);
    const { done, secondsLeft } = work.finished(cell);
    const ended = plan.length - open.length + done;
    if (done < open.length)
      report.say(`${ended} of ${plan.length} runs finished, about ${formatDuration(secondsLeft)} to go`);
    report.emit({ type: 'progress', finished: ended, runs: plan.length, secondsLeft });
  }
  const table = await writeTable(cells, given, report, true);
  report.say(`\n${table}`);
  report.say(`table, figures and runs: ${given.out}`);
}

/** Completes the recipes by the data that there are, and refuses runs in `out` that were begun with other options. */
async function planned(cells: readonly Cell[], given: Given, images: SharedImages): Promise<Planned[]> {
  const found = new Map<DatasetName, { name: DatasetName; trainImages: number; testImages: number }>();
  const plan: Planned[] = [];
  for (const cell of cells) {
    const { dataset } = cell.wanted;
    let sizes = found.get(dataset);
    if (!sizes) {
      const data = await images.data(cell.wanted);
      const [trainImages, testImages] = [data.train.count, data.test.count];
      found.set(dataset, (sizes = { name: data.name as DatasetName, trainImages, testImages }));
    }
    const { name, ...counts } = sizes;
    const recipe = completeRecipe({ ...cell.wanted, dataset: name });
    const folder = join(given.out, cell.name);
    if (readRun(folder)) {
      try {
        checkResumable(readRunConfig(folder).options, recipe, Object.keys(recipe));
      } catch (error) {
        throw new Error(`${folder}: ${(error as Error).message}: --out names another folder`, { cause: error });
      }
    }
    plan.push({ ...cell, recipe, ...counts });
  }
  return plan;
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
      epochs: at(cells, 0).recipe.epochs,
    };
    const [next] = open;
    if (!given.estimate || !next) {
      report.say(`${row}: ${counts}`);
      report.emit(line);
      continue;
    }
    const { imagesPerSecond, parameters } = await timeSteps(next.recipe);
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
  images: SharedImages,
  signal: AbortSignal,
  report: Report,
): Promise<boolean> {
  const { recipe, name } = cell;
  const path = join(given.out, name);
  const model = createNetwork(recipe); // first: a name of no network leaves no folder
  const folder = readRun(path) ? RunFolder.open(path) : RunFolder.create(path, recipe);
  try {
    const events = report.events(recipe.epochs, name, title);
    const data = await images.data(cell.wanted);
    const { train, test } = await images.resident(cell.wanted, recipe);
    const trainer = createTrainer(model, recipe, data, { train, test, store: folder, signal, ...events });
    const checkpoint = folder.resume([], report.say);
    if (checkpoint) {
      trainer.restore(checkpoint, checkpoint.path);
      report.say(`${title}: going on after step ${count(trainer.step)}`);
    }
    const summary = await trainer.run();
    report.end();
    if (summary.finished && summary.testError !== null)
      report.say(`${title}: test error ${percent(summary.testError)}, ${formatDuration(summary.seconds)}`);
    return summary.finished;
  } catch (error) {
    if (!(error instanceof NonFiniteLossError)) throw error;
    report.end();
    report.say(`${title}: ${error.message}`);
    folder.appendMetrics({ type: 'summary', divergedAt: error.step });
    return true;
  } finally {
    folder.close();
    for (const [, tensor] of model.namedTensors()) tensor.dispose();
  }
}

/** Writes table.md and table.json with what is there, and the figures, if they are wanted; returns the Markdown. */
async function writeTable(cells: readonly Cell[], given: Given, report: Report, withFigures: boolean): Promise<string> {
  const { out } = given;
  const entries = gather(cells, out);
  if (!entries.length && given.report) throw new Error(`${out}: no run of this grid was begun here`);
  const comparisons = compare(entries);
  const figures = withFigures ? await writeFigures(cells, comparisons, out) : [];
  const adapter = adaptersOf(out, !given.report && adapterName());
  const table = describeTable(entries, adapter, figures, comparisons);
  writeAtomic(join(out, 'table.md'), table);
  writeAtomic(join(out, 'table.json'), `${JSON.stringify({ adapter, entries, comparisons, figures }, null, 2)}\n`);
  report.emit({ type: 'table', entries, comparisons, folder: out });
  return table;
}

/** Where the runs were made: what the table says so far, and this one. */
function adaptersOf(out: string, here: string | false): string {
  const file = join(out, 'table.json');
  const { adapter = '' } = existsSync(file) ? (readJson(file) as { adapter?: string }) : {};
  return (
    [...new Set([...adapter.split('; '), here || ''])].filter(Boolean).join('; ') || 'an adapter that was not noted'
  );
}

/** Draws the errors of each network, the comparisons, and the runs that were not drawn yet; names relative to `out`. */
async function writeFigures(
  cells: readonly Cell[],
  comparisons: readonly Comparison[],
  out: string,
): Promise<string[]> {
  // A chart library: not before it is needed.
  const [{ drawRun }, { drawErrors, drawComparisons }] = await Promise.all([
    import('../shared/figure'),
    import('./figures'),
  ]);
  const write = async (file: string, svg: string) => {
    await writePng(join(out, file.replace(/svg$/, 'png')), svg); // first: once the SVG is there, both are
    writeAtomic(join(out, file), svg);
  };
  const figures: string[] = [];
  for (const name of new Set(cells.map((cell) => cell.row))) {
    const runs = cells
      .filter((cell) => cell.row === name)
      .flatMap((cell) => {
        const run = readRun(join(out, cell.name));
        return run?.epochs.length ? [{ ...cell, ...run }] : [];
      });
    const [one] = runs;
    if (!one) continue;
    figures.push(`errors-${name}.svg`);
    await write(`errors-${name}.svg`, drawErrors(`${name} on ${one.recipe.dataset}`, runs));
    const mine = comparisons.filter(({ row, difference }) => row === name && difference.pairs > 1);
    if (mine.length) {
      figures.push(`comparisons-${name}.svg`);
      await write(`comparisons-${name}.svg`, drawComparisons(`${name}: arms compared`, mine));
    }
    for (const run of runs)
      if (isOlder(join(out, run.name, 'figure.svg'), join(out, run.name, 'metrics.jsonl')))
        await write(`${run.name}/figure.svg`, drawRun(run.metrics, run.name));
    figures.push(...runs.filter(({ arm }) => arm !== 'vanilla').map((run) => `${run.name}/figure.svg`));
  }
  return figures;
}

/** Whether a file is older than what it was made from, or not there. */
function isOlder(file: string, source: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < statSync(source).mtimeMs;
}
