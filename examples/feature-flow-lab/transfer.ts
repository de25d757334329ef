// Learning-rate transfer: which rate trains best at each width? Ours should be one rate for all, the standard parametrisation's moves.

import type { Command } from 'commander';
import { at } from '../../shaders/checked';
import { compile, F, featureFlow, type Tensor } from '../../src/index.node.js';
import { drawChart, type Panel, ramp } from '../shared/chart';
import { numberList } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { ARMS, type Arm, makeNetwork } from './coordinate-sizes';
import { addNetworkOptions, loadImages, type NetworkOptions, pooled } from './images';

export interface TransferOptions extends NetworkOptions {
  rates: number[];
  standardRates: number[];
}

const powers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => 2 ** (from + i));

export const transferSummary =
  'training loss against the learning rate at several widths, beside the standard parametrisation';

export const transferOptions = (command: Command): Command =>
  addNetworkOptions(command, { widths: [0.25, 0.5, 1, 2], steps: 60, batch: 32, pool: 4 })
    .option('--rates <list>', 'learning rates of ours', numberList(), powers(-1, 6))
    .option('--standard-rates <list>', 'learning rates of the standard parametrisation', numberList(), powers(-6, 1));

interface Curve {
  arm: Arm;
  width: number;
  rates: number[];
  /** Mean loss over the last quarter of the steps; null where it was not finite. */
  losses: (number | null)[];
  best: number;
}

export interface TransferResult {
  experiment: 'transfer';
  curves: Curve[];
  /** Largest by smallest best rate over the widths, as a power of two. */
  drift: Record<Arm, number>;
}

export async function transfer(options: TransferOptions, say: Say, progress?: Progress): Promise<TransferResult> {
  const source = await loadImages(options, say);
  const batches: [Tensor, Tensor][] = [];
  for (let epoch = 0; batches.length < options.steps; epoch++)
    for (const batch of source.batches({ batchSize: options.batch, seed: options.seed, epoch, shuffle: true }))
      if (batches.length < options.steps && batch.size === options.batch)
        batches.push([pooled(batch, options), batch.labels.keep()]);
  const curves: Curve[] = [];
  for (const arm of ARMS)
    for (const width of options.widths) {
      const rates = arm === 'standard' ? options.standardRates : options.rates;
      progress?.begin(`${arm} ×${width}`, rates.length * options.steps);
      const losses = await train(arm, width, rates, batches, options, (steps) => progress?.update(steps));
      progress?.end();
      const finite = losses.map((loss) => loss ?? Number.POSITIVE_INFINITY);
      const best = at(rates, finite.indexOf(Math.min(...finite)));
      curves.push({ arm, width, rates, losses, best });
      say(`${arm}  width ×${width}  best rate ${best}  losses ${losses.map((x) => x?.toFixed(3) ?? '–').join(' ')}`);
    }
  const drift = Object.fromEntries(
    ARMS.map((arm) => {
      const best = curves.filter((curve) => curve.arm === arm).map((curve) => Math.log2(curve.best));
      return [arm, Math.max(...best) - Math.min(...best)];
    }),
  ) as TransferResult['drift'];
  for (const arm of ARMS) say(`${arm}: the best rate moves by a factor of 2^${drift[arm].toFixed(1)} over the widths`);
  return { experiment: 'transfer', curves, drift };
}

/** The loss at each rate, all from the same weights with the same batches: one compiled step serves them. */
async function train(
  arm: Arm,
  width: number,
  rates: number[],
  batches: [Tensor, Tensor][],
  options: TransferOptions,
  onSteps: (done: number) => void,
) {
  const net = makeNetwork(arm, width, options, options.seed);
  const start = Object.fromEntries(
    Object.entries(net.stateDict()).map(([name, v]) => [name, v.detach().clone().keep()]),
  );
  const optimizer = new featureFlow.ScaledGradientDescent(net.parameters(), { lr: 1 });
  const step = compile((images: Tensor, labels: Tensor) => {
    const loss = F.crossEntropy(net.forward(images), labels);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  // The first call of a compiled step runs another way: no rate's run may begin with it.
  step(...at(batches, 0));
  const losses: (number | null)[] = [];
  for (const [r, rate] of rates.entries()) {
    net.loadStateDict(start);
    at(optimizer.groups, 0).lr = rate;
    const late: number[] = [];
    for (const [i, batch] of batches.entries()) {
      const loss = step(...batch);
      if (i >= 0.75 * batches.length) late.push(await loss.item());
    }
    const mean = late.reduce((sum, loss) => sum + loss, 0) / late.length;
    losses.push(Number.isFinite(mean) ? mean : null);
    onSteps((r + 1) * batches.length);
  }
  for (const v of Object.values(start)) v.dispose();
  return losses;
}

/** A panel for each arm, a line for each width; losses above the worst start are cut off. */
export function drawTransfer({ curves, drift }: TransferResult): string {
  const panels = ARMS.map((arm): Panel => {
    const mine = curves.filter((curve) => curve.arm === arm);
    return {
      title: `${arm}: loss`,
      xName: 'log₂ of the learning rate',
      fromZero: false,
      freeX: true,
      lines: mine.map(({ width, rates, losses }, i) => ({
        label: `×${width}`,
        color: ramp(i, mine.length),
        points: rates.flatMap((rate, k): [number, number][] => {
          const loss = losses[k] ?? null;
          return loss === null || loss > 2.6 ? [] : [[Math.log2(rate), loss]];
        }),
      })),
    };
  });
  const told = ARMS.map((arm) => `${arm}: the best rate moves by 2^${drift[arm].toFixed(1)}`);
  return drawChart('Learning-rate transfer', told.join('   '), [panels]);
}
