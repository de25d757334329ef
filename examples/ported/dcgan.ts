// A DCGAN (Radford et al. 2015, as in PyTorch's tutorial): a generator makes images of noise by transposed convolutions, a discriminator tells them from
// real ones, and each has an optimizer of its own.
import { F, nn, ones, optim, type Tensor, tensor, zeros } from '../../src/index.node.js';

const [size, latent] = [16, 8];

export const newModels = () => ({
  generator: new nn.Sequential(
    new nn.ConvTranspose2d(latent, 16, 4, { bias: false }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.ConvTranspose2d(16, 8, 4, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.ConvTranspose2d(8, 1, 4, { stride: 2, padding: 1, bias: false }),
    new nn.Tanh(),
  ),
  discriminator: new nn.Sequential(
    new nn.Conv2d(1, 8, 4, { stride: 2, padding: 1, bias: false }),
    new nn.LeakyReLU(0.2),
    new nn.Conv2d(8, 16, 4, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(16),
    new nn.LeakyReLU(0.2),
    new nn.Conv2d(16, 1, 4, { bias: false }),
    new nn.Flatten(0),
  ),
});

/** Waves by formula, the real images: [n, 1, 16, 16]. */
const waves = (n: number): Tensor =>
  tensor(
    Float32Array.from({ length: n * size * size }, (_, i) => {
      const [image, row, column] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
      return Math.sin(0.7 * row + 0.4 * column + image);
    }),
    { shape: [n, 1, size, size] },
  );

/** Noise of a step, by formula. */
const noise = (n: number, step: number): Tensor =>
  tensor(
    Float32Array.from({ length: n * latent }, (_, i) => Math.sin(37.1 * i + 11.3 * step + 1)),
    { shape: [n, latent, 1, 1] },
  );

/** Trains both for some steps; gives the losses of the discriminator. */
export async function train({ steps, models = newModels() }: { steps: number; models?: ReturnType<typeof newModels> }) {
  const n = 8;
  const { generator, discriminator } = models;
  const real = waves(n);
  const forD = new optim.Adam(discriminator.parameters(), { lr: 4e-3, betas: [0.5, 0.999] });
  const forG = new optim.Adam(generator.parameters(), { lr: 1e-3, betas: [0.5, 0.999] });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const fake = generator.forward(noise(n, step));
    forD.zeroGrad();
    const onReal = F.bceWithLogits(discriminator.forward(real), ones([n]));
    const onFake = F.bceWithLogits(discriminator.forward(fake.detach()), zeros([n]));
    const loss = onReal.add(onFake);
    loss.backward();
    forD.step();

    forG.zeroGrad();
    F.bceWithLogits(discriminator.forward(fake), ones([n])).backward();
    forG.step();
    losses.push(await loss.item());
  }
  return losses;
}
