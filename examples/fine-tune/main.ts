// Fine-tunes a ResNet of torchvision on a folder of images: `npm run fine-tune -- --data FOLDER --weights resnet18.safetensors`. FOLDER has a folder of
// images for each class; images of any size are scaled so that the shorter side fits, and cropped around the centre.
import { readBytes } from '../../src/files/files.node.js';
import { looksLikeTorch } from '../../src/formats/torch';
import {
  DataLoader,
  F,
  ImageFolder,
  InputError,
  loadWeights,
  manualSeed,
  models,
  nn,
  optim,
  parseSafetensors,
  parseTorch,
  randomSplit,
  type StoredTensor,
  type Tensor,
  Trainer,
  tensor,
} from '../../src/index.node.js';
import { RunFolder } from '../../src/train/run-folder.node.js';
import { adapterName, withDevice } from '../shared/device';
import { watchInterrupts } from '../shared/interrupts';
import {
  choice,
  count,
  createProgram,
  imageCount,
  integerFrom,
  numberFrom,
  runProgram,
  seedNumber,
  UsageError,
  words,
} from '../shared/options';
import { createReport, type Report } from '../shared/report';

const MODELS = ['resnet18', 'resnet34', 'resnet50'] as const;

interface Options {
  data: string;
  weights?: string;
  model: (typeof MODELS)[number];
  freeze: string[];
  size: number;
  test: number;
  epochs: number;
  batch: number;
  lr: number;
  momentum: number;
  seed: number;
  out: string;
  resume?: boolean;
  json?: boolean;
}

const program = createProgram(
  'fine-tune',
  'Trains the last layers of a ResNet on a folder of images, one folder a class.',
)
  .requiredOption('--data <folder>', 'with a folder of images for each class')
  .option('--weights <file>', "torchvision's, as safetensors or of torch.save (default: random weights)")
  .option('--model <name>', MODELS.join(', '), choice(MODELS), 'resnet18')
  .option('--freeze <layers>', "that are not trained; 'none' for all trained", words(), [
    'conv1',
    'bn1',
    'layer1',
    'layer2',
    'layer3',
  ])
  .option('--size <pixels>', 'a side of the images that the network sees', integerFrom(32, 1024), 224)
  .option(
    '--test <share>',
    'of the images, drawn by the seed, that are tested on and not trained on',
    numberFrom(0, 0.9),
    0.2,
  )
  .option('--epochs <number>', 'over the images', count, 10)
  .option('--batch <images>', 'images per update', imageCount, 16)
  .option('--lr <rate>', 'learning rate, which falls as half a cosine', numberFrom(0), 0.01)
  .option('--momentum <factor>', "SGD's", numberFrom(0, 1), 0.9)
  .option('--seed <number>', 'of order, split and the new last layer', seedNumber, 0)
  .option('--out <folder>', 'of the run: metrics and checkpoints with the weights', 'runs/fine-tune')
  .option('--resume', 'go on with the run in --out');

await runProgram<Options>(program, async (options) => {
  const report = createReport(options.json ?? false);
  const interrupts = watchInterrupts(report);
  const folder = classesIn(options);
  await withDevice(async () => {
    interrupts.begin();
    await main(options, folder, report, interrupts.signal);
  }, {});
});

