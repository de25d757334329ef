// Fine-tuning a ResNet-18, after PyTorch's transfer learning tutorial: the layers that see edges and textures stay as they are, the last stage and a new
// last layer learn the new classes. `model.load('resnet18.safetensors', { strict: false })` brings torchvision's weights.
import { arange, F, models, optim, type Tensor, tensor } from '../../src/index.node.js';

const [size, classes] = [32, 4];

/** Patterns of four kinds, by formula: [n, 3, 32, 32] and their classes. */
function patterns(n: number): { images: Tensor; labels: Tensor } {
  const kinds = [
    (row: number) => row * 0.5,
    (_: number, column: number) => column * 0.8,
    (row: number, column: number) => (row + column) * 0.4,
    (row: number, column: number) => Math.hypot(row - 16, column - 16),
  ];
  const values = Float32Array.from({ length: n * 3 * size * size }, (_, i) => {
    const [column, row, channel] = [i % size, Math.floor(i / size) % size, Math.floor(i / size ** 2) % 3];
    const image = Math.floor(i / (3 * size ** 2));
    const place = kinds[image % classes]?.(row, column) ?? 0;
    return Math.sin(place + 0.7 * channel + image);
  });
  const labels = arange(0, n, 1, { dtype: 'int32' }).remainder(classes);
  return { images: tensor(values, { shape: [n, 3, size, size] }), labels };
}

/** Trains the last stage and the classifier for some steps on the same 8 images; gives the losses. */
export async function train({
  steps,
  model = models.resnet18({ numClasses: classes }),
}: {
  steps: number;
  model?: models.ImageResNet;
}): Promise<number[]> {
  const { images, labels } = patterns(8);
  for (const [name, parameter] of model.namedParameters()) parameter.requiresGrad_(/^(layer4|fc)\./.test(name));
  const trained = [...model.parameters()].filter((parameter) => parameter.requiresGrad);
  const optimizer = new optim.SGD(trained, { lr: 0.02, momentum: 0.9 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = F.crossEntropy(model.forward(images), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
