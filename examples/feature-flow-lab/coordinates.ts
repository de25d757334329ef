// The coordinate check: after a few steps at one rate, how large are features, and how far have they moved, in nets of different width?

import type { Command } from 'commander';
import { at } from '../../shaders/checked';
import { drawChart, type Panel, ramp } from '../shared/chart';
import { first } from '../shared/first';
import { count } from '../shared/options';
import type { Progress, Say } from '../shared/progress';
import { ARMS, type Arm, measure } from './coordinate-sizes';
import { addNetworkOptions, loadImages, type NetworkOptions, pooled, rateOption } from './images';

export interface CoordinatesOptions extends NetworkOptions {
  rate: number;
  standardRate: number;
  seeds: number;
}

export const coordinatesSummary =
  'size of features and of their updates against width, beside the standard parametrisation';

export const coordinatesOptions = (command: Command): Command =>
  addNetworkOptions(command, { widths: [1, 2, 4, 8], steps: 4, batch: 16, pool: 4 })
    .option(
      '--seeds <number>',
      'networks of the largest width; of narrower ones, which scatter more, in inverse proportion',
      count,
      4,
    )
    .option('--rate <rate>', 'learning rate of ours', rateOption, 1)
    .option('--standard-rate <rate>', 'learning rate of the standard parametrisation', rateOption, 0.1);

/** Root mean squares by width, for β_1 … β_L and last the logits. */
interface Sizes {
  arm: Arm;
  /** [width][layer] */
  features: number[][];
  updates: number[][];
}

export interface CoordinatesResult {
  experiment: 'coordinates';
  widths: number[];
  arms: Sizes[];
  /** Largest by smallest size over the widths, less 1, in the layer where it is worst; 0.2 is flat to within 20 %. */
  spread: Record<Arm, { features: number; updates: number }>;
}

export async function coordinates(
  options: CoordinatesOptions,
  say: Say,
  progress?: Progress,
): Promise<CoordinatesResult> {
  const { widths, batch: batchSize, seed, seeds } = options;
  const source = await loadImages(options, say);
  const batch = first(source.batches({ batchSize, seed, shuffle: true }));
  const [images, labels] = [pooled(batch, options), batch.labels.keep()];
  const arms: Sizes[] = [];
  for (const arm of ARMS) {
    const sizes: Sizes = { arm, features: [], updates: [] };
    for (const width of widths) {
      const all: Awaited<ReturnType<typeof measure>>[] = [];
      const nets = Math.ceil((seeds * Math.max(...widths)) / width);
      progress?.begin(`${arm} ×${width}`, nets * options.steps);
      for (let s = 0; s < nets; s++) {
        all.push(await measure(arm, width, seed + s, images, labels, options));
        progress?.update((s + 1) * options.steps);
      }
      progress?.end();
      const mean = (part: 'features' | 'updates') =>
        at(all, 0)[part].map((_, l) => Math.sqrt(all.reduce((sum, one) => sum + at(one[part], l), 0) / all.length));
      const [features, updates] = [mean('features'), mean('updates')];
      sizes.features.push(features);
      sizes.updates.push(updates);
      const show = (list: number[]) => list.map((x) => x.toPrecision(3)).join(' ');
      say(`${arm}  width ×${width}  sizes ${show(features)}  updates ${show(updates)}`);
    }
    arms.push(sizes);
  }
  const spread = Object.fromEntries(
    arms.map(({ arm, features, updates }) => [
      // Logits at the start are a sum of random signs over m: of them only the updates must be flat.
      arm,
      { features: worst(features.map(withoutLogits)), updates: worst(updates) },
    ]),
  ) as CoordinatesResult['spread'];
  for (const arm of ARMS) {
    const percent = (x: number) => `${(100 * x).toFixed(0)} %`;
    const { features, updates } = spread[arm];
    say(
      `${arm}: sizes differ by ${percent(features)} at most over widths ×${widths.join(', ×')}, updates by ${percent(updates)}`,
    );
  }
  return { experiment: 'coordinates', widths, arms, spread };
}

const withoutLogits = (sizes: number[]): number[] => sizes.slice(0, -1);

/** max/min − 1 over widths of the layer where it is largest. */
const worst = (sizes: number[][]): number =>
  Math.max(
    ...at(sizes, 0).map((_, l) => {
      const column = sizes.map((list) => at(list, l));
      return Math.max(...column) / Math.min(...column) - 1;
    }),
  );

/** A row of panels for each arm: a line for each layer, relative to the smallest width. */
export function drawCoordinates({ widths, arms, spread }: CoordinatesResult): string {
  const logits = at(at(arms, 0).features, 0).length - 1;
  const panel = (title: string, sizes: number[][]): Panel => ({
    title,
    xName: 'log₂ of width',
    fromZero: true,
    freeX: true,
    lines: at(sizes, 0).map((least, l) => ({
      label: l === logits ? 'logits' : `β${l + 1}`,
      color: ramp(l, logits + 1),
      points: widths.map((width, i) => [Math.log2(width), at(at(sizes, i), l) / least]),
    })),
  });
  const rows = arms.map(({ arm, features, updates }) => [
    panel(`${arm}: size of features, by that at the smallest width`, features.map(withoutLogits)),
    panel(`${arm}: size of their updates, by the smallest width`, updates),
  ]);
  const { 'mean-field': ours } = spread;
  return drawChart(
    'Coordinate check',
    `ours: sizes within ${(100 * ours.features).toFixed(0)} %, updates within ${(100 * ours.updates).toFixed(0)} %`,
    rows,
  );
}
