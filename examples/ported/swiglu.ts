// A feed-forward block with SwiGLU (Shazeer 2020) as a custom function with kernels of its own: one launch forward, one for both gradients.
import { F, nn, optim, type Tensor, tensor } from '../../src/index.node.js';
import { swiglu } from '../custom-kernel/swiglu';

export class Block extends nn.Module {
  readonly gate = new nn.Linear(4, 12);
  readonly value = new nn.Linear(4, 12);
  readonly output = new nn.Linear(12, 1);

  override forward(x: Tensor): Tensor {
    return this.output.forward(swiglu(this.gate.forward(x), this.value.forward(x)));
  }
}

/** Learns a function of four numbers; gives the losses. */
export async function train({ steps, model = new Block() }: { steps: number; model?: Block }): Promise<number[]> {
  const rows = Array.from({ length: 16 }, (_, i) => [0, 1, 2, 3].map((k) => Math.sin(0.9 * (4 * i + k))));
  const x = tensor(rows);
  const target = tensor(rows.map(([a = 0, b = 0, c = 0, d = 0]) => [a * b + c - d]));
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.02 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = F.mseLoss(model.forward(x), target);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
