// Models by name, for command lines and checkpoints.
import { InputError } from '../gpu';
import type { MeanFieldOptions } from '../meanfield/mean-field';
import type { Module } from '../nn/module';
import type { Shortcut } from './blocks';
import { MeanFieldResNet, PostActResNet, PreActResNet } from './resnet';

export interface ModelOptions {
  classes?: number;
  particles?: MeanFieldOptions;
}

/** Names that users see first; every depth 6n + 2 works. */
export const MODEL_NAMES = [
  'resnet20',
  'resnet56',
  'meanfield-resnet20',
  'meanfield-resnet56',
  'resnet20-post-a',
  'resnet56-post-a',
] as const;

const HELP =
  "A name is [meanfield-]resnetD[-post][-a|-b|-b-own-bn] with depth D = 6n + 2 (20, 32, 44, 56, 110 …), such as 'resnet20', " +
  "'meanfield-resnet20' or 'resnet56-post-a'. Shortcuts: a = zero channels, b = 1×1 convolution, b-own-bn = with its own batch norm (default; a for post-activation nets).";

const SHORTCUTS: Record<string, Shortcut> = { a: 'A', b: 'B', 'b-own-bn': 'B-own-bn' };

/** Makes a model by its name; an unknown one gets an error that says what names there are. */
export function createModel(name: string, { classes = 10, particles }: ModelOptions = {}): Module {
  const match = /^(meanfield-)?resnet(\d+)(-post)?(?:-(a|b|b-own-bn))?$/.exec(name);
  if (!match) throw new InputError(`unknown model '${name}'. ${HELP}`);
  const [, meanField, depthText, post, kind] = match;
  const depth = Number(depthText);
  if (depth < 8 || (depth - 2) % 6) throw new InputError(`model '${name}': depth ${depth} is not 6n + 2. ${HELP}`);
  if (meanField && post) throw new InputError(`model '${name}': mean-field networks are pre-activation. ${HELP}`);
  const options = { blocks: (depth - 2) / 6, classes, ...(kind && { shortcut: SHORTCUTS[kind] }) };
  if (meanField) return new MeanFieldResNet({ ...options, particles });
  return post ? new PostActResNet(options) : new PreActResNet(options);
}
