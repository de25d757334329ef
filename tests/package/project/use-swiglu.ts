// The kernels of examples/custom-kernel/, which are copied here as swiglu.ts, in a small network.
import assert from 'node:assert/strict';
import { device, F, gradcheck, init, manualSeed, nn, optim, randn, shutdown, type Tensor } from 'dawnfield';
import { swiglu } from './swiglu.js';

class Gated extends nn.Module {
  readonly gate = new nn.Linear(4, 8);
  readonly up = new nn.Linear(4, 8);
  readonly down = new nn.Linear(8, 1);

  override forward(x: Tensor): Tensor {
    return this.down.forward(swiglu(this.gate.forward(x), this.up.forward(x)));
  }
}

await init();
manualSeed(0);
const inputs = [randn([2, 3]), randn([2, 3])];
assert.ok(
  (
    await gradcheck(
      swiglu,
      inputs.map((x) => x.requiresGrad_()),
    )
  ).error < 2e-3,
);
const [a, b] = [randn([5]), randn([5])];
assert.ok((await swiglu(a, b).sub(F.silu(a).mul(b)).abs().max().item()) < 1e-6);
assert.throws(() => swiglu(a, randn([4])), /must be one shape/);

const net = new Gated();
const optimizer = new optim.Adam(net.parameters(), { lr: 0.02 });
const x = randn([32, 4]);
const t = x.square().mean(1, true);
const losses: number[] = [];
for (let step = 0; step < 40; step++) {
  const loss = F.mseLoss(net.forward(x), t);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  losses.push(await loss.item());
}
const [first = Number.NaN] = losses;
assert.ok((losses.at(-1) ?? Number.NaN) < first / 2, losses.join(' '));
await device().sync();
shutdown();
