// Residual networks for 32×32 images: a 3×3 stem, three stages with 1×, 2×, 4× channels, global average pooling, a linear classifier.

import { at } from '../../shaders/checked';
import { requireWhole } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import type { MeanFieldOptions } from '../meanfield/mean-field';
import { MeanField } from '../meanfield/mean-field';
import type { Conv2d } from '../nn/conv';
import { Linear } from '../nn/linear';
import { Module } from '../nn/module';
import { BatchNorm2d } from '../nn/norm';
import type { Parameter, State } from '../nn/parameter';
import { add } from '../ops/elementwise';
import { globalAvgPool2d } from '../ops/pool';
import { pack } from '../tensor/rows';
import type { Tensor } from '../tensor/tensor';
import type { Shortcut } from './blocks';
import { heConv, PostActBlock, PreActBranch, PreActTransition } from './blocks';

/** Depth, channels and shortcuts of the residual networks for small images. */
export interface ResNetOptions {
  /** Blocks of each of the three stages: n of depth 6n + 2, or 9n + 2 with bottlenecks. */
  blocks: number;
  /** How many classes there are. */
  classes?: number;
  /** Channels of the input. */
  inChannels?: number;
  /** Channels after the stem (default 16). */
  stem?: number;
  /** Channels inside the blocks of each stage. */
  inner?: readonly [number, number, number];
  /** Channels between the blocks of each stage. */
  outer?: readonly [number, number, number];
  /** Blocks of 1×1, 3×3, 1×1 convolutions instead of two 3×3 (default false). */
  bottleneck?: boolean;
  /** Groups of the 3×3 convolutions (ResNeXt's cardinality). */
  groups?: number;
  /** What carries the input past a block that changes its shape. */
  shortcut?: Shortcut;
}

/** Blocks of a stage. The deepest ResNet of the literature has 200. */
export const MOST_BLOCKS = 1000;
/** Channels, groups, classes. */
export const MOST_CHANNELS = 65_536;

const OPTIONS: OptionTable<ResNetOptions> = {
  ...{
    blocks: is.number,
    classes: is.number,
    inChannels: is.number,
    stem: is.number,
    inner: is.numbers,
    outer: is.numbers,
  },
  ...{ bottleneck: is.flag, groups: is.number, shortcut: word('A', 'B', 'B-own-bn') },
};

/** Everything filled in, and of a size that can be. */
function complete(options: ResNetOptions) {
  const { particles: _, ...own } = options as ResNetOptions & { particles?: object };
  checked('ResNet', own, OPTIONS);
  const inner = options.inner ?? ([16, 32, 64] as const);
  const defaults = { classes: 10, inChannels: 3, stem: 16, bottleneck: false, groups: 1 };
  const given = { ...defaults, outer: inner, ...options };
  requireWhole('ResNet: blocks', given.blocks, 1, MOST_BLOCKS);
  for (const name of ['classes', 'inChannels', 'stem', 'groups'] as const)
    requireWhole(`ResNet: ${name}`, given[name], 1, MOST_CHANNELS);
  for (const [name, widths] of Object.entries({ inner, outer: given.outer }))
    for (const width of widths) requireWhole(`ResNet: ${name}`, width, 1, MOST_CHANNELS);
  return { ...defaults, shortcut: 'B-own-bn' as Shortcut, inner, outer: inner, ...options };
}

/** Pre-activation networks; subclasses say how the blocks of a stage that keep their shape are joined. */
abstract class PreActNet extends Module {
  readonly conv1: Conv2d;
  readonly bn: BatchNorm2d;
  readonly linear: Linear;
  /** The block of each stage that changes shape, if any: the first of its stage. */
  protected readonly transitions: readonly (PreActTransition | null)[];
  /** What the other blocks of each stage add, in order. */
  protected readonly branches: readonly (readonly PreActBranch[])[];

  constructor(options: ResNetOptions) {
    super();
    const { blocks, classes, inChannels, stem, inner, outer, bottleneck, groups, shortcut } = complete(options);
    this.conv1 = heConv(inChannels, stem, 3);
    const transitions: (PreActTransition | null)[] = [];
    const branches: PreActBranch[][] = [];
    for (let s = 0; s < 3; s++) {
      const outChannels = at(outer, s);
      const from = s === 0 ? stem : at(outer, s - 1);
      const stride = s === 0 ? 1 : 2;
      const shape = { innerChannels: at(inner, s), outChannels, bottleneck, groups };
      const changes = stride !== 1 || from !== outChannels;
      transitions.push(changes ? new PreActTransition({ ...shape, inChannels: from, stride }, shortcut) : null);
      branches.push(
        Array.from(
          { length: blocks - (changes ? 1 : 0) },
          () => new PreActBranch({ ...shape, inChannels: outChannels }),
        ),
      );
    }
    this.transitions = transitions;
    this.branches = branches;
    this.listedByHand('transitions', 'branches');
    this.bn = new BatchNorm2d(outer[2], { activation: 'relu' });
    this.linear = new Linear(outer[2], classes);
  }

