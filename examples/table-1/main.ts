// `npm run table-1`: trains the grid of networks × arms × seeds, run by run, and writes Table 1. Given again, it goes on where it was.

import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { at } from '../../shaders/checked';
import { readJson, writeAtomic } from '../../src/files/files.node.js';
import { checkQueueOptions } from '../queue/options';
import { runQueued } from '../queue/planner';
import { adapterName, hasGpu, reopenDevice, withDevice } from '../shared/device';
import { epochsLeft, type Planned, planRuns, Session, secondsFor, trainHere } from '../shared/grid';
import { writePng } from '../shared/image';
import { SharedImages } from '../shared/images';
import { type Interrupts, watchInterrupts } from '../shared/interrupts';
import { commandOf, runProgram } from '../shared/options';
import { count, formatDuration } from '../shared/progress';
import { createReport, type Report } from '../shared/report';
import { readRun } from '../shared/run-state';
import { type Comparison, compare } from './comparisons';
import { type Cell, createOptions, type Given, gridOf, withPreset } from './options';
import { timeSteps } from './plan';
import { describeTable, gather } from './table';

const program = createOptions();

/** The size for those who have no GPU and ask for none. */
const QUICK = { rows: ['resnet20'], seeds: 2, subset: 5000, epochs: 3 };

await runProgram<Given>(program, async () => {
  const given = withPreset(program);
  checkQueueOptions(given);
  const report = createReport(given.json ?? false);
  if (given.report) {
    report.say(`\n${await writeTable(gridOf(given), given, report, true)}`);
    report.say(`table and figures: ${given.out}`);
    return;
  }
  const interrupts = watchInterrupts(report);
  interrupts.remedy = ' The same command begins again.';
  if (given.queue) {
    const { queue: url, out } = given;
    const images = new SharedImages(given, report);
    given.estimate = false; // it needs an adapter, which a machine that only plans may not have
    await runGrid(given, report, interrupts, images, (plan, signal, onEnd) =>
      runQueued(plan, { ...given, url, out, signal, report, onEnd }),
    );
    return;
  }
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
    const images = new SharedImages(given, report);
    const session = new Session(given, images, report);
    await runGrid(given, report, interrupts, images, (plan, signal, onEnd) =>
      trainHere(plan, given.out, session, signal, report, onEnd),
    );
  }, given);
});

/** Runs the grid, or has it run by the workers of a queue; false when it was stopped. */
type Runner = (plan: readonly Planned<Cell>[], signal: AbortSignal, onEnd: () => Promise<void>) => Promise<boolean>;

async function runGrid(given: Given, report: Report, interrupts: Interrupts, images: SharedImages, run: Runner) {
  const cells = gridOf(given);
  const plan = await planRuns(cells, given.out, images);
  await tellPlan(plan, given, report);
  if (given.plan) return;
  mkdirSync(given.out, { recursive: true });
  interrupts.begin();
  const limit = given.timeLimit === undefined ? [] : [AbortSignal.timeout(60_000 * given.timeLimit)];
  const signal = AbortSignal.any([interrupts.signal, ...limit]);
  const finished = await run(plan, signal, async () => void (await writeTable(cells, given, report, false)));
  if (given.detach) return;
  report.say(`\n${await writeTable(cells, given, report, true)}`);
  if (finished) return report.say(`table, figures and runs: ${given.out}`);
  report.say(
    given.queue
      ? 'no longer waiting: the workers go on, and the same command waits again.'
      : 'stopped and saved. The same command goes on from here.',
  );
  process.exitCode = 130;
}

/** Times a step of each network that is not done, and says what will be run and for how long. */
async function tellPlan(plan: readonly Planned<Cell>[], given: Given, report: Report): Promise<void> {
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

/** Writes table.md and table.json with what is there, and the figures, if they are wanted; returns the Markdown. */
async function writeTable(cells: readonly Cell[], given: Given, report: Report, withFigures: boolean): Promise<string> {
  const { out } = given;
  const entries = gather(cells, out);
  if (!entries.length && given.report) throw new Error(`${out}: no run of this grid was begun here`);
  const comparisons = compare(entries);
  const figures = withFigures ? await writeFigures(cells, comparisons, out) : [];
  const adapter = adaptersOf(cells, out);
  const table = describeTable(entries, adapter, figures, comparisons);
  writeAtomic(join(out, 'table.md'), table);
  writeAtomic(join(out, 'table.json'), `${JSON.stringify({ adapter, entries, comparisons, figures }, null, 2)}\n`);
  report.emit({ type: 'table', entries, comparisons, folder: out });
  return table;
}

/** Where the runs were made; those of earlier versions were noted in the table alone. */
function adaptersOf(cells: readonly Cell[], out: string): string {
  const begun = cells.flatMap(({ name }) => readRun(join(out, name)) ?? []);
  const file = join(out, 'table.json');
  const unnoted = begun.some(({ adapters }) => !adapters.length) && existsSync(file);
  const { adapter = '' } = unnoted ? (readJson(file) as { adapter?: string }) : {};
  const names = [...adapter.split('; ').filter(Boolean), ...begun.flatMap(({ adapters }) => adapters)];
  return [...new Set(names)].join('; ') || 'an adapter that was not noted';
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
