// Does one learning rate serve every depth? In the flow (3.14) a particle's rate does not depend on how many others there are; the gradient of
// the network with n particles is 1/n of it. The toy is trained at many rates and depths, with gradients scaled by n and as they are.

import { at, valueAt } from '../../shaders/checked';
import { compile, optim, type Tensor } from '../../src/index.node.js';
import { type Panel, ramp } from '../shared/chart';
import { createToy } from './toy';

export interface DepthTransferOptions {
  /** Numbers of particles. */
  depths: number[];
  /** Rates of gradient descent without momentum; those of the unscaled arm reach further, by the largest depth over the smallest. */
  rates: number[];
  steps: number;
  seed: number;
  seeds: number;
  /** The rate of the times as a factor on that of the weights; 0 freezes them. Time and weights have no common unit. */
  timeRate: number;
}

interface Row {
  gradients: 'scaled' | 'unscaled';
  particles: number;
  rate: number;
  /** Mean loss of the last tenth of the steps, geometric mean over the seeds; infinite where training diverged. */
  loss: number;
}

interface Best {
  gradients: Row['gradients'];
  particles: number;
  bestRate: number;
  loss: number;
  /** Rates whose loss is within a tenth of the best. */
  within: number[];
}

export async function depthTransfer(
  o: DepthTransferOptions,
  onRow: (row: Row | Best) => void,
): Promise<{ rows: Row[]; best: Best[]; panels: Panel[][] }> {
  const rows: Row[] = [];
  const reach = Math.max(...o.depths) / Math.min(...o.depths);
  const largest = Math.max(...o.rates);
  const further = [...o.rates];
  for (let rate = 2 * largest; rate <= largest * reach; rate *= 2) further.push(rate);
  for (const gradients of ['scaled', 'unscaled'] as const)
    for (const particles of o.depths) {
      const rates = gradients === 'scaled' ? o.rates : further;
      const logs = new Map(rates.map((rate) => [rate, 0]));
      for (let seed = o.seed; seed < o.seed + o.seeds; seed++)
        for (const [rate, loss] of await train({ ...o, gradients, particles, rates, seed }))
          logs.set(rate, valueAt(logs, rate) + Math.log(loss) / o.seeds);
      for (const [rate, log] of logs) {
        const row = { gradients, particles, rate, loss: Math.exp(log) };
        rows.push(row);
        onRow(row);
      }
    }
  const best = (['scaled', 'unscaled'] as const).flatMap((gradients) =>
    o.depths.map((particles): Best => {
      const mine = rows.filter((row) => row.gradients === gradients && row.particles === particles);
      const { rate: bestRate, loss } = mine.reduce((a, b) => (b.loss < a.loss ? b : a));
      const within = mine.filter((row) => row.loss <= 1.1 * loss).map(({ rate }) => rate);
      return { gradients, particles, bestRate, loss, within };
    }),
  );
  for (const row of best) onRow(row);
  const panel = (gradients: Row['gradients']): Panel => ({
    title: `loss by learning rate, gradients ${gradients === 'scaled' ? 'scaled by n' : 'as they are'}`,
    xName: 'learning rate',
    fromZero: false,
    freeX: true,
    log: 'xy',
    lines: o.depths
      .map((n, i) => ({
        label: `${n} particles`,
        color: ramp(i, o.depths.length),
        points: rows
          .filter((row) => row.gradients === gradients && row.particles === n && row.loss < 10)
          .map(({ rate, loss }) => [rate, loss] as [number, number]),
      }))
      .filter(({ points }) => points.length),
  });
  return { rows, best, panels: [[panel('scaled')], [panel('unscaled')]].filter(([p]) => p?.lines.length) };
}

/** The loss at each rate, from the same weights. One compiled step serves all rates. */
async function train(
  o: DepthTransferOptions & { gradients: Row['gradients']; particles: number; seed: number },
): Promise<[number, number][]> {
  const toy = createToy(o, o.timeRate > 0, o.gradients === 'scaled' ? 'mean-field' : 'none');
  const { stage } = toy;
  const weights = stage.parameters().filter((p) => p !== stage.tau);
  const optimizer = new optim.SGD([{ params: weights }, { params: [stage.tau] }], { lr: 1 });
  const initial: Record<string, Tensor> = {};
  for (const [name, x] of Object.entries(stage.stateDict())) initial[name] = x.detach().clone().keep();
  const step = compile(() => {
    const loss = toy.loss();
    loss.backward();
    optimizer.step();
    stage.sortParticles();
    optimizer.zeroGrad();
    return loss;
  });
  const found: [number, number][] = [];
  for (const rate of o.rates) {
    stage.loadStateDict(initial);
    at(optimizer.groups, 0).lr = rate;
    at(optimizer.groups, 1).lr = rate * o.timeRate;
    const last = Math.max(1, Math.round(o.steps / 10));
    let sum = 0;
    for (let s = 1; s <= o.steps; s++) {
      const loss = step();
      if (s > o.steps - last) sum += await loss.item();
    }
    found.push([rate, Number.isFinite(sum) ? sum / last : Infinity]);
  }
  for (const x of Object.values(initial)) x.dispose();
  return found;
}
