// What can be chosen on the page: the settings of an experiment, their limits, presets, and the recipe of each of its runs.

import type { DatasetName } from '../shared/dataset-names';
import { completeRecipe, type Recipe } from '../shared/recipe';

export const NETWORKS = ['mean-field', 'vanilla', 'feature-flow'] as const;
export const DATA = ['synthetic', 'synthetic100', 'cifar10', 'cifar100', 'own'] as const;
export const SCHEDULES = ['steps', 'cosine', 'constant'] as const;
export const TIMES = ['ordinal', 'fraction', 'random'] as const;

export interface Settings {
  network: (typeof NETWORKS)[number];
  /** A vanilla network of the same seed beside it. */
  compare: boolean;
  /** 6n + 2. */
  depth: number;
  /** Factor on 16, 32, 64 channels. */
  width: number;
  data: (typeof DATA)[number];
  /** Training and test images; 0 is all of them. */
  images: number;
  testImages: number;
  /** Pixels a side. */
  size: number;
  augment: boolean;
  epochs: number;
  batch: number;
  lr: number;
  schedule: (typeof SCHEDULES)[number];
  weightDecay: number;
  times: (typeof TIMES)[number];
  /** Rate of the times as a factor on that of the weights. */
  timeRate: number;
  timeDecay: boolean;
  sort: boolean;
  seed: number;
}

/** A tiny network whose times are i/n: particles cross within seconds of training. */
const CROSSING: Settings = {
  network: 'mean-field',
  compare: false,
  depth: 26,
  width: 0.25,
  data: 'synthetic',
  images: 2000,
  testImages: 320,
  size: 16,
  augment: true,
  epochs: 60,
  batch: 32,
  lr: 0.1,
  schedule: 'cosine',
  weightDecay: 1e-4,
  times: 'fraction',
  timeRate: 1,
  timeDecay: false,
  sort: true,
  seed: 0,
};

export interface Preset {
  readonly name: string;
  readonly about: string;
  readonly settings: Settings;
}

/** The first one is what the page opens with. */
export const PRESETS: readonly Preset[] = [
  {
    name: 'Watch particles cross',
    about: 'A narrow mean-field network with times i/n: blocks change places within the first minute.',
    settings: CROSSING,
  },
  {
    name: 'Mean-field beside vanilla',
    about: 'The same seed, images and first weights; one learns its times and re-sorts.',
    settings: { ...CROSSING, compare: true, depth: 20 },
  },
  {
    name: 'Paper: ResNet-20',
    about: 'The recipe of the mean-field paper. Wants a GPU, and CIFAR-10 once you have dropped it here.',
    settings: {
      ...CROSSING,
      ...{ depth: 20, width: 1, size: 32, images: 0, testImages: 0, epochs: 160, batch: 128 },
      ...{ times: 'ordinal', timeDecay: true, schedule: 'steps' },
    },
  },
  {
    name: 'Re-sorting, as measured',
    about: 'The narrow ResNet-56 of docs/re-sorting.md: 9, 8 and 8 particles.',
    settings: {
      ...CROSSING,
      ...{ depth: 56, width: 0.5, images: 10_000, testImages: 2000, epochs: 8, batch: 128 },
      ...{ schedule: 'steps', timeDecay: true },
    },
  },
  {
    name: 'Feature flow',
    about: 'The residual network of “Modeling from Features”, started by its Algorithm 2.',
    settings: { ...CROSSING, network: 'feature-flow', depth: 8, width: 0.5, weightDecay: 0, schedule: 'constant' },
  },
];

export const DEFAULTS = CROSSING;

/** Limits of numbers; `step` is that of the field. */
export const LIMITS = {
  depth: { least: 8, most: 164, step: 6 },
  width: { least: 0.125, most: 4, step: 0.125 },
  images: { least: 0, most: 50_000, step: 1 },
  testImages: { least: 0, most: 10_000, step: 1 },
  size: { least: 16, most: 32, step: 8 },
  epochs: { least: 1, most: 1000, step: 1 },
  batch: { least: 2, most: 1024, step: 1 },
  lr: { least: 0.0001, most: 10, step: 'any' },
  weightDecay: { least: 0, most: 0.1, step: 'any' },
  timeRate: { least: 0, most: 1000, step: 'any' },
  seed: { least: 0, most: 4_294_967_295, step: 1 },
} as const satisfies Partial<Record<keyof Settings, { least: number; most: number; step: number | 'any' }>>;

const WORDS = { network: NETWORKS, data: DATA, schedule: SCHEDULES, times: TIMES } as const;

