// Super-resolution by sub-pixel convolution (Shi et al. 2016, as in PyTorch's examples/super_resolution): convolutions give a pixel of the small image
// the channels of its 2×2 pixels in the large one, and PixelShuffle puts them there.
import { F, nn, optim, type Tensor, tensor } from '../../src/index.node.js';

const [size, factor] = [16, 2];

export const newModel = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 16, 5, { padding: 2 }),
    new nn.ReLU(),
    new nn.Conv2d(16, 16, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Conv2d(16, 8, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Conv2d(8, factor ** 2, 3, { padding: 1 }),
    new nn.PixelShuffle(factor),
  );

/** Rings around different centres, by formula: [n, 1, 16, 16]. */
function rings(n: number): Tensor {
  const values = Float32Array.from({ length: n * size * size }, (_, i) => {
    const [image, row, column] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
    return 0.5 + 0.5 * Math.sin(Math.hypot(row - 2 * image, column - 3) * (0.6 + 0.1 * image));
  });
  return tensor(values, { shape: [n, 1, size, size] });
}

/** Trains for some steps on the same 6 images; gives the losses. */
export async function train({ steps, model = newModel() }: { steps: number; model?: nn.Sequential }) {
  const large = rings(6);
  const small = F.interpolate(large, { scaleFactor: 1 / factor, mode: 'bilinear', antialias: true });
  const optimizer = new optim.Adam(model.parameters(), { lr: 2e-3 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = F.mseLoss(model.forward(small), large);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
