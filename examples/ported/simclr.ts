// Contrastive learning, after SimCLR (Chen et al. 2020): two views of each image, an encoder with a projection head, and NT-Xent: the other view is
// to be told from all other images of the batch.
import { F, nn, optim, type Tensor, tensor } from '../../src/index.node.js';

export class Encoder extends nn.Module {
  readonly features = new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.AvgPool2d(2),
    new nn.Flatten(),
  );
  readonly head = new nn.Sequential(new nn.Linear(64, 16), new nn.ReLU(), new nn.Linear(16, 8));

  override forward(x: Tensor): Tensor {
    return this.head.forward(this.features.forward(x));
  }
}

/** Normalised temperature-scaled cross-entropy of two views [N, D] each: every row's class is its other view. */
export function ntXent(a: Tensor, b: Tensor, temperature = 0.5): Tensor {
  const [n = 0] = a.shape;
  const z = F.normalize(F.concat([a, b], 0));
  const itself = tensor(
    Float32Array.from({ length: 4 * n * n }, (_, i) => (i % (2 * n + 1) === 0 ? -1e9 : 0)),
    { shape: [2 * n, 2 * n] },
  );
  const similarity = z.matmul(z.transpose()).div(temperature).add(itself);
  return F.crossEntropy(similarity, tensor(Int32Array.from({ length: 2 * n }, (_, i) => (i + n) % (2 * n))));
}

/** View v of image n, of 8 × 8: a wave of its own frequency, with another phase and contrast in each view. */
const view = (n: number, v: number, step: number) =>
  Array.from({ length: 64 }, (_, i) => {
    const [y, x] = [Math.floor(i / 8), i % 8];
    return (1 + 0.3 * Math.sin(step + v)) * Math.sin(0.3 * (n + 1) * x + 0.2 * n * y + 0.4 * v + 0.1 * step);
  });

/** Trains for some steps; gives the losses. */
export async function train({ steps, model = new Encoder() }: { steps: number; model?: Encoder }) {
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 1e-4 });
  const scheduler = new optim.CosineAnnealingLR(optimizer, 20);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const views = (v: number) =>
      tensor(Float32Array.from(Array.from({ length: 6 }, (_, n) => view(n, v, step)).flat()), { shape: [6, 1, 8, 8] });
    optimizer.zeroGrad();
    const loss = ntXent(model.forward(views(0)), model.forward(views(1)));
    loss.backward();
    optimizer.step();
    scheduler.step();
    losses.push(await loss.item());
  }
  return losses;
}