  /** The names of PyTorch's CIFAR nets: `layerS.I` for block I of stage S. */
  override *children(): Iterable<[string, Module]> {
    yield ['conv1', this.conv1];
    for (let s = 0; s < 3; s++) {
      const first = this.transitions[s];
      const others = at(this.branches, s);
      const blocks = first ? [first, ...others] : others;
      for (const [i, block] of blocks.entries()) yield [`layer${s + 1}.${i}`, block];
    }
    for (const entry of super.children()) if (entry[0] !== 'conv1') yield entry;
  }

  /** [N, channels, H, W] → logits [N, classes]. */
  override forward(x: Tensor): Tensor {
    let y = this.conv1.forward(x);
    for (let s = 0; s < 3; s++) {
      const first = this.transitions[s];
      if (first) y = first.forward(y);
      y = this.stage(s, y);
    }
    return this.linear.forward(globalAvgPool2d(this.bn.forward(y)));
  }

  protected abstract stage(s: number, x: Tensor): Tensor;
}

/** Pre-activation ResNet (He et al. 2016): x ← x + f(x), no norm between stem and first block, bn-relu at the end. */
export class PreActResNet extends PreActNet {
  /** One stage of blocks. */
  protected override stage(s: number, x: Tensor): Tensor {
    return at(this.branches, s).reduce((y, branch) => add(y, branch.forward(y)), x);
  }
}

/**
 * Mean-field ResNet (Lu et al. 2020): the blocks of each stage that keep their shape are particles with times of their own axis;
 * blocks that change shape are transitions with step 1. With times 1 … n it starts as exactly the pre-activation ResNet.
 */
export class MeanFieldResNet extends PreActNet {
  /** Particles of each stage, in the order of the stages; null for a stage without particles. */
  readonly stages: readonly (MeanField | null)[];

  constructor(options: ResNetOptions & { particles?: MeanFieldOptions }) {
    super(options);
    this.stages = this.branches.map((list) => (list.length ? new MeanField(list, options.particles) : null));
    this.listedByHand('stages');
    const bookkeeping = this.stages.flatMap((stage) => stage?.bookkeeping ?? []);
    pack('states of particles', bookkeeping);
  }

  /** Blocks as in the vanilla net, and `stageS.tau`. */
  override *children(): Iterable<[string, Module]> {
    yield* super.children();
    for (const [s, stage] of this.stages.entries()) if (stage) yield [`stage${s + 1}`, stage];
  }

  /** Particles have the names of blocks alone. */
  override *allNames(): Iterable<[string, Parameter | State]> {
    for (const entry of super.allNames()) if (!/^stage\d\.\d/.test(entry[0])) yield entry;
  }

  /** Sorts the particles of every stage by their times. Call it after each `optimizer.step()`. */
  sortParticles(): void {
    for (const stage of this.stages) stage?.sortParticles();
  }

  /** One stage of particles. */
  protected override stage(s: number, x: Tensor): Tensor {
    return this.stages[s]?.forward(x) ?? x;
  }
}

/** Post-activation ResNet (He et al. 2015): stem conv-bn-relu, blocks relu(f(x) + shortcut(x)), no norm at the end. */
export class PostActResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  /** First stage, at the height and width of the image. */
  readonly layer1: readonly PostActBlock[];
  /** Second stage, at half the height and width. */
  readonly layer2: readonly PostActBlock[];
  /** Third stage, at a quarter. */
  readonly layer3: readonly PostActBlock[];
  readonly linear: Linear;

  constructor(options: ResNetOptions) {
    super();
    const { blocks, classes, inChannels, stem, outer, shortcut } = complete({ shortcut: 'A', ...options });
    this.conv1 = heConv(inChannels, stem, 3);
    this.bn1 = new BatchNorm2d(stem, { activation: 'relu' });
    const stage = (from: number, to: number, stride: number) =>
      Array.from({ length: blocks }, (_, i) => {
        const shape = { inChannels: i ? to : from, innerChannels: to, outChannels: to, stride: i ? 1 : stride };
        return new PostActBlock(shape, shortcut);
      });
    this.layer1 = stage(stem, outer[0], 1);
    this.layer2 = stage(outer[0], outer[1], 2);
    this.layer3 = stage(outer[1], outer[2], 2);
    this.linear = new Linear(outer[2], classes);
  }

  /** [N, channels, H, W] → logits [N, classes]. */
  override forward(x: Tensor): Tensor {
    let y = this.bn1.forward(this.conv1.forward(x));
    for (const block of [...this.layer1, ...this.layer2, ...this.layer3]) y = block.forward(y);
    return this.linear.forward(globalAvgPool2d(y));
  }
}
