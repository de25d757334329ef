// The test error of any weights on any data set: `npm run evaluate -- --model resnet20 --weights FILE`.

import { ResidentImages } from '../../datasets/resident';
import { evaluate, init, loadWeights, models, shutdown } from '../../src/index.node.js';
import { DATASETS, type DatasetName, loadDataset } from '../shared/datasets';
import {
  choice,
  createProgram,
  numberList,
  positiveInteger,
  printJson,
  runProgram,
  UsageError,
} from '../shared/options';
import { createProgress } from '../shared/progress';
import { createSavedModel, readWeights } from '../shared/runs';

interface Options {
  weights: string;
  model?: string;
  dataset?: DatasetName;
  data?: string;
  split: 'train' | 'test';
  subset?: number;
  mean?: [number, number, number];
  std?: [number, number, number];
  batch: number;
  json?: boolean;
}

const program = createProgram('evaluate', 'Prints the error of a trained network over a whole data set.')
  .requiredOption('--weights <file>', 'safetensors file: a checkpoint of ours, or weights with the names of PyTorch')
  .option('--model <name>', `${models.MODEL_NAMES.join(', ')}, …; a checkpoint of ours knows its own`)
  .option(
    '--dataset <name>',
    `${DATASETS.join(', ')} (default: that of the checkpoint, else cifar10)`,
    choice(DATASETS),
  )
  .option('--data <path>', 'folder or archive of the data set; else DAWNFIELD_DATA, the cache, a download')
  .option('--split <name>', 'train or test', choice(['train', 'test'] as const), 'test')
  .option('--subset <images>', 'evaluate on so many images, the same number of each class', positiveInteger)
  .option('--mean <r,g,b>', "normalisation of pixel values in [0, 1] (default: the data set's)", numberList(3))
  .option('--std <r,g,b>', "(default: the data set's)", numberList(3))
  .option('--batch <images>', 'images at a time', positiveInteger, 100);

await runProgram<Options>(program, async (options) => {
  const { weights, data: path, split, subset, batch: batchSize, json } = options;
  const file = readWeights(weights);
  const name = options.model ?? (file.options?.model as string | undefined);
  if (!name) throw new UsageError(`${weights} does not say of which model it is: pass --model NAME`);
  const dataset = options.dataset ?? (file.options?.dataset as DatasetName | undefined) ?? 'cifar10';
  const progress = createProgress({ stream: process.stderr });
  // Of synthetic images only where they were asked for: nobody wants to take their error for CIFAR's.
  const request = { dataset, data: path, splits: [split], fallback: false, [split]: subset, log: progress.log };
  const data = await loadDataset(request);
  const { mean = data.mean, std = data.std } = options;

  await init(process.env.DAWNFIELD_PROFILE ? {} : { profile: 'fast' });
  try {
    const model = createSavedModel(name, data.classes.length, file);
    loadWeights(model, file.tensors);
    const images = new ResidentImages(data[split], { mean, std });
    progress.begin(name, images.count);
    const result = await evaluate(model, images, { batchSize, onProgress: (done) => progress.update(done) });
    progress.end();
    const { error, wrong, count, loss } = result!;
    if (json) printJson({ model: name, weights, dataset: data.name, split, error, wrong, count, loss });
    else console.log(`${error.toFixed(2)} % error (${wrong} of ${count})`);
  } finally {
    shutdown();
  }
});
