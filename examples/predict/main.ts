// What a trained network sees in images: `npm run predict -- cat.jpg`.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ResidentImages } from '../../datasets/resident';
import { F, init, loadWeights, models, noGrad, shutdown } from '../../src/index.node.js';
import { checkpointFile } from '../../src/train/run-folder.node.js';
import { DATASETS, type DatasetName, describeDataset } from '../shared/datasets';
import { loadImage } from '../shared/image';
import {
  choice,
  createProgram,
  numberList,
  positiveInteger,
  printJson,
  runProgram,
  UsageError,
} from '../shared/options';
import { createSavedModel, newestRun, readWeights } from '../shared/runs';

interface Options {
  weights?: string;
  model?: string;
  dataset?: DatasetName;
  mean?: [number, number, number];
  std?: [number, number, number];
  top: number;
  json?: boolean;
}

const program = createProgram(
  'predict',
  'Names what is in images, with probabilities. Images are scaled and cropped to 32×32.',
)
  .argument('<images...>', 'image files: PNG, JPEG, WebP, …')
  .option('--weights <file>', 'safetensors file (default: the best checkpoint of the newest run)')
  .option('--model <name>', `${models.MODEL_NAMES.join(', ')}, …; a checkpoint of ours knows its own`)
  .option(
    '--dataset <name>',
    'whose classes and normalisation (default: that of the checkpoint, else cifar10)',
    choice(DATASETS),
  )
  .option('--mean <r,g,b>', "normalisation of pixel values in [0, 1] (default: the data set's)", numberList(3))
  .option('--std <r,g,b>', "(default: the data set's)", numberList(3))
  .option('--top <number>', 'how many classes to name', positiveInteger, 5);

await runProgram<Options>(program, async (options, paths) => {
  const weights = options.weights ?? bestOfNewestRun();
  const file = readWeights(weights);
  const name = options.model ?? (file.options?.model as string | undefined);
  if (!name) throw new UsageError(`${weights} does not say of which model it is: pass --model NAME`);
  const dataset = options.dataset ?? (file.options?.dataset as DatasetName | undefined) ?? 'cifar10';
  const { classes, mean, std } = describeDataset(dataset);
  const pixels = await Promise.all(paths.map((path) => loadImage(path)));

  await init(process.env.DAWNFIELD_PROFILE ? {} : { profile: 'fast' });
  try {
    const model = createSavedModel(name, classes.length, file);
    loadWeights(model, file.tensors);
    model.eval();
    const images = Uint8Array.from(pixels.flatMap((image) => [...image]));
    const split = { images, labels: new Uint8Array(paths.length), count: paths.length };
    const source = new ResidentImages(split, { mean: options.mean ?? mean, std: options.std ?? std });
    for (const batch of source.batches({ batchSize: 1 })) {
      const probabilities = await noGrad(() => F.softmax(model.forward(batch.images), 1)).data();
      const ranked = [...probabilities].map((probability, i) => ({ class: classes[i], probability }));
      ranked.sort((a, b) => b.probability - a.probability);
      const top = ranked.slice(0, options.top);
      const path = paths[batch.index];
      if (options.json) printJson({ image: path, top });
      else
        console.log(
          [path, ...top.map((x) => `  ${(100 * x.probability).toFixed(1).padStart(5)} %  ${x.class}`)].join('\n'),
        );
    }
  } finally {
    shutdown();
  }
});

function bestOfNewestRun(): string {
  const run = newestRun();
  const files = run ? (['best', 'last'] as const).map((name) => join(run, checkpointFile(name))) : [];
  const found = files.find((path) => existsSync(path));
  if (found) return found;
  throw new UsageError(
    'there is no run under runs/ yet: train one with `npm run cifar-train`, or pass --weights FILE and --model NAME',
  );
}
