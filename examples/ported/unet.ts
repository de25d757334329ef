// Segmentation with a U-Net (Ronneberger et al. 2015, as in milesial/Pytorch-UNet): which pixels of an image belong to the disc?
import { F, models, optim, type Tensor, tensor } from '../../src/index.node.js';

const size = 16;

export const newModel = () => new models.UNet({ inChannels: 1, outChannels: 1, channels: [8, 16, 32] });

/** Discs on a background of waves, by formula: [n, 1, 16, 16] and the masks of the discs. */
function discs(n: number): { images: Tensor; masks: Tensor } {
  const inside = (image: number, row: number, column: number) =>
    (row - 4 - (image % 8)) ** 2 + (column - 11 + (image % 7)) ** 2 < 16 ? 1 : 0;
  const each = (f: (image: number, row: number, column: number) => number) => {
    const values = Float32Array.from({ length: n * size * size }, (_, i) =>
      f(Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size),
    );
    return tensor(values, { shape: [n, 1, size, size] });
  };
  return {
    images: each((image, row, column) => inside(image, row, column) + 0.5 * Math.sin(0.9 * row - 1.1 * column + image)),
    masks: each(inside),
  };
}

/** Trains for some steps on the same 8 images; gives the losses. */
export async function train({ steps, model = newModel() }: { steps: number; model?: models.UNet }): Promise<number[]> {
  const { images, masks } = discs(8);
  const optimizer = new optim.Adam(model.parameters(), { lr: 3e-3 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = F.bceWithLogits(model.forward(images), masks);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
