// The main job: trains a mean-field ResNet (or a vanilla one) on CIFAR. `npm run cifar-train -- --help` lists the options.

import { type ImageDataset, subset } from '../../datasets/cifar';
import { loadCifar } from '../../datasets/load.node.js';
import { ResidentImages } from '../../datasets/resident';
import {
  device,
  init,
  manualSeed,
  meanFieldsIn,
  models,
  type nn,
  optim,
  shutdown,
  Trainer,
} from '../../src/index.node.js';
import { defaultRunPath, RunFolder } from '../../src/train/run-folder.node.js';
import { drawRun } from '../shared/figure';
import { runProgram, UsageError } from '../shared/options';
import { newestRun } from '../shared/runs';
import { changeRecipe, completeRecipe, createOptions, type Given, leavesSizeOpen, QUICK, type Recipe } from './options';
import { createReport, type Report } from './report';

const program = createOptions();

await runProgram<Given>(program, async (all) => {
  // Only what was typed: what was left out is the recipe's business, or that of the run to go on with.
  const given: Given = { ...all };
  for (const key of Object.keys(given) as (keyof Given)[])
    if (program.getOptionValueSource(key) !== 'cli') delete given[key];
  const report = createReport(given.json ?? false);
  try {
    await init(process.env.DAWNFIELD_PROFILE ? {} : { profile: 'fast' });
    await main(given, report);
  } finally {
    shutdown();
  }
});

async function main(given: Given, report: Report): Promise<void> {
  const noGpu = device().back.kind === 'software';
  report.say(`adapter: ${device().info.description || device().info.device}${noGpu ? ' (no GPU)' : ''}`);
  const quick = noGpu && leavesSizeOpen(given);
  if (quick) announceQuick(report);

  const old = given.resume ? openRun(given) : null;
  const wanted = old
    ? changeRecipe(old.config.options as Recipe, given)
    : completeRecipe({ ...(quick && QUICK), ...given });
  // A resumed run must not get other images, and a quick one should not begin with a long download.
  const data = await loadData(wanted, { data: given.data, fallback: !old, download: !quick, log: report.say });
  const recipe: Recipe = { ...wanted, dataset: data.name as Recipe['dataset'] };

  manualSeed(recipe.seed);
  const model = models.createModel(recipe.model, {
    classes: data.classes.length,
    particles: {
      times: recipe.tauTimes,
      trainTimes: !recipe.freezeTau,
      clampTimes: recipe.clampTau,
      statistics: recipe.statistics,
    },
  });
  const folder = old ?? RunFolder.create(given.out ?? defaultRunPath(recipe.model, data.name, recipe.seed), recipe);
  const trainer = new Trainer({
    model: model as nn.Module & { forward(x: never): never },
    optimizer: createOptimizer(model, recipe),
    train: new ResidentImages(data.train, data),
    test: new ResidentImages(data.test, data),
    epochs: recipe.epochs,
    steps: recipe.steps,
    batchSize: recipe.batch,
    schedule: optim.multiStep(recipe.milestones, recipe.gamma),
    seed: recipe.seed,
    augment: recipe.augment,
    evalEvery: recipe.evalEvery,
    checkpointEvery: recipe.checkpointEvery,
    store: folder,
    config: recipe,
    signal: whenInterrupted(report),
    ...report.events(recipe.epochs),
  });
  report.say(`${recipe.model}: ${model.parameterCount.toLocaleString('en')} parameters`);
  report.say(`${data.source}: ${count(data.train)} training and ${count(data.test)} test images`);
  report.say(`run folder: ${folder.path}`);
  if (old) {
    const checkpoint = old.loadCheckpoint();
    trainer.restore(checkpoint);
    old.truncateMetrics(checkpoint);
    report.say(`going on after step ${trainer.step.toLocaleString('en')}`);
  }

  const summary = await trainer.run();
  const title = `${recipe.model} on ${recipe.dataset}, seed ${recipe.seed}`;
  const figure = folder.write('figure.svg', drawRun(folder.readMetrics(), title));
  report.finish(summary, folder.path, figure);
  folder.close();
  if (!summary.finished) process.exitCode = 130;
}

/** SGD with the times τ in a group of their own. */
function createOptimizer(model: nn.Module, recipe: Recipe) {
  const times = [...meanFieldsIn(model)].map(([, stage]) => stage.tau);
  const weights = model.parameters().filter((parameter) => !times.includes(parameter));
  const { lr, momentum, weightDecay } = recipe;
  const ofTimes = { lr: recipe.tauLr, momentum: recipe.tauMomentum, weightDecay: recipe.tauWeightDecay };
  const groups = [{ params: weights }, ...(times.length ? [{ params: times, ...ofTimes }] : [])];
  return new optim.SGD(groups, { lr, momentum, weightDecay });
}

async function loadData(
  { dataset, subset: train, testSubset: test, seed }: Recipe,
  options: { data?: string; fallback: boolean; download: boolean; log(line: string): void },
): Promise<ImageDataset> {
  // The synthetic set is drawn at the size that is needed.
  const data = await loadCifar({ dataset, synthetic: { train, test }, ...options });
  const cut = (split: ImageDataset['train'], n?: number) => (n && n !== split.count ? subset(split, n, seed) : split);
  return { ...data, train: cut(data.train, train), test: cut(data.test, test) };
}

/** The folder named by --resume, else by --out, else the newest one. */
function openRun({ resume, out }: Given): RunFolder {
  const path = typeof resume === 'string' ? resume : (out ?? newestRun());
  if (!path) throw new UsageError('--resume: there is no run under runs/; name its folder: --resume FOLDER');
  return RunFolder.open(path);
}

/** The first Ctrl-C asks the trainer to save and stop, the second one ends the process at once. */
function whenInterrupted(report: Report): AbortSignal {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    report.say('saving after this step … (Ctrl-C again quits at once, without saving)');
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
  return controller.signal;
}

function announceQuick(report: Report): void {
  const { model, subset: images, epochs, batch } = QUICK;
  report.say(
    `there is no GPU and no size was asked for, so this is a short demonstration of about two minutes: ${model}, ` +
      `${images} images, ${epochs} epochs, batch ${batch}. The paper's run:\n` +
      '  npm run cifar-train -- --model meanfield-resnet20 --epochs 160',
  );
}

function count(split: { count: number }): string {
  return split.count.toLocaleString('en');
}
