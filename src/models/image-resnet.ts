// Residual networks for large images with the names of torchvision's, whose state dicts load as they are: ResNet (He et al. 2015), ResNeXt (Xie et
// al. 2017), Wide ResNet (Zagoruyko & Komodakis 2016).
import { checked, is, type OptionTable, word } from '../gpu/options';
import { Sequential } from '../nn/containers';
import { Conv2d } from '../nn/conv';
import { kaimingNormal } from '../nn/init';
import { Linear } from '../nn/linear';
import { type AnyModule, Module } from '../nn/module';
import { BatchNorm2d } from '../nn/norm';
import { Parameter } from '../nn/parameter';
import { add, relu } from '../ops/elementwise';
import { globalAvgPool2d, maxPool2d } from '../ops/pool';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import type { Tensor } from '../tensor/tensor';

/** A convolution without bias, normal with variance 2 / fanOut as in torchvision. */
function convolution(from: number, to: number, kernel: number, stride = 1, groups = 1): Conv2d {
  const conv = new Conv2d(from, to, kernel, { stride, padding: kernel >> 1, groups, bias: false });
  (conv as { weight: Parameter }).weight = new Parameter(kaimingNormal(conv.weight.shape, { mode: 'fanOut' }));
  return conv;
}

const RELU = { activation: 'relu' } as const;

/** What a block is made for. */
interface Shape {
  inChannels: number;
  /** Channels inside, before the factor of bottlenecks. */
  planes: number;
  stride: number;
  groups: number;
  widthPerGroup: number;
}

/** relu(f(x) + shortcut(x)), where the shortcut of a block that changes shape is `downsample`: a 1×1 convolution and a norm. */
abstract class Block extends Module {
  readonly downsample: Sequential | null;

  constructor({ inChannels, stride }: Shape, outChannels: number) {
    super();
    this.downsample =
      stride !== 1 || inChannels !== outChannels
        ? new Sequential(convolution(inChannels, outChannels, 1, stride), new BatchNorm2d(outChannels))
        : null;
  }

  override forward(x: Tensor): Tensor {
    const carried = this.downsample ? this.downsample.forward(x) : x;
    return relu(add(this.branch(x), carried));
  }

  /** In torchvision's order: the shortcut last. */
  override *children(): Iterable<[string, AnyModule]> {
    for (const entry of super.children()) if (entry[0] !== 'downsample') yield entry;
    if (this.downsample) yield ['downsample', this.downsample];
  }

  protected abstract branch(x: Tensor): Tensor;
}

/** Two 3×3 convolutions. */
export class BasicBlock extends Block {
  static readonly expansion = 1;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;

  constructor(shape: Shape) {
    super(shape, shape.planes);
    const { inChannels, planes, stride, groups, widthPerGroup } = shape;
    if (groups !== 1 || widthPerGroup !== 64)
      throw inputError('BasicBlock', 'groups and widthPerGroup are for bottlenecks', {}, "Use block: 'bottleneck'.");
    this.conv1 = convolution(inChannels, planes, 3, stride);
    this.bn1 = new BatchNorm2d(planes, RELU);
    this.conv2 = convolution(planes, planes, 3);
    this.bn2 = new BatchNorm2d(planes);
  }

  protected override branch(x: Tensor): Tensor {
    return this.bn2.forward(this.conv2.forward(this.bn1.forward(this.conv1.forward(x))));
  }
}

/** 1×1, 3×3 (with the stride, as in torchvision) and 1×1 convolutions; four times as wide outside. */
export class Bottleneck extends Block {
  static readonly expansion = 4;
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm2d;
  readonly conv3: Conv2d;
  readonly bn3: BatchNorm2d;

  constructor(shape: Shape) {
    const { inChannels, planes, stride, groups, widthPerGroup } = shape;
    super(shape, 4 * planes);
    const width = Math.floor((planes * widthPerGroup) / 64) * groups;
    this.conv1 = convolution(inChannels, width, 1);
    this.bn1 = new BatchNorm2d(width, RELU);
    this.conv2 = convolution(width, width, 3, stride, groups);
    this.bn2 = new BatchNorm2d(width, RELU);
    this.conv3 = convolution(width, 4 * planes, 1);
    this.bn3 = new BatchNorm2d(4 * planes);
  }

  protected override branch(x: Tensor): Tensor {
    const y = this.bn2.forward(this.conv2.forward(this.bn1.forward(this.conv1.forward(x))));
    return this.bn3.forward(this.conv3.forward(y));
  }
}

/** Options of the networks by name. */
export interface ImageResNetOptions {
  /** Numbers that the last layer gives; 1000 by default. */
  numClasses?: number;
  /** Channels of the images (default 3). */
  inChannels?: number;
  /** The last norm of each block starts with scale 0, so that the block starts as its shortcut. */
  zeroInitResidual?: boolean;
}

