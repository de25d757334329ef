// The main job: trains a mean-field ResNet (or a vanilla one) on CIFAR. `npm run cifar-train -- --help` lists the options.

import { chromeTrace, device } from '../../src/gpu';
import type { Trainer } from '../../src/index.node.js';
import type { RunSummary } from '../../src/train/progress';
import { defaultRunPath, type ResumedCheckpoint, RunFolder } from '../../src/train/run-folder.node.js';
import { type DatasetName, loadDataset } from '../shared/datasets';
import { adapterName, hasGpu, withDevice } from '../shared/device';
import { type Interrupts, watchInterrupts } from '../shared/interrupts';
import { commandOf, runProgram, UsageError } from '../shared/options';
import { describeProfile } from '../shared/profile';
import { count, formatDuration } from '../shared/progress';
import { checkRecipe, completeRecipe, type Recipe } from '../shared/recipe';
import { createReport, percent, type Report } from '../shared/report';
import { newestRun } from '../shared/runs';
import { quote } from '../shared/shell';
import { createNetwork, createTrainer, initialise } from '../shared/training';
import { CHANGEABLE, changeRecipe, createOptions, type Given, leavesSizeOpen, QUICK } from './options';

const program = createOptions();

await runProgram<Given>(program, async (all) => {
  // Only what was typed: what was left out is the recipe's business, or that of the run to go on with.
  const given: Given = { ...all };
  for (const key of Object.keys(given) as (keyof Given)[])
    if (program.getOptionValueSource(key) !== 'cli') delete given[key];
  const report = createReport(given.json ?? false);
  const interrupts = watchInterrupts(report);
  await withDevice(() => main(given, report, interrupts), given);
});

async function main(given: Given, report: Report, interrupts: Interrupts): Promise<void> {
  report.say(`adapter: ${adapterName()}${hasGpu() ? '' : ' (no GPU)'}`);
  const quick = !hasGpu() && leavesSizeOpen(given);
  if (quick) announceQuick(report);

  const old = given.resume === undefined ? null : openRun(given, report);
  const wanted = old?.recipe ?? completeRecipe({ ...(quick && QUICK), ...given });
  if (wanted.amp && !device().features.has('shader-f16'))
    throw new UsageError(`--amp: ${adapterName()} has no shader-f16, which mixed precision needs; leave it out`);
  const model = createNetwork(wanted);
  const data = await loadDataset({
    dataset: wanted.dataset,
    train: wanted.subset,
    test: wanted.testSubset,
    seed: wanted.seed,
    data: given.data,
    fallback: !old, // a resumed run must not get other images
    download: !quick, // a short demonstration should not begin with a long download
    log: report.say,
  });
  const recipe: Recipe = { ...wanted, dataset: data.name as DatasetName };
  const folder =
    old?.folder ?? RunFolder.create(given.out ?? defaultRunPath(recipe.model, data.name, recipe.seed), recipe);
  const again = resumeCommand(folder.path, given);
  interrupts.remedy = ` Start again with:\n  ${again}`;
  if (!old?.checkpoint) await initialise(model, recipe, data, report.say);
  const trainer = createTrainer(model, recipe, data, {
    store: folder,
    signal: interrupts.signal,
    ...report.events(recipe.epochs),
  });
  const images = data.synthetic ? data.source : data.name;
  report.say(`${images}: ${count(data.train.count)} training and ${count(data.test.count)} test images`);
  report.say(`${recipe.model}: ${count(model.parameterCount)} parameters; run folder ${folder.path}`);
  if (old?.checkpoint) {
    trainer.restore(old.checkpoint, old.checkpoint.path);
    report.say(`going on after step ${count(trainer.step)}`);
  }

  if (given.profile) await profile(trainer, given.profile === true ? 5 : given.profile, folder, report);
  interrupts.begin();
  const summary = await trainer.run();
  const { drawRun } = await import('../shared/figure'); // a chart library: not before it is needed
  const title = `${recipe.model} on ${recipe.dataset}, seed ${recipe.seed}`;
  const figure = folder.write('figure.svg', drawRun(folder.readMetrics(), title));
  tellEnd(report, summary, folder.path, figure, again);
  folder.close();
  if (!summary.finished) process.exitCode = 130;
}

/** Where the time of a step goes, before the run: tables, and `trace.json` for Perfetto or chrome://tracing. */
async function profile(trainer: Trainer, steps: number, folder: RunFolder, report: Report): Promise<void> {
  const launches = await trainer.profile(steps);
  for (const line of describeProfile(launches, steps)) report.say(line);
  report.say(`trace of ${steps} steps: ${folder.write('trace.json', chromeTrace(launches))}`);
}

interface OldRun {
  folder: RunFolder;
  recipe: Recipe;
  /** Null where the run was stopped before its first step. */
  checkpoint: ResumedCheckpoint | null;
}

/** The run in the folder named by --resume, else by --out, else the newest one. */
function openRun(given: Given, report: Report): OldRun {
  const { resume, out } = given;
  const path = typeof resume === 'string' ? resume : (out ?? newestRun());
  if (!path) throw new UsageError('--resume: there is no run under runs/; name its folder: --resume FOLDER');
  const folder = RunFolder.open(path);
  const checkpoint = folder.resume(CHANGEABLE, report.say);
  if (!checkpoint) report.say(`the run in ${path} was stopped before its first step: it begins now`);
  // Both hold the same options but for those that may change: of these config.json has what was asked for last.
  const { options } = folder.config;
  const saved = checkRecipe(options, folder.file('config.json'));
  const recipe = changeRecipe(saved, given);
  if (JSON.stringify(recipe) !== JSON.stringify(options)) folder.setOptions(recipe);
  return { folder, recipe, checkpoint };
}

/** What goes on with a run; `--data` as it was given. */
function resumeCommand(folder: string, { data }: Given): string {
  return `${commandOf('cifar-train')} --resume ${quote(folder)}${data ? ` --data ${quote(data)}` : ''}`;
}

function tellEnd(report: Report, summary: RunSummary, folder: string, figure: string, resume: string): void {
  report.end();
  const { finished, step, testError, bestError, bestEpoch, seconds } = summary;
  if (finished) {
    const test = testError === null ? '' : `test error ${percent(testError)}, `;
    const best = bestError === null ? '' : `best ${percent(bestError)} in epoch ${bestEpoch}, `;
    report.say(`done: ${test}${best}${formatDuration(seconds)}`);
    report.say(`figure: ${figure}`);
  } else report.say(`stopped and saved after step ${count(step)}. Go on with:\n  ${resume}`);
  report.emit({ ...summary, folder, figure, ...(!finished && { resume }) });
}

function announceQuick(report: Report): void {
  const { model, subset: images, epochs, batch } = QUICK;
  report.say(
    `there is no GPU and no size was asked for, so this is a short demonstration of about two minutes: ${model}, ` +
      `${images} images, ${epochs} epochs, batch ${batch}. The paper's run:\n` +
      `  ${commandOf('cifar-train')} --model meanfield-resnet20 --epochs 160`,
  );
}
