// Writes the folder with which PyTorch goes on with a run: its network in Python, its tensors, its recipe.
import { join } from 'node:path';
import { ScaledParameter } from '../../../src/featureflow/scaled-gradient-descent';
import { readBytes, writeAtomic } from '../../../src/files/files.node.js';
import { serializeNpz } from '../../../src/formats';
import { type Classifier, models, type nn } from '../../../src/index.node.js';
import { TENSORS } from '../../../src/torch/tensors';
import { torchModel } from '../../../src/torch/write';
import type { SavedCheckpoint } from '../../../src/train/run-folder.node.js';
import { readCheckpoint } from '../../../src/train/run-folder.node.js';
import { describeDataset, loadDataset } from '../../shared/datasets';
import { isGpt } from '../../shared/gpt-recipe';
import { checkRecipe, type Recipe } from '../../shared/recipe';
import { lastCheckpoint, makeFolder, writeTensors } from '../../shared/torch-folder';
import { createNetwork, createOptimizer } from '../../shared/training';
import { exportGpt } from './gpt';
import { TRAIN } from './python-train';

/** Options of a recipe that `train.py` does not have. */
const UNKNOWN = ['mixup', 'cutmix', 'randAugment', 'ema', 'amp', 'shuffle', 'birthDeath'] as const;

const unknownOf = (recipe: Recipe): string | null =>
  UNKNOWN.find((name) => recipe[name]) ?? (recipe.schedule === 'one-cycle' ? 'schedule one-cycle' : null);

/** Where images and sentences for people come from and go to. */
export interface ExportOptions {
  /** Where CIFAR lies, for runs on a part of it. */
  readonly data?: string;
  readonly say: (text: string) => void;
}

/** Exports the run in a folder. Throws an error that names what cannot be: no such run, a module that has no form in Python. */
export async function exportRun(run: string, folder: string, options: ExportOptions): Promise<void> {
  const file = lastCheckpoint(run);
  const checkpoint = readCheckpoint(file);
  const write = (name: string, content: string | Uint8Array) => writeAtomic(join(folder, name), content);
  if (isGpt(checkpoint.options)) exportGpt(checkpoint, file, folder, options, write);
  else await exportImages(checkpoint, file, folder, options, write);
  write('tensors.py', TENSORS);
  write('metrics.jsonl', readBytes(join(run, 'metrics.jsonl')));
}

/** Writes a file of the folder. */
export type Write = (name: string, content: string | Uint8Array) => void;

async function exportImages(
  checkpoint: SavedCheckpoint,
  file: string,
  folder: string,
  { data, say }: ExportOptions,
  write: Write,
): Promise<void> {
  const recipe = checkRecipe(checkpoint.options, file);
  const model = createNetwork(recipe);
  const source = torchModel(model, recipe.model);
  const unknown = unknownOf(recipe);
  makeFolder(folder);
  const { classes, mean, std } = describeDataset(recipe.dataset);
  const dataset = { name: recipe.dataset, classes: [...classes], mean: [...mean], std: [...std] };
  const { groups, parameters } = groupsOf(model, recipe);
  const about = { recipe, dataset, groups, parameters, engine: checkpoint.engine };
  writeTensors(folder, checkpoint, about, new Set(Object.keys(model.stateDict())));
  write('model.py', source);
  if (unknown) return say(`train.py is left out: it does not know the recipe's ${unknown}`);
  if (isOwn(recipe)) write('data.npz', await images(recipe, data, say));
  write('train.py', TRAIN);
}

/** Whether the images are no public files as a whole. */
const isOwn = ({ dataset, subset, testSubset }: Recipe): boolean =>
  dataset.startsWith('synthetic') || subset !== undefined || testSubset !== undefined;

/** The images that the recipe trains and tests on. */
async function images(recipe: Recipe, data: string | undefined, say: (text: string) => void): Promise<Uint8Array> {
  const { dataset, subset: train, testSubset: test, seed } = recipe;
  const found = await loadDataset({ dataset, train, test, seed, data, fallback: false, log: say });
  const arrays = (['train', 'test'] as const).flatMap((split) => {
    const { images, labels, count } = found[split];
    return [
      [`${split}_images`, { dtype: 'U8', shape: [count, 3, 32, 32], data: Uint8Array.from(images) }] as const,
      [`${split}_labels`, { dtype: 'U8', shape: [count], data: Uint8Array.from(labels) }] as const,
    ];
  });
  return serializeNpz(Object.fromEntries(arrays));
}

/** The optimizer's groups by PyTorch's names, each with its initial rate; a scaled step is a rate so many times as large. */
function groupsOf(model: Classifier, recipe: Recipe) {
  const names = new Map<nn.Parameter, string>([...model.namedParameters()].map(([name, p]) => [p, name]));
  const nameOf = (p: nn.Parameter) => names.get(p) ?? '';
  const optimizer = createOptimizer(model, recipe);
  const parameters = [...optimizer.parameters()].map(nameOf);
  if (model instanceof models.FeatureFlowResNet) {
    const groups = model.parameters().map((p) => ({
      params: [nameOf(p)],
      lr: recipe.lr * (p instanceof ScaledParameter ? p.scale : 1),
      momentum: recipe.momentum,
      weight_decay: 0,
    }));
    return { groups, parameters };
  }
  const rates = [
    { lr: recipe.lr, momentum: recipe.momentum, weight_decay: recipe.weightDecay },
    { lr: recipe.tauLr, momentum: recipe.tauMomentum, weight_decay: recipe.tauWeightDecay },
  ];
  return {
    groups: optimizer.groups.map(({ params }, i) => ({ params: [...params].map(nameOf), ...rates[i] })),
    parameters,
  };
}
