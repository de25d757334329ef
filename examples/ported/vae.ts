// A variational autoencoder, after PyTorch's examples/vae: Bernoulli images, a normal code, BCE + KL divergence. The images are stripes of all
// slopes; noise is drawn, or given.
import { F, nn, optim, randn, type Tensor, tensor } from '../../src/index.node.js';

const [PIXELS, CODE] = [64, 4];

export class VAE extends nn.Module<[x: Tensor, noise: Tensor], [image: Tensor, mu: Tensor, logvar: Tensor]> {
  readonly fc1 = new nn.Linear(PIXELS, 32);
  readonly fc21 = new nn.Linear(32, CODE);
  readonly fc22 = new nn.Linear(32, CODE);
  readonly fc3 = new nn.Linear(CODE, 32);
  readonly fc4 = new nn.Linear(32, PIXELS);

  override forward(x: Tensor, noise: Tensor): [image: Tensor, mu: Tensor, logvar: Tensor] {
    const h = F.relu(this.fc1.forward(x));
    const [mu, logvar] = [this.fc21.forward(h), this.fc22.forward(h)];
    const z = mu.add(noise.mul(logvar.mul(0.5).exp()));
    return [this.fc4.forward(F.relu(this.fc3.forward(z))).sigmoid(), mu, logvar];
  }
}

function lossOf(image: Tensor, x: Tensor, mu: Tensor, logvar: Tensor): Tensor {
  const bce = F.binaryCrossEntropy(image, x, { reduction: 'sum' });
  const kld = logvar.add(1).sub(mu.square()).sub(logvar.exp()).sum().mul(-0.5);
  return bce.add(kld);
}

/** Image n of 8 × 8: stripes. */
const stripes = (n: number) =>
  Array.from({ length: PIXELS }, (_, i) => 0.5 + 0.5 * Math.sin((Math.floor(i / 8) * n + (i % 8) * (7 - n)) / 4));

/** Trains for some steps on a batch of eight; gives the losses for each image. */
export async function train({
  steps,
  model = new VAE(),
  noise = () => randn([8, CODE]),
}: {
  steps: number;
  model?: VAE;
  noise?: (step: number) => Tensor;
}) {
  const x = tensor(Array.from({ length: 8 }, (_, n) => stripes(n)));
  const optimizer = new optim.Adam(model.parameters(), { lr: 1e-2 });
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    optimizer.zeroGrad();
    const [image, mu, logvar] = model.forward(x, noise(i));
    const loss = lossOf(image, x, mu, logvar);
    loss.backward();
    optimizer.step();
    losses.push((await loss.item()) / 8);
  }
  return losses;
}
