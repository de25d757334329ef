// A vision transformer (Dosovitskiy et al. 2021, as in lucidrains/vit-pytorch and torchvision): an image becomes patches, a convolution makes
// a token of each, and an encoder with norms first looks at them together with a token for the class.
import { arange, F, nn, optim, type Tensor, tensor, zeros } from '../../src/index.node.js';

const [size, patch, classes] = [16, 4, 4];

export class ViT extends nn.Module {
  readonly classToken: nn.Parameter;
  readonly positions: nn.Parameter;
  readonly patches: nn.Conv2d;
  readonly encoder: nn.TransformerEncoder;
  readonly head: nn.Linear;

  constructor(width = 32, depth = 2, heads = 4) {
    super();
    const tokens = (size / patch) ** 2 + 1;
    this.classToken = new nn.Parameter(zeros([1, 1, width]));
    this.positions = new nn.Parameter(nn.init.normal([1, tokens, width], 0, 0.02));
    this.patches = new nn.Conv2d(3, width, patch, { stride: patch });
    const layer = new nn.TransformerEncoderLayer(width, heads, {
      dimFeedforward: 2 * width,
      dropout: 0,
      activation: 'gelu',
      batchFirst: true,
      normFirst: true,
    });
    this.encoder = new nn.TransformerEncoder(layer, depth, { norm: new nn.LayerNorm(width) });
    this.head = new nn.Linear(width, classes);
  }

  override forward(images: Tensor): Tensor {
    const [n = 0] = images.shape;
    const patches = this.patches.forward(images).flatten(2).transpose(1, 2); // [n, tokens, width]
    const tokens = F.concat([this.classToken.expand([n, -1, -1]), patches], 1);
    const seen = this.encoder.forward(tokens.add(this.positions));
    return this.head.forward(seen.select(1, 0));
  }
}

/** Waves of four directions and different phases, by formula: [n, 3, 16, 16] and their classes. */
function waves(n: number): { images: Tensor; labels: Tensor } {
  const labels = arange(0, n, 1, { dtype: 'int32' }).remainder(classes);
  const values = Float32Array.from({ length: n * 3 * size * size }, (_, i) => {
    const [column, row, channel] = [i % size, Math.floor(i / size) % size, Math.floor(i / size ** 2) % 3];
    const image = Math.floor(i / (3 * size ** 2));
    const [dx = 0, dy = 0] =
      [
        [1, 0],
        [0, 1],
        [1, 1],
        [1, -1],
      ][image % classes] ?? [];
    return Math.sin(0.8 * (dx * column + dy * row) + 1.3 * channel + 0.9 * image);
  });
  return { images: tensor(values, { shape: [n, 3, size, size] }), labels };
}

/** Trains for some steps on the same 16 images; gives the losses. */
export async function train({ steps, model = new ViT() }: { steps: number; model?: ViT }): Promise<number[]> {
  const { images, labels } = waves(16);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 2e-3, weightDecay: 0.05 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = F.crossEntropy(model.forward(images), labels, { labelSmoothing: 0.1 });
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