/** Options of `ImageResNet`. */
export interface ImageResNetShape extends ImageResNetOptions {
  /** 'basic': two 3×3 convolutions; 'bottleneck': 1×1, 3×3, 1×1. */
  block: 'basic' | 'bottleneck';
  /** Blocks of each stage. */
  layers: readonly [number, number, number, number];
  /** Channels of the stem and of the first stage; 64 by default. */
  width?: number;
  /** Groups of the 3×3 convolutions (default 1; ResNeXt's cardinality). */
  groups?: number;
  /** Channels of each group of the first stage's 3×3 convolutions; 64 by default. */
  widthPerGroup?: number;
}

const OPTIONS: OptionTable<ImageResNetOptions> = {
  numClasses: is.number,
  inChannels: is.number,
  zeroInitResidual: is.flag,
};
const SHAPE: OptionTable<ImageResNetShape> = {
  ...OPTIONS,
  block: word('basic', 'bottleneck'),
  layers: is.numbers,
  width: is.number,
  groups: is.number,
  widthPerGroup: is.number,
};

/**
 * torchvision's `ResNet`: a 7×7 convolution with stride 2, max pooling, four stages, global average pooling, a linear layer. [N, 3, H, W] → [N, classes];
 * keys are torchvision's (`layer1.0.conv1.weight`, `layer2.0.downsample.0.weight`, `fc.weight`).
 */
export class ImageResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm2d;
  /** First stage, at 1/4 of the height and width. */
  readonly layer1: readonly Block[];
  /** Second stage, at 1/8. */
  readonly layer2: readonly Block[];
  /** Third stage, at 1/16. */
  readonly layer3: readonly Block[];
  /** Fourth stage, at 1/32. */
  readonly layer4: readonly Block[];
  readonly fc: Linear;

  constructor(/** As they were given, without defaults. */ readonly options: ImageResNetShape) {
    super();
    const { block, layers, numClasses = 1000, inChannels = 3, width = 64, groups = 1, widthPerGroup = 64 } = options;
    checked(new.target.name, options, SHAPE);
    const Made = block === 'basic' ? BasicBlock : Bottleneck;
    this.conv1 = new Conv2d(inChannels, width, 7, { stride: 2, padding: 3, bias: false });
    (this.conv1 as { weight: Parameter }).weight = new Parameter(
      kaimingNormal(this.conv1.weight.shape, { mode: 'fanOut' }),
    );
    this.bn1 = new BatchNorm2d(width, RELU);
    let from = width;
    const stage = (index: 0 | 1 | 2 | 3): readonly Block[] => {
      const planes = width * 2 ** index;
      return Array.from({ length: layers[index] }, (_, i) => {
        const made = new Made({ inChannels: from, planes, stride: i || !index ? 1 : 2, groups, widthPerGroup });
        from = planes * Made.expansion;
        return made;
      });
    };
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
    this.fc = new Linear(from, numClasses);
    if (options.zeroInitResidual)
      for (const module of this.modules()) {
        const last = module instanceof Bottleneck ? module.bn3 : module instanceof BasicBlock ? module.bn2 : null;
        if (last) (last as { weight: Parameter | null }).weight = new Parameter(zeros([last.channels]));
      }
  }

  /** What the stages see, pooled: [N, 3, H, W] → [N, channels]. */
  features(x: Tensor): Tensor {
    let y = maxPool2d(this.bn1.forward(this.conv1.forward(x)), { kernel: 3, stride: 2, padding: 1 });
    for (const block of [...this.layer1, ...this.layer2, ...this.layer3, ...this.layer4]) y = block.forward(y);
    return globalAvgPool2d(y);
  }

  override forward(x: Tensor): Tensor {
    return this.fc.forward(this.features(x));
  }
}

type Layers = ImageResNetShape['layers'];

const named =
  (block: 'basic' | 'bottleneck', layers: Layers, shape: Partial<ImageResNetShape> = {}) =>
  (options: ImageResNetOptions = {}): ImageResNet =>
    new ImageResNet({ ...checked('ImageResNet', options, OPTIONS), ...shape, block, layers });

/** torchvision's `resnet18`: 11,689,512 parameters for 1000 classes. */
export const resnet18 = named('basic', [2, 2, 2, 2]);
/** torchvision's `resnet34`. */
export const resnet34 = named('basic', [3, 4, 6, 3]);
/** torchvision's `resnet50`: 25,557,032 parameters for 1000 classes. */
export const resnet50 = named('bottleneck', [3, 4, 6, 3]);
/** torchvision's `resnet101`. */
export const resnet101 = named('bottleneck', [3, 4, 23, 3]);
/** torchvision's `resnet152`. */
export const resnet152 = named('bottleneck', [3, 8, 36, 3]);
/** torchvision's `resnext50_32x4d`. */
export const resnext50_32x4d = named('bottleneck', [3, 4, 6, 3], { groups: 32, widthPerGroup: 4 });
/** torchvision's `resnext101_32x8d`. */
export const resnext101_32x8d = named('bottleneck', [3, 4, 23, 3], { groups: 32, widthPerGroup: 8 });
/** torchvision's `wide_resnet50_2`. */
export const wideResnet50_2 = named('bottleneck', [3, 4, 6, 3], { widthPerGroup: 128 });
/** torchvision's `wide_resnet101_2`. */
export const wideResnet101_2 = named('bottleneck', [3, 4, 23, 3], { widthPerGroup: 128 });