/** Settings from anywhere, such as a link: what is not there or cannot be is taken from `base`. */
export function readSettings(given: Readonly<Record<string, unknown>>, base: Settings = DEFAULTS): Settings {
  const settings: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(base, key)) continue;
    const limits = LIMITS[key as keyof typeof LIMITS];
    const words = WORDS[key as keyof typeof WORDS] as readonly unknown[] | undefined;
    if (limits) {
      const number = Number(value);
      if (value !== '' && number >= limits.least && number <= limits.most) settings[key] = number;
    } else if (words) {
      if (words.includes(value)) settings[key] = value;
    } else if (value === true || value === false || value === 'true' || value === 'false')
      settings[key] = String(value) === 'true';
  }
  const read = settings as unknown as Settings;
  for (const key of ['depth', 'images', 'testImages', 'epochs', 'batch', 'seed'] as const)
    read[key] = Math.round(read[key]);
  read.depth = 6 * Math.round((read.depth - 2) / 6) + 2;
  if (read.images === 1) read.images = 2; // one image has no variance
  read.size = read.size < 20 ? 16 : read.size < 28 ? 24 : 32;
  return read;
}

/** The part of a link behind # that holds the settings: those that differ from the defaults. */
export function toHash(settings: Settings): string {
  const entries = Object.entries(settings).filter(([key, value]) => value !== DEFAULTS[key as keyof Settings]);
  return new URLSearchParams(entries.map(([key, value]) => [key, String(value)])).toString();
}

export const fromHash = (hash: string): Settings =>
  readSettings(Object.fromEntries(new URLSearchParams(hash.replace(/^#/, ''))));

/** What checkpoints of the page hold: a recipe as `cifar-train` has it. Own images have no name there. */
export type PageRecipe = Omit<Recipe, 'dataset'> & { dataset: Settings['data'] };

const NAMES = { 'mean-field': 'meanfield-resnet', vanilla: 'resnet', 'feature-flow': 'feature-flow-resnet' } as const;

/** The recipes of the runs: one, or with `compare` two. */
export function recipesOf(settings: Settings): PageRecipe[] {
  const second = settings.compare && settings.network !== 'vanilla' ? ['vanilla' as const] : [];
  return [settings.network, ...second].map((network) => recipeOf({ ...settings, network }));
}

function recipeOf(s: Settings): PageRecipe {
  const flow = s.network === 'feature-flow';
  const recipe = completeRecipe({
    model: `${NAMES[s.network]}${s.depth}`,
    dataset: s.data as DatasetName,
    ...(s.images && { subset: s.images }),
    ...(s.testImages && { testSubset: s.testImages }),
    ...(s.width !== 1 && { width: s.width }),
    ...(s.size !== 32 && { size: s.size }),
    ...{ augment: s.augment, epochs: s.epochs, batch: s.batch, lr: s.lr, seed: s.seed },
    ...(!flow && { weightDecay: s.weightDecay }),
    ...(s.schedule === 'cosine' && { schedule: 'cosine' as const }),
    ...(s.schedule === 'constant' && { milestones: [] }),
    ...{ tauTimes: s.times, tauRate: s.timeRate },
    ...(!s.timeDecay && { tauWeightDecay: false as const }),
    ...(!s.sort && { sort: false }),
  });
  return recipe;
}

/** The settings that a checkpoint's recipe comes from; those that the page does not offer are lost. */
export function settingsOf(recipe: PageRecipe): Settings {
  const { model, lr, tauLr, milestones, schedule } = recipe;
  const network = model.startsWith('meanfield')
    ? 'mean-field'
    : model.startsWith('feature')
      ? 'feature-flow'
      : 'vanilla';
  return readSettings({
    ...{ network, compare: false, depth: Number(/resnet(\d+)$/.exec(model)?.[1]), width: recipe.width ?? 1 },
    ...{
      data: recipe.dataset,
      images: recipe.subset ?? 0,
      testImages: recipe.testSubset ?? 0,
      size: recipe.size ?? 32,
    },
    ...{ augment: recipe.augment, epochs: recipe.epochs, batch: recipe.batch, lr, seed: recipe.seed },
    ...{ weightDecay: recipe.weightDecay, timeDecay: recipe.tauWeightDecay > 0, sort: recipe.sort ?? true },
    ...{ times: recipe.tauTimes, timeRate: lr > 0 ? tauLr / lr : 1 },
    schedule: schedule ?? (milestones.length ? 'steps' : 'constant'),
  });
}