async function main(o: Options, folder: ImageFolder, report: Report, signal: AbortSignal): Promise<void> {
  manualSeed(o.seed);
  const model = models[o.model]({ numClasses: folder.classes.length });
  if (o.weights) bring(model, o.weights);
  const trained = freeze(model, o.freeze);
  const [train, test] = randomSplit(folder, [1 - o.test, o.test], { seed: o.seed });
  if (!train?.length) throw new UsageError(`${o.data}: --test ${o.test} leaves no image to train on`);
  // ImageNet's, which torchvision's weights expect.
  const channels = (x: number[]) => tensor(x).reshape([3, 1, 1]);
  const [mean, std] = [channels([0.485, 0.456, 0.406]), channels([0.229, 0.224, 0.225])];
  const step = ([images, labels]: [Tensor, Tensor]) => {
    const scores = model.forward(images.sub(mean).div(std));
    return { loss: F.crossEntropy(scores, labels), error: nn.metrics.accuracy(scores, labels).mul(-100).add(100) };
  };
  const batches = { batchSize: o.batch, seed: o.seed, dtype: ['float32', 'int32'] as const };
  const { resume, json: _, out, epochs, ...config } = o;
  const store = resume ? RunFolder.open(out) : RunFolder.create(out, { ...config, epochs });
  const trainer = new Trainer<[Tensor, Tensor]>({
    model,
    optimizer: new optim.SGD(trained, { lr: o.lr, momentum: o.momentum }),
    train: new DataLoader(train, { ...batches, shuffle: true, dropLast: train.length % o.batch === 1 && o.batch > 1 }),
    ...(test?.length && { test: new DataLoader(test, batches) }),
    step,
    epochs,
    schedule: optim.cosine(epochs),
    seed: o.seed,
    config: { ...config, epochs },
    store,
    signal,
    ...report.events(epochs),
  });
  report.say(
    `${folder.classes.length} classes: ${folder.classes.join(', ')}; ${train.length} images to train on, ${test?.length ?? 0} to test on; ` +
      `${trained.reduce((sum, p) => sum + p.size, 0)} of ${model.parameterCount} numbers are trained; ${adapterName()}`,
  );
  const checkpoint = resume ? store.resume([], report.say) : null;
  if (checkpoint) trainer.restore(checkpoint, checkpoint.path);
  const summary = await trainer.run();
  report.end();
  store.close();
  report.emit({ ...summary, folder: out, classes: folder.classes });
  report.say(
    `${summary.finished ? 'done' : 'stopped: --resume goes on'}; weights: ${store.file('checkpoint-last.safetensors')}`,
  );
}

/** The folder's classes, of which there must be two, each with images. */
function classesIn({ data, size }: Options): ImageFolder {
  const folder = new ImageFolder(data, { size });
  const { classes, files } = folder;
  if (classes.length < 2)
    throw new UsageError(
      `--data ${data}: there is one class, ${classes.join()}: give the folder that holds the folders of all classes`,
    );
  const labels = new Set(files.map(({ label }) => label));
  const without = classes.filter((_, label) => !labels.has(label));
  if (without.length)
    throw new UsageError(
      `--data ${data}: no images in ${without.join(', ')}: remove it, or put them there, not in folders below`,
    );
  return folder;
}

/** Brings weights from a file: the last layer's only where it has as many classes. */
function bring(model: models.ImageResNet, path: string): void {
  const own = model.stateDict();
  const fits = ([name, x]: [string, StoredTensor]) =>
    !name.startsWith('fc.') || String(own[name]?.shape) === String(x.shape);
  try {
    const bytes = readBytes(path);
    const { tensors } = looksLikeTorch(bytes) ? parseTorch(bytes, path) : parseSafetensors(bytes, path);
    const { missing } = loadWeights(model, Object.fromEntries([...tensors].filter(fits)), { strict: false });
    const lost = missing.filter((name) => !name.startsWith('fc.'));
    if (lost.length) throw new InputError(`it lacks ${lost.slice(0, 3).join(', ')}${lost.length > 3 ? ' …' : ''}`);
  } catch (error) {
    throw new UsageError(`--weights ${path}: ${(error as Error).message}`);
  }
}

/** Freezes layers by their names; returns what is trained. Running statistics of frozen batch norms go on with the images, as in PyTorch. */
function freeze(model: models.ImageResNet, layers: readonly string[]): nn.Parameter[] {
  const isIn = (name: string, layer: string) => name.startsWith(`${layer}.`);
  const names = [...model.namedParameters()].map(([name]) => name);
  for (const layer of layers)
    if (layer !== 'none' && !names.some((name) => isIn(name, layer))) {
      const known = [...new Set(names.map((name) => name.split('.')[0]))].join(', ');
      throw new UsageError(`--freeze: there is no layer '${layer}': there are ${known}, or none`);
    }
  for (const [name, parameter] of model.namedParameters())
    if (layers.some((layer) => isIn(name, layer))) parameter.requiresGrad = false;
  const trained = model.parameters().filter((parameter) => parameter.requiresGrad);
  if (!trained.length) throw new UsageError('--freeze: nothing is left to train');
  return trained;
}
