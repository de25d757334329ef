// Proposition 1: in fully connected nets of independent weights the units of a middle layer become one as the width grows. Not so after
// Algorithm 2. Spread = root mean square over samples of the standard deviation over a layer's units, at its largest in training.

import type { Command } from 'commander';
import { at, fromEnd } from '../../shaders/checked';
import { F, type featureFlow, nn, type Tensor } from '../../src/index.node.js';
import { drawChart, type Panel, ramp } from '../shared/chart';
import { stepCount } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { makeNets, type NetOptions, problem, release, train } from './dense';
import { addNetOptions, counted, slopePanel, WIDTHS, widthList } from './nets';
import { describeSlope, type Group, mean, type PowerLaw, powerLaw, showSlope, verdict } from './statistics';

export interface CollapseOptions extends NetOptions {
  steps: number;
  widths: number[];
}

export const collapseSummary = 'units of middle layers become one with growing width, and do not after Algorithm 2';

export const collapseOptions = (command: Command): Command =>
  addNetOptions(command, { layers: 4, eta: 0.1, seeds: 4 })
    .option('--steps <number>', 'updates', stepCount, 200)
    .option('--widths <list>', 'm', widthList, WIDTHS.slice(0, -1));

const ARMS = ['independent', 'algorithm-2'] as const;

interface LayerSlopes {
  arm: (typeof ARMS)[number];
  layer: number;
  spread: Group[];
  fit: PowerLaw;
  /** The paper's Δ_{l,m}, a maximum over pairs of units, and its slope: shown, not judged. */
  delta: Group[];
  deltaFit: PowerLaw;
}

export interface CollapseResult {
  experiment: 'collapse';
  layers: LayerSlopes[];
  summary: { independent: number[]; algorithm2: number[] };
}

/** Of each hidden layer and replica, [L, replicas]: the spread, and max over pairs of units and samples of their difference. */
function measures({ features }: featureFlow.Layers): { spread: Tensor; delta: Tensor } {
  const hidden = features.slice(1);
  return {
    spread: F.stack(hidden.map((beta) => beta.var(-1, false, 0).mean(-1).sqrt())),
    delta: F.stack(hidden.map((beta) => beta.max(-1).sub(beta.min(-1)).max(-1))),
  };
}

export async function collapse(options: CollapseOptions, say: Say, progress: Progress): Promise<CollapseResult> {
  const { layers, eta, steps, widths, seeds: replicas, seed } = options;
  const { x, y } = problem(options);
  const found: LayerSlopes[] = [];
  for (const arm of ARMS) {
    /** [l − 1][width] */
    const spread: Group[][] = Array.from({ length: layers }, () => []);
    const delta: Group[][] = Array.from({ length: layers }, () => []);
    for (const width of widths) {
      // v_1 ~ N(0, d), all later weights N(1, 1): not scaled with the width.
      const initial = (l: number, shape: readonly number[]) =>
        l === 1 ? nn.init.normal(shape, 0, Math.sqrt(options.inputs)) : nn.init.normal(shape, 1, 1);
      const net = await makeNets(options, x, {
        width,
        replicas,
        residual: false,
        ...(arm === 'independent' && { initial }),
      });
      const largest = {
        spread: new Array<number>(layers * replicas).fill(0),
        delta: new Array<number>(layers * replicas).fill(0),
      };
      const onStep = counted(progress, `${arm}, width ${width}`, steps);
      await train(net, {
        ...{ x, y, eta, steps, observe: measures },
        async onStep(k, _, seen) {
          for (const name of ['spread', 'delta'] as const)
            (await seen[name].data()).forEach((value, i) => (largest[name][i] = Math.max(at(largest[name], i), value)));
          onStep(k);
        },
      });
      release(net);
      for (let l = 0; l < layers; l++) {
        const of = (list: number[]): Group => ({ x: width, values: list.slice(l * replicas, (l + 1) * replicas) });
        at(spread, l).push(of(largest.spread));
        at(delta, l).push(of(largest.delta));
      }
      say(
        `${arm}, width ${width}: spread ${spread.map((groups) => mean(fromEnd(groups, 1).values).toPrecision(3)).join(' ')} (layers 1 … ${layers})`,
      );
    }
    for (let l = 0; l < layers; l++)
      found.push({
        ...{ arm, layer: l + 1, spread: at(spread, l), fit: powerLaw(at(spread, l), seed) },
        ...{ delta: at(delta, l), deltaFit: powerLaw(at(delta, l), seed) },
      });
  }
  const middle = (arm: string) => found.filter((one) => one.arm === arm && one.layer > 1 && one.layer < layers);
  for (const { arm, layer, fit, deltaFit } of found) {
    const judged =
      arm === 'algorithm-2'
        ? verdict(fit.slope, -0.05, 0.05)
        : layer > 1 && layer < layers
          ? verdict(fit.slope, -0.6, -0.4)
          : 'not judged';
    say(`${arm}, layer ${layer}: slope ${describeSlope(fit)}; ${judged}. Slope of Δ ${showSlope(deltaFit.slope)}`);
  }
  const slopes = (arm: string) => middle(arm).map(({ fit }) => fit.slope);
  const summary = { independent: slopes('independent'), algorithm2: slopes('algorithm-2') };
  return { experiment: 'collapse', layers: found, summary };
}

export function drawCollapse({ layers }: CollapseResult): string {
  const panels = ARMS.map((arm): Panel => {
    const mine = layers.filter((one) => one.arm === arm);
    const curves = mine.map(({ layer, spread: groups, fit }, i) => {
      return { name: `layer ${layer}:`, color: ramp(i, mine.length), groups, fit };
    });
    // The prediction goes through the first middle layer.
    const first = curves.splice(Math.min(1, curves.length - 1), 1);
    return slopePanel(`${arm}: spread over units`, 'width m', [...first, ...curves], arm === 'independent' ? -0.5 : 0);
  });
  return drawChart(
    'Proposition 1: collapse, and Algorithm 2',
    'largest spread in training; means over seeds with their fits',
    [panels],
  );
}
