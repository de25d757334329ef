// A small network and its batches, as a user would write them: what the memory tests train.
import { F, nn, type Tensor, tensor } from '../../src/index.node.js';
import { numbers } from '../util';

export class SmallNet extends nn.Module {
  readonly conv = new nn.Conv2d(1, 4, 3, { padding: 1, bias: false });
  readonly bn = new nn.BatchNorm2d(4);
  readonly linear = new nn.Linear(4, 3);

  override forward(x: Tensor): Tensor {
    const y = F.relu(this.bn.forward(this.conv.forward(x)));
    return this.linear.forward(y.mean([2, 3]));
  }
}

/** Four images [4, 1, 6, 6] and their labels, new tensors at every call. */
export function batch(seed: number): { x: Tensor; y: Tensor } {
  const x = tensor(Float32Array.from(numbers(4 * 36, seed)), { shape: [4, 1, 6, 6] });
  const y = tensor(Int32Array.from({ length: 4 }, (_, i) => (seed + i) % 3));
  return { x, y };
}
