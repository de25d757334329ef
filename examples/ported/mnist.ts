// Digits, after PyTorch's examples/mnist: two convolutions, dropout, Adadelta, a rate that falls every epoch. The digits are drawn here, as on a
// seven-segment display, and shaded.
import { DataLoader, F, nn, optim, type Tensor, TensorDataset, tensor } from '../../src/index.node.js';

/** Segments of each digit: top, upper left and right, middle, lower left and right, bottom. */
const SEGMENTS = [
  '1110111',
  '0010010',
  '1011101',
  '1011011',
  '0111010',
  '1101011',
  '1101111',
  '1010010',
  '1111111',
  '1111011',
];
/** Each segment's rectangle in an image of 12 × 12: top, left, bottom, right. */
const PLACES = [[1, 3, 2, 8], [2, 2, 5, 3], [2, 8, 5, 9], [5, 3, 6, 8], [6, 2, 9, 3], [6, 8, 9, 9], [9, 3, 10, 8]] as const; // biome-ignore format: a table

/** Image n: the digit n mod 10, somewhat to the right or below, over a pattern of its own. */
function digit(n: number): number[] {
  const segments = SEGMENTS[n % 10] ?? '';
  return Array.from({ length: 144 }, (_, i) => {
    const [y, x] = [Math.floor(i / 12) - (Math.floor(n / 10) % 2), (i % 12) - (Math.floor(n / 20) % 2)];
    const on = PLACES.some(([t, l, b, r], s) => segments[s] === '1' && y >= t && y <= b && x >= l && x <= r);
    return (on ? 1 : 0) + 0.2 * Math.sin(1.3 * i + n);
  });
}

export class Net extends nn.Module {
  readonly conv1 = new nn.Conv2d(1, 8, 3);
  readonly conv2 = new nn.Conv2d(8, 16, 3);
  readonly dropout1: nn.Dropout;
  readonly dropout2: nn.Dropout;
  readonly fc1 = new nn.Linear(256, 32);
  readonly fc2 = new nn.Linear(32, 10);

  constructor([first, second] = [0.25, 0.5]) {
    super();
    this.dropout1 = new nn.Dropout(first);
    this.dropout2 = new nn.Dropout(second);
  }

  override forward(x: Tensor): Tensor {
    x = F.relu(this.conv1.forward(x));
    x = F.relu(this.conv2.forward(x));
    x = F.maxPool2d(x, 2);
    x = this.dropout1.forward(x).flatten(1);
    x = F.relu(this.fc1.forward(x));
    x = this.dropout2.forward(x);
    return F.logSoftmax(this.fc2.forward(x), 1);
  }
}

/** Trains for some steps, five an epoch; gives the losses. */
export async function train({ steps, model = new Net() }: { steps: number; model?: Net }) {
  const images = tensor(Float32Array.from(Array.from({ length: 40 }, (_, n) => digit(n)).flat()), {
    shape: [40, 1, 12, 12],
  });
  const labels = tensor(Int32Array.from({ length: 40 }, (_, n) => n % 10));
  const loader = new DataLoader(new TensorDataset(images, labels), { batchSize: 8 });
  const optimizer = new optim.Adadelta(model.parameters(), { lr: 0.5 });
  const scheduler = new optim.StepLR(optimizer, 1, { gamma: 0.7 });
  const losses: number[] = [];
  while (losses.length < steps) {
    for await (const [data, target] of loader) {
      if (losses.length === steps) break;
      optimizer.zeroGrad();
      const loss = F.nllLoss(model.forward(data), target);
      loss.backward();
      optimizer.step();
      losses.push(await loss.item());
    }
    scheduler.step();
  }
  return losses;
}
