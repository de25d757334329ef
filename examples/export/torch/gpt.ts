// A run of `gpt` as a folder for PyTorch: the network, the optimizer, the text, and the program that goes on.
import { readBytes } from '../../../src/files/files.node.js';
import { torchModel } from '../../../src/torch/write';
import type { SavedCheckpoint } from '../../../src/train/run-folder.node.js';
import { createAdamW } from '../../gpt/train';
import { checkGptRecipe, createGpt } from '../../shared/gpt-recipe';
import { makeFolder, writeTensors } from '../../shared/torch-folder';
import type { ExportOptions, Write } from './folder';
import { TRAIN_GPT } from './python-gpt';

export function exportGpt(
  checkpoint: SavedCheckpoint,
  file: string,
  folder: string,
  { data }: ExportOptions,
  write: Write,
): void {
  const recipe = checkGptRecipe(checkpoint.options, file);
  const text = readBytes(data ?? recipe.data);
  const model = createGpt(recipe);
  const optimizer = createAdamW(model, recipe);
  const parameters = [...model.namedParameters()].map(([name]) => name);
  const groups = optimizer.groups.map(({ lr, betas, eps, weightDecay }) => ({
    params: parameters,
    ...{ lr, betas: [...betas], eps, weight_decay: weightDecay },
  }));
  makeFolder(folder);
  const about = { recipe, dataset: {}, groups, parameters, engine: checkpoint.engine };
  writeTensors(folder, checkpoint, about, new Set(Object.keys(model.stateDict())));
  write('model.py', torchModel(model, 'a GPT of characters'));
  write('text.txt', text);
  write('train.py', TRAIN_GPT);
}
