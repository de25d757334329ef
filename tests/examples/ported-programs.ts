// The programs of examples/ported as the tests and a figure of the docs run them: with weights by a formula, sin(0.7 i + k + 1) / 4 for element i of
// parameter k, so that a fixture holds losses alone (float64, PyTorch 2.13).
import { readFileSync } from 'node:fs';
import * as dcgan from '../../examples/ported/dcgan';
import * as lstm from '../../examples/ported/lstm-language-model';
import * as mnist from '../../examples/ported/mnist';
import * as nanogpt from '../../examples/ported/nanogpt';
import * as finetune from '../../examples/ported/resnet-finetune';
import * as simclr from '../../examples/ported/simclr';
import * as superResolution from '../../examples/ported/super-resolution';
import * as swiglu from '../../examples/ported/swiglu';
import * as unet from '../../examples/ported/unet';
import * as vae from '../../examples/ported/vae';
import * as vit from '../../examples/ported/vit';
import * as wgan from '../../examples/ported/wgan-gp';
import { models, type nn, tensor } from '../../src/index.node.js';

/** PyTorch's losses. */
export const losses = (name: string): number[] =>
  JSON.parse(readFileSync(new URL(`../fixtures/ported/${name}.json`, import.meta.url), 'utf8')).losses;

/** The module with weights by the formula. */
function byFormula<M extends nn.AnyModule>(module: M): M {
  const made = [...module.namedParameters()].map(([name, { shape, size }], k) => {
    const values = Float32Array.from({ length: size }, (_, i) => Math.sin(0.7 * i + k + 1) / 4);
    return [name, tensor(values, { shape })] as const;
  });
  module.loadStateDict(Object.fromEntries(made), { strict: false }); // running statistics stay as they are
  return module;
}

/** sin(a·i + step) for element i. */
const sines = (shape: readonly [number, number], a: number, step: number) =>
  tensor(
    Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(a * i + step)),
    { shape },
  );

/** Losses of as many steps as the fixture of that name has. */
export const programs: Record<string, (steps: number) => Promise<number[]>> = {
  dcgan: (steps) => {
    const { generator, discriminator } = dcgan.newModels();
    return dcgan.train({ steps, models: { generator: byFormula(generator), discriminator: byFormula(discriminator) } });
  },
  'lstm-language-model': (steps) => lstm.train({ steps, model: byFormula(new lstm.LetterModel()) }),
  mnist: (steps) => mnist.train({ steps, model: byFormula(new mnist.Net([0, 0])) }),
  nanogpt: (steps) => nanogpt.train({ steps, model: byFormula(nanogpt.newModel()) }),
  simclr: (steps) => simclr.train({ steps, model: byFormula(new simclr.Encoder()) }),
  swiglu: (steps) => swiglu.train({ steps, model: byFormula(new swiglu.Block()) }),
  vae: (steps) => vae.train({ steps, model: byFormula(new vae.VAE()), noise: (step) => sines([8, 4], 1.7, step) }),
  // As narrow as a test needs; the names of its parameters are ResNet-18's.
  'resnet-finetune': (steps) =>
    finetune.train({
      steps,
      model: byFormula(new models.ImageResNet({ block: 'basic', layers: [2, 2, 2, 2], width: 16, numClasses: 4 })),
    }),
  'super-resolution': (steps) => superResolution.train({ steps, model: byFormula(superResolution.newModel()) }),
  unet: (steps) => unet.train({ steps, model: byFormula(unet.newModel()) }),
  vit: (steps) => vit.train({ steps, model: byFormula(new vit.ViT()) }),
  'wgan-gp': (steps) =>
    wgan.train({
      steps,
      generator: byFormula(wgan.newGenerator()),
      critic: byFormula(wgan.newCritic()),
      noise: (step) => sines([8, 3], 1.7, step),
      eps: (step) => sines([8, 1], 2.3, step).mul(0.4).add(0.5),
    }),
};
