// What a trained network sees in images: `npm run predict -- cat.jpg`.

import { CIFAR100_COARSE_CLASSES, CIFAR100_COARSE_OF } from '../../datasets/cifar';
import { ResidentImages } from '../../datasets/resident';
import { F, noGrad } from '../../src/index.node.js';
import { bestWeights } from '../../src/train/run-folder.node.js';
import { averaged } from '../shared/averaged';
import { describeDataset } from '../shared/datasets';
import { withDevice } from '../shared/device';
import { loadImage } from '../shared/image';
import { commandOf, count, createProgram, printJson, runProgram, UsageError } from '../shared/options';
import { loadOwnFolder } from '../shared/own-folder';
import { addSavedOptions, newestRun, readSaved, type SavedOptions } from '../shared/runs';

interface Options extends SavedOptions {
  weights?: string;
  data?: string;
  top: number;
  json?: boolean;
}

const program = createProgram(
  'predict',
  'Names what is in images, with probabilities. Images are scaled and cropped to 32×32.',
)
  .argument('<images...>', 'image files: PNG, JPEG, WebP, …')
  .option(
    '--weights <file>',
    'safetensors file, or a state dict of torch.save (default: the best checkpoint of the newest run)',
  );
addSavedOptions(program, 'whose classes and normalisation')
  .option(
    '--data <folder>',
    'of a network that the page trained on own images: their folder, whose folders name the classes',
  )
  .option('--top <number>', 'how many classes to name', count, 5);

await runProgram<Options>(program, async (options, paths) => {
  const weights = options.weights ?? bestOfNewestRun();
  const { dataset, size, load } = readSaved(weights, options);
  if (options.data !== undefined && dataset !== 'own')
    throw new UsageError(
      `--data is for networks trained on own images; the classes of ${dataset} are known: leave it out`,
    );
  const { classes, mean, std } =
    dataset === 'own' ? await loadOwnFolder(options.data, weights, { images: false }) : describeDataset(dataset);
  const pixels = await Promise.all(paths.map((path) => loadImage(path)));

  await withDevice(async () => {
    const model = load(classes.length);
    const images = Uint8Array.from(pixels.flatMap((image) => [...image]));
    const split = { images, labels: new Uint8Array(paths.length), count: paths.length };
    const source = averaged(new ResidentImages(split, { mean: options.mean ?? mean, std: options.std ?? std }), size);
    for (const batch of source.batches({ batchSize: 1 })) {
      const probabilities = await noGrad(() => F.softmax(model.forward(batch.images), 1)).data();
      const path = paths[batch.index];
      if (probabilities.some(Number.isNaN))
        throw new UsageError(
          `the network's answer for ${path} is NaN: its weights are damaged, or it diverged in training`,
        );
      const ranked = [...probabilities].map((probability, i) => ({
        class: classes[i],
        ...(dataset === 'cifar100' && { superclass: CIFAR100_COARSE_CLASSES[CIFAR100_COARSE_OF[i] ?? -1] }),
        probability,
      }));
      ranked.sort((a, b) => b.probability - a.probability);
      const top = ranked.slice(0, options.top);
      if (options.json) printJson({ image: path, top });
      else
        console.log(
          [
            path,
            ...top.map(
              (x) =>
                `  ${(100 * x.probability).toFixed(1).padStart(5)} %  ${x.class}${x.superclass ? ` (${x.superclass})` : ''}`,
            ),
          ].join('\n'),
        );
    }
  });
});

function bestOfNewestRun(): string {
  const run = newestRun();
  const found = run && bestWeights(run);
  if (found) return found;
  throw new UsageError(
    `there is no run under runs/ yet: train one with \`${commandOf('cifar-train')}\`, or pass --weights FILE and --model NAME`,
  );
}
