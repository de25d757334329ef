// A module and a loss of one's own: gradients follow from the operations that they are made of.
import assert from 'node:assert/strict';
import { init, manualSeed, nn, optim, shutdown, type Tensor, tensor } from 'dawnfield';

class Net extends nn.Module {
  readonly inner = new nn.Linear(1, 16);
  readonly outer = new nn.Linear(16, 1);

  override forward(x: Tensor): Tensor {
    return this.outer.forward(this.inner.forward(x).tanh());
  }
}

/** Quadratic near 0, logarithmic far out. */
const cauchy = (y: Tensor, t: Tensor): Tensor => y.sub(t).square().add(1).log().mean();

await init();
manualSeed(0);
const places = Array.from({ length: 32 }, (_, i) => i / 16 - 1);
const x = tensor(places.map((place) => [place]));
const t = tensor(places.map((place) => [Math.sin(3 * place)]));
const net = new Net();
const optimizer = new optim.Adam(net.parameters(), { lr: 0.02 });
const losses: number[] = [];
for (let step = 0; step < 40; step++) {
  const loss = cauchy(net.forward(x), t);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  losses.push(await loss.item());
}
const [first = Number.NaN] = losses;
assert.ok((losses.at(-1) ?? Number.NaN) < first / 2, losses.join(' '));
shutdown();
