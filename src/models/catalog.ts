// Models by name, for command lines and checkpoints.

import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import type { MeanFieldOptions } from '../meanfield/mean-field';
import type { Module } from '../nn/module';
import type { Shortcut } from './blocks';
import type { FeatureFlowResNetOptions } from './feature-flow';
import { FeatureFlowResNet } from './feature-flow';
import type { ResNetOptions } from './resnet';
import { MeanFieldResNet, MOST_BLOCKS, MOST_CHANNELS, PostActResNet, PreActResNet } from './resnet';

/** Options of `createModel`; one that the named model cannot have is refused. */
export interface ModelOptions {
  /** Number of logits (default 10). */
  classes?: number;
  /** Of mean-field networks: options of each stage. */
  particles?: MeanFieldOptions;
  /** Factor on the channels of all layers (default 1). */
  width?: number;
  /** Further options of feature-flow networks. */
  featureFlow?: Partial<FeatureFlowResNetOptions>;
}

/** Table 1 of Lu et al. 2020: names of the vanilla networks. With `meanfield-` in front they are the paper's. */
export const TABLE_1 = [
  'resnet20',
  'resnet32',
  'resnet44',
  'resnet56',
  'resnet110',
  'resnet164',
  'resnext29-8x64d',
  'resnext29-16x64d',
] as const;

/** Names that users see first; every depth 6n + 2 works. */
export const MODEL_NAMES = [
  'resnet20',
  'resnet56',
  'meanfield-resnet20',
  'meanfield-resnet56',
  'meanfield-resnet164',
  'meanfield-resnext29-8x64d',
  'resnet20-post-a',
  'resnet56-post-a',
  'feature-flow-resnet20',
] as const;

const HELP =
  "A name is [meanfield-]resnetD[-post][-a|-b|-b-own-bn] with depth D = 6n + 2 (20, 32, 44, 56, 110 …), such as 'resnet20' or " +
  "'resnet56-post-a', or with bottleneck blocks D = 164 and other depths 9n + 2, such as 'meanfield-resnet164'; or [meanfield-]resnextD-GxWd " +
  "with G groups of width W and D = 9n + 2, such as 'resnext29-8x64d'. Shortcuts: a = zero channels, b = 1×1 convolution, b-own-bn = with " +
  'its own batch norm (default; a for post-activation nets).';

const SHORTCUTS: Record<string, Shortcut> = { a: 'A', b: 'B', 'b-own-bn': 'B-own-bn' };

/** Makes a model by its name; an unknown one gets an error that says what names there are. */
export function createModel(name: string, given: ModelOptions = {}): Module {
  const table = { classes: is.number, particles: is.object, width: is.number, featureFlow: is.object };
  const { classes = 10, particles, width = 1, featureFlow } = checked('createModel', given, table);
  const { kind, meanField, options: normal } = parseName(name);
  if (kind === 'flow') return new FeatureFlowResNet({ width, ...featureFlow, blocks: normal.blocks, classes });
  const options = scaled(name, normal, width);
  if (meanField) return new MeanFieldResNet({ ...options, classes, particles });
  return kind === 'post' ? new PostActResNet({ ...options, classes }) : new PreActResNet({ ...options, classes });
}

/** Refuses a name that is none of a model. */
export const checkModelName = (name: string): void => void parseName(name);

interface Parsed {
  kind: 'flow' | 'pre' | 'post';
  meanField: boolean;
  options: ResNetOptions;
}

function parseName(name: string): Parsed {
  const flow = /^feature-flow-resnet(\d+)$/.exec(name);
  if (flow) {
    const blocks = (Number(flow[1]) - 2) / 6;
    if (blocks < 1 || !Number.isInteger(blocks))
      throw new InputError(`model '${name}': depth ${flow[1]} is not 6n + 2. ${HELP}`);
    checkDepth(name, blocks, 6);
    return { kind: 'flow', meanField: false, options: { blocks } };
  }
  const pattern = /^(meanfield-)?(?:resnet(\d+)(-post)?|resnext(\d+)-([1-9]\d*)x([1-9]\d*)d)(?:-(a|b|b-own-bn))?$/;
  const match = pattern.exec(name);
  if (!match) throw new InputError(`unknown model '${name}'. ${HELP}`);
  const [, meanField, plainDepth, post, nextDepth, groups, width, kind] = match;
  const depth = Number(plainDepth ?? nextDepth);
  // 164 is 6n + 2 as well, but the network of that name has bottlenecks (He et al. 2016).
  const bottleneck = Boolean(groups) || (!post && (depth === 164 || (depth - 2) % 6 !== 0));
  const blocks = (depth - 2) / (bottleneck ? 9 : 6);
  if (blocks < 1 || !Number.isInteger(blocks))
    throw new InputError(`model '${name}': depth ${depth} is not ${groups ? '' : '6n + 2 or '}9n + 2. ${HELP}`);
  if (meanField && post) throw new InputError(`model '${name}': mean-field networks are pre-activation. ${HELP}`);
  checkDepth(name, blocks, bottleneck ? 9 : 6);
  if (4 * Number(groups) * Number(width) > MOST_CHANNELS)
    throw new InputError(
      `model '${name}': ${groups} groups of width ${width} are too wide, groups times width may be at most ${MOST_CHANNELS / 4}`,
    );
  const shape = groups ? resnextShape(Number(groups), Number(width)) : bottleneck ? BOTTLENECK : {};
  const options = { blocks, ...shape, ...(kind && { shortcut: SHORTCUTS[kind] }) };
  return { kind: post ? 'post' : 'pre', meanField: Boolean(meanField), options };
}

function checkDepth(name: string, blocks: number, layers: number): void {
  if (blocks > MOST_BLOCKS)
    throw new InputError(`model '${name}' is too deep: its depth may be at most ${layers * MOST_BLOCKS + 2}`);
}

/** All channels times a factor. */
function scaled(name: string, shape: ResNetOptions, factor: number): ResNetOptions {
  if (factor === 1) return shape;
  const { stem = 16, inner = [16, 32, 64], outer = inner, groups = 1 } = shape;
  const times = ([a, b, c]: readonly [number, number, number]) => [a * factor, b * factor, c * factor] as const;
  const wide = { ...shape, stem: stem * factor, inner: times(inner), outer: times(outer) };
  const all = [wide.stem, ...wide.inner, ...wide.outer];
  if (!(factor > 0) || !all.every(Number.isInteger) || wide.inner.some((c) => c % groups))
    throw new InputError(
      `model '${name}': width ${factor} gives ${all.join(', ')} channels; these must be whole numbers${groups > 1 ? `, multiples of ${groups} groups inside` : ''}`,
    );
  return wide;
}

/** Blocks are four times as wide outside as inside. */
const BOTTLENECK = { bottleneck: true, outer: [64, 128, 256] } as const;

/** Xie et al. 2017 for CIFAR: the width of the groups doubles from stage to stage, their number stays. */
const resnextShape = (groups: number, width: number): Omit<ResNetOptions, 'blocks'> => ({
  bottleneck: true,
  groups,
  stem: 64,
  inner: [groups * width, 2 * groups * width, 4 * groups * width],
  outer: [256, 512, 1024],
});
