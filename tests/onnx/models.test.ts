// Models in ONNX Runtime: those of the catalog, the others of `models`, and the programs that were ported from PyTorch, each at two batch sizes or more.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { swiglu } from '../../examples/custom-kernel/swiglu';
import * as dcgan from '../../examples/ported/dcgan';
import { LetterModel } from '../../examples/ported/lstm-language-model';
import { Net } from '../../examples/ported/mnist';
import * as nanogpt from '../../examples/ported/nanogpt';
import { Encoder } from '../../examples/ported/simclr';
import * as superResolution from '../../examples/ported/super-resolution';
import { Block } from '../../examples/ported/swiglu';
import * as unet from '../../examples/ported/unet';
import { VAE } from '../../examples/ported/vae';
import { ViT } from '../../examples/ported/vit';
import * as wgan from '../../examples/ported/wgan-gp';
import { F, init, MeanField, meanFieldsIn, models, nn, noGrad, type Tensor, tensor } from '../../src/index.node.js';
import { checkerTest, sameInRuntime, waves, withRuntime } from './runtime';

await init();

/** A model that has learned something: statistics, times and biases differ from their start. */
function used<M extends nn.AnyModule>(model: M): M {
  noGrad(() => {
    for (const [i, x] of [...model.parameters()].entries()) if (x.ndim === 1) x.add_(waves(x.shape, i).mul(0.1));
    for (const [i, x] of [...model.buffers()].entries())
      if (x.dtype === 'float32' && x.ndim === 1) x.add_(waves(x.shape, i).square().mul(0.2));
  });
  for (const [, stage] of meanFieldsIn(model)) stage.sortParticles();
  return model;
}

const images = (n: number, size = 16, channels = 3) => waves([n, channels, size, size], n);
const tokens = (n: number, t: number, most = 11) =>
  tensor(
    Int32Array.from({ length: n * t }, (_, i) => (i * 7 + n) % most),
    { shape: [n, t] },
  );

const catalog: Record<string, models.ModelOptions> = {
  resnet20: { width: 0.25 },
  'resnet8-a': { width: 0.25 },
  'resnet8-b': { width: 0.25, classes: 3 },
  'resnet8-post': { width: 0.25 },
  'resnet8-post-b-own-bn': { width: 0.25 },
  'meanfield-resnet20': { width: 0.25 },
  resnet11: { width: 0.125 },
  'meanfield-resnet14-b': { width: 0.25, classes: 3 },
  'meanfield-resnet29': { width: 0.125 },
  'resnext11-2x4d': { width: 0.25 },
  'meanfield-resnext20-2x4d': { width: 0.25 },
  'feature-flow-resnet8': { width: 0.25 },
};
for (const [name, options] of Object.entries(catalog))
  withRuntime(name, async () => {
    const file = await sameInRuntime(used(models.createModel(name, options)), [images(4), images(2), images(7)]);
    assert.is(/^input input: float32 \[batch, 3, 16, 16\]$/m.test(String(file)), true);
  });

withRuntime('mean-field solvers, and skips inside of the blocks', async () => {
  const block = () => new nn.Sequential(new nn.Linear(5, 5), new nn.Tanh());
  const stages = [{ solver: { method: 'rk4', substeps: 2 } }, { skip: 'inside' }] as const;
  for (const options of stages)
    await sameInRuntime(used(new MeanField(3, block, options)), [waves([4, 5]), waves([2, 5])]);
});

const others: Record<string, [make: () => nn.AnyModule, ...inputs: [unknown, ...unknown[]]]> = {
  ImageResNet: [
    () => new models.ImageResNet({ block: 'basic', layers: [1, 1, 1, 1], width: 8, numClasses: 5 }),
    images(4, 32),
    images(2, 32),
  ],
  'ImageResNet with bottlenecks': [
    () =>
      new models.ImageResNet({
        block: 'bottleneck',
        layers: [1, 1, 1, 1],
        width: 16,
        groups: 2,
        widthPerGroup: 8,
        numClasses: 5,
      }),
    images(4, 32),
    images(2, 32),
  ],
  UNet: [() => new models.UNet({ inChannels: 3, outChannels: 2, channels: [4, 8] }), images(4), images(3)],
  VisionTransformer: [
    () =>
      new models.VisionTransformer({
        imageSize: 16,
        patchSize: 8,
        numLayers: 2,
        numHeads: 2,
        hiddenDim: 16,
        mlpDim: 32,
        numClasses: 5,
      }),
    images(4),
    images(3),
  ],
  'DCGAN, generator': [() => dcgan.newModels().generator, waves([4, 8, 1, 1]), waves([3, 8, 1, 1])],
  'DCGAN, discriminator': [() => dcgan.newModels().discriminator, images(4, 16, 1), images(3, 16, 1)],
  MNIST: [() => new Net(), images(4, 12, 1), images(3, 12, 1)],
  SimCLR: [() => new Encoder(), images(4, 8, 1), images(3, 8, 1)],
  'super-resolution': [() => superResolution.newModel(), images(4, 8, 1), images(3, 8, 1)],
  'a ported U-Net': [() => unet.newModel(), images(4, 16, 1), images(3, 16, 1)],
  'WGAN, generator': [() => wgan.newGenerator(), waves([4, 3]), waves([3, 3])],
  'WGAN, critic': [() => wgan.newCritic(), waves([4, 2]), waves([3, 2])],
};
for (const [name, [make, ...inputs]] of Object.entries(others))
  withRuntime(name, async () => void (await sameInRuntime(used(make()), inputs)));

withRuntime('GPT, with any number of tokens', async () => {
  const model = new models.GPT({ vocabSize: 11, blockSize: 16, nLayer: 2, nHead: 2, nEmbd: 16 });
  const dynamicAxes = { input: { 0: 'batch', 1: 'time' } };
  await sameInRuntime(model, [tokens(4, 8), tokens(1, 1), tokens(3, 16)], { dynamicAxes });
});

withRuntime('nanoGPT', async () => void (await sameInRuntime(nanogpt.newModel(), [tokens(4, 6), tokens(2, 6)])));

withRuntime('a language model with an LSTM and its state', async () => {
  const model = new LetterModel(8, 8, 2);
  const state = (n: number): [Tensor, Tensor] => [waves([2, n, 8]), waves([2, n, 8], 2)];
  const dynamicAxes = { letters: { 0: 'time', 1: 'batch' }, h: { 1: 'batch' }, c: { 1: 'batch' } };
  const names = { inputNames: ['letters', 'h', 'c'], outputNames: ['logits', 'hn', 'cn'], dynamicAxes };
  await sameInRuntime(
    model,
    [
      [tokens(5, 4), state(4)],
      [tokens(9, 2), state(2)],
    ],
    names,
  );
});

withRuntime('VAE', async () => {
  const model = new VAE();
  const size = model.fc1.inFeatures;
  const inputs = (n: number) => [waves([n, size]), waves([n, model.fc21.outFeatures], 2)];
  await sameInRuntime(model, [inputs(4), inputs(3)], {
    inputNames: ['x', 'noise'],
    outputNames: ['image', 'mu', 'logvar'],
  });
});

withRuntime('ViT', async () => {
  await sameInRuntime(new ViT(), [images(4), images(3)]);
});

withRuntime('a custom function, by the operations that compute the same', async () => {
  const customFunctions = [[swiglu, (a: Tensor, b: Tensor) => F.silu(a).mul(b)]] as const;
  const model = new Block();
  await sameInRuntime(model, [waves([4, model.gate.inFeatures]), waves([3, model.gate.inFeatures])], {
    customFunctions,
  });
});

checkerTest();
test.run();
