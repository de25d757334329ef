// A block of your own as a particle: `npm run custom-module`. A ConvNeXt-like branch goes into `MeanField` as it is; an `nn.Sequential` of
// MLP-Mixer blocks becomes a mean-field stack in one call, with the same outputs, bit for bit, until its times are trained.

import { ResidentImages } from '../../datasets/resident';
import { synthetic } from '../../datasets/synthetic';
import { F, MeanField, manualSeed, nn, noGrad, optim, type Tensor, Trainer } from '../../src/index.node.js';
import { withDevice } from '../shared/device';
import { first } from '../shared/first';
import {
  choice,
  count,
  createProgram,
  depth,
  integerFrom,
  numberFrom,
  printJson,
  runProgram,
  seedNumber,
} from '../shared/options';
import { DepthwiseBranch, MixerBlock } from './blocks';

const [CHANNELS, PATCH] = [32, 4];
const PLACES = (32 / PATCH) ** 2;

/** Patches of 4×4 pixels, blocks, the mean over all places, a classifier. */
class Net extends nn.Module {
  readonly patches = new nn.Conv2d(3, CHANNELS, PATCH, { stride: PATCH });
  readonly head = new nn.Linear(CHANNELS, 10);

  constructor(readonly blocks: MeanField | nn.Sequential) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return this.head.forward(F.globalAvgPool2d(this.blocks.forward(this.patches.forward(x))));
  }
}

interface Options {
  block: 'mixer' | 'depthwise' | 'both';
  particles: number;
  subset: number;
  epochs: number;
  lr: number;
  seed: number;
  json?: boolean;
}

const program = createProgram(
  'custom-module',
  "Trains mean-field networks whose particles are a user's own blocks, on drawn shapes.",
)
  .option('--block <name>', 'mixer, depthwise or both', choice(['mixer', 'depthwise', 'both'] as const), 'both')
  .option('--particles <number>', 'blocks in the network', depth, 4)
  .option('--subset <images>', 'training images; a quarter as many test it', integerFrom(40, 60_000), 480)
  .option('--epochs <number>', 'passes over them', count, 3)
  .option('--lr <rate>', 'learning rate of Adam', numberFrom(0), 0.002)
  .option('--seed <number>', 'of weights and order', seedNumber, 0);

await runProgram<Options>(program, async (options) => {
  await withDevice(async () => {
    for (const block of ['mixer', 'depthwise'] as const)
      if (options.block === block || options.block === 'both') await main(block, options);
  });
});

async function main(block: 'mixer' | 'depthwise', options: Options): Promise<void> {
  const { particles, subset, epochs, lr, seed, json } = options;
  const say = (line: string) => void (json || console.log(line));
  const drawn = synthetic({ train: subset, test: Math.round(subset / 4), seed });
  const [train, test] = [new ResidentImages(drawn.train, drawn), new ResidentImages(drawn.test, drawn)];
  manualSeed(seed);

  let net: Net;
  let equal: boolean | null = null;
  if (block === 'depthwise') net = new Net(new MeanField(particles, () => new DepthwiseBranch(CHANNELS)));
  else {
    const vanilla = new Net(
      new nn.Sequential(...Array.from({ length: particles }, () => new MixerBlock(CHANNELS, PLACES))),
    );
    // One call. The blocks and their weights are those of the sequence.
    net = new Net(MeanField.from(vanilla.blocks as nn.Sequential));
    net.patches.loadStateDict(vanilla.patches.stateDict());
    net.head.loadStateDict(vanilla.head.stateDict());
    const { images } = first(test.batches({ batchSize: 16 }));
    const [before, after] = [await outputs(vanilla, images), await outputs(net, images)];
    equal = before.every((value, i) => Object.is(value, after[i]));
    say(
      `mixer: the outputs of nn.Sequential and of MeanField.from(sequential) are ${equal ? 'equal, bit for bit' : 'NOT equal'}`,
    );
  }

  const trainer = new Trainer({
    ...{ model: net, train, test, epochs, seed, batchSize: 32 },
    optimizer: new optim.Adam(net.parameters(), { lr }),
    onEpoch: ({ epoch, trainLoss, testError }) =>
      say(
        `${block}: epoch ${epoch}/${epochs}   train loss ${trainLoss.toFixed(3)}   test error ${testError?.toFixed(1)} %`,
      ),
  });
  const { trainLoss, testError } = await trainer.run();
  const { tau, order } = await (net.blocks as MeanField).telemetry();
  say(`${block}: order ${order.join(' ')}   τ ${tau.map((t) => t.toFixed(4)).join(' ')}`);
  if (json) printJson({ block, ...(equal !== null && { equal }), trainLoss, testError, order, tau });
  if (equal === false) throw new Error('the mean-field stack differs from the sequence that it was made from');
}

function outputs(net: Net, images: Tensor) {
  return noGrad(() => net.forward(images)).data();
}
