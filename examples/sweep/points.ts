// The points of a sweep: values of some options of cifar-train, all combinations of them or some drawn at random.

import { CommanderError, type Option } from 'commander';
import { Rng } from '../../datasets/random';
import { at } from '../../shaders/checked';
import { addRecipeOptions } from '../cifar-train/options';
import type { DatasetName } from '../shared/dataset-names';
import type { WantedRun } from '../shared/grid';
import { createProgram, didYouMean, UsageError } from '../shared/options';
import type { Wanted } from '../shared/recipe';

/** Values by the names of options, as they were written. */
export type PointValues = Readonly<Record<string, string>>;

/** A run of a sweep. */
export interface SweepRun extends WantedRun {
  readonly point: PointValues;
  readonly seed: number;
}

/** An option and its values, or the ends of a range. */
interface Axis {
  name: string;
  values: string[];
  range: [number, number] | null;
}

const optionsOf = (): readonly Option[] => addRecipeOptions(createProgram('sweep', '')).options;
const nameOf = ({ long = '' }: Option): string => long.replace(/^--(no-)?/, '');

/** Reads `--grid` lr=0.05,0.1: values stand between commas, or between semicolons where they have commas themselves. */
export function parseAxis(text: string): Axis {
  const [, name = '', list = ''] = /^(?:--)?([\w-]+)=(.*)$/.exec(text) ?? [];
  if (!name || !list) throw new UsageError(`--grid ${text}: it must be an option and its values, as lr=0.05,0.1`);
  const names = [...new Set(optionsOf().map(nameOf))].filter(
    (known) => !['json', 'data', 'autotune', 'seed'].includes(known),
  );
  if (name === 'seed')
    throw new UsageError('--grid seed: --seeds says how many runs a point has, --seed where they begin');
  if (!names.includes(name))
    throw new UsageError(`--grid ${text}: there is no option --${name}. ${didYouMean(name, names)}--help lists them`);
  const values = list.split(list.includes(';') ? ';' : ',').map((value) => value.trim());
  const twice = values.find((value, i) => values.indexOf(value) < i);
  if (twice !== undefined) throw new UsageError(`--grid ${text}: '${twice}' is named twice`);
  const [low = NaN, high = NaN] = /^(.+)\.\.(.+)$/.exec(list)?.slice(1).map(Number) ?? [];
  if (Number.isNaN(low + high)) {
    for (const value of values) parsePoint({ [name]: value });
    return { name, values, range: null };
  }
  if (!(low < high)) throw new UsageError(`--grid ${text}: a range goes from a lower to a higher number`);
  return { name, values: [], range: [low, high] };
}

/** What the options of a point are in a recipe. */
export function parsePoint(point: PointValues): Wanted {
  const args = Object.entries(point).flatMap(([name, value]) => {
    const options = optionsOf().filter((option) => nameOf(option) === name);
    const valued = options.find((option) => option.required || option.optional);
    if (valued) return [valued.long as string, value];
    const [flag] = options;
    if (value !== 'yes' && value !== 'no') throw new UsageError(`--grid ${name}=${value}: it must be yes or no`);
    return flag && flag.negate === (value === 'no') ? [flag.long as string] : [];
  });
  const program = addRecipeOptions(createProgram('sweep', '')).configureOutput({ writeErr: () => undefined });
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const written = Object.entries(point).map((pair) => pair.join('='));
    throw new UsageError(`--grid ${written.join(' ')}: ${error.message.replace(/^error: /, '')}`);
  }
  const typed = Object.entries(program.opts()).filter(([key]) => program.getOptionValueSource(key) === 'cli');
  return Object.fromEntries(typed) as Wanted;
}

/** All combinations, the first option changing slowest. */
function combinations(axes: readonly Axis[]): PointValues[] {
  return axes.reduce<PointValues[]>(
    (points, { name, values }) => points.flatMap((point) => values.map((value) => ({ ...point, [name]: value }))),
    [{}],
  );
}

/** A number of a range: evenly by its logarithm where both ends are positive; whole where the option takes no fraction. */
function draw(name: string, [low, high]: readonly [number, number], rng: Rng): string {
  const u = rng.uniform();
  const x = low > 0 ? low * (high / low) ** u : low + (high - low) * u;
  const text = String(Number(x.toPrecision(3)));
  try {
    parsePoint({ [name]: text });
    return text;
  } catch {
    return String(Math.round(x));
  }
}

/** Different points at random; fewer where there are not so many. */
function drawn(axes: readonly Axis[], points: number, seed: number): PointValues[] {
  const rng = new Rng(seed, 0);
  const found = new Map<string, PointValues>();
  const one = ({ name, values, range }: Axis) =>
    range ? draw(name, range, rng) : at(values, Math.floor(rng.uniform() * values.length));
  const all = axes.some(({ range }) => range) ? Infinity : combinations(axes).length;
  for (let tries = 0; found.size < Math.min(points, all) && tries < 1000 * points; tries++) {
    const point = Object.fromEntries(axes.map((axis) => [axis.name, one(axis)]));
    found.set(JSON.stringify(point), point);
  }
  return [...found.values()];
}

export interface Search {
  grid?: readonly string[];
  random?: number;
  searchSeed: number;
  seeds: number;
}

/** The runs of a sweep: a seed after the other, each at all points. `fixed` are the options that do not change. */
export function runsOf({ grid = [], random, searchSeed, seeds }: Search, fixed: Wanted): SweepRun[] {
  const axes = grid.map(parseAxis);
  if (!axes.length) throw new UsageError('what is to be varied? Such as --grid lr=0.05,0.1,0.2 --grid batch=64,128');
  const twice = axes.find(({ name }, i) => axes.findIndex((other) => other.name === name) < i);
  if (twice) throw new UsageError(`--grid ${twice.name} is given twice: put all of its values into one`);
  const open = axes.find(({ range }) => range);
  if (open && !random) throw new UsageError(`--grid ${open.name}: a range needs --random POINTS`);
  const points = random ? drawn(axes, random, searchSeed) : combinations(axes);
  return Array.from({ length: seeds }, (_, i) => (fixed.seed ?? 0) + i).flatMap((seed) =>
    points.map((point): SweepRun => {
      const wanted: Wanted = { ...fixed, ...parsePoint(point), seed };
      const { model = 'meanfield-resnet20', dataset = 'cifar10' as DatasetName, width = 1 } = wanted;
      const name = `${nameOfPoint(point)}-seed${seed}`;
      return { name, row: `${model.replace('meanfield-', '')} ${width}`, wanted: { ...wanted, dataset }, point, seed };
    }),
  );
}

/** lr=0.1 and batch=64 → 'lr0.1-batch64', fit for the name of a folder. */
export const nameOfPoint = (point: PointValues): string =>
  Object.entries(point)
    .map(([name, value]) => (/^\d/.test(value) ? name + value : `${name}-${value}`).replace(/[^\w.+-]/g, '_'))
    .join('-');
