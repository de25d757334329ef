// The test error of any weights on any data set: `npm run evaluate -- --model resnet20 --weights FILE`.

import { ResidentImages } from '../../datasets/resident';
import { there } from '../../shaders/checked';
import { evaluate } from '../../src/index.node.js';
import { averaged } from '../shared/averaged';
import { cutDataset, DATASETS, loadDataset } from '../shared/datasets';
import { withDevice } from '../shared/device';
import { choice, createProgram, imageCount, printJson, runProgram } from '../shared/options';
import { loadOwnFolder } from '../shared/own-folder';
import { createProgress } from '../shared/progress';
import { addSavedOptions, readSaved, type SavedOptions } from '../shared/runs';

interface Options extends SavedOptions {
  weights: string;
  data?: string;
  split: 'train' | 'test';
  subset?: number;
  batch: number;
  json?: boolean;
}

const program = createProgram(
  'evaluate',
  'Prints the error of a trained network over a whole data set.',
).requiredOption(
  '--weights <file>',
  'a checkpoint of ours, or weights with the names of PyTorch: safetensors, or a state dict of torch.save (.pt, .pth)',
);
addSavedOptions(program, DATASETS.join(', '))
  .option(
    '--data <path>',
    'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download; of own images a folder for each class',
  )
  .option('--split <name>', 'train or test', choice(['train', 'test'] as const), 'test')
  .option('--subset <images>', 'evaluate on so many images, the same number of each class', imageCount)
  .option('--batch <images>', 'images at a time', imageCount, 100);

await runProgram<Options>(program, async (options) => {
  const { weights, data: path, split, subset, batch: batchSize, json } = options;
  const { model, dataset, size, load } = readSaved(weights, options);
  const progress = createProgress({ stream: process.stderr });
  // Of synthetic images only where they were asked for: nobody wants to take their error for CIFAR's.
  const request = { data: path, splits: [split], fallback: false, [split]: subset, log: progress.log };
  const data =
    dataset === 'own'
      ? cutDataset(await loadOwnFolder(path, weights), { [split]: subset })
      : await loadDataset({ ...request, dataset });
  const { mean = data.mean, std = data.std } = options;

  await withDevice(async () => {
    const images = averaged(new ResidentImages(data[split], { mean, std }), size);
    progress.begin(model, images.count);
    const result = await evaluate(load(data.classes.length), images, {
      batchSize,
      onProgress: (done) => progress.update(done),
    });
    progress.end();
    const { error, wrong, count, loss } = there(result, 'result of a whole evaluation');
    if (json) printJson({ model, weights, dataset: data.name, split, error, wrong, count, loss });
    else console.log(`${error.toFixed(2)} % error (${wrong} of ${count})`);
  });
});
