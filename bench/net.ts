// The nets of the comparison for the peers: the walk of dawnfield's pre-activation networks, in terms of a few operations that each peer
// provides. `new models.PreActResNet(net)` is the same net.

export interface Net {
  /** Blocks of each of the three stages. */
  readonly blocks: number;
  readonly bottleneck?: boolean;
  /** Channels inside the blocks of each stage, and between them. */
  readonly inner?: readonly [number, number, number];
  readonly outer?: readonly [number, number, number];
  readonly groups?: number;
  /** Mean-field: blocks that keep their shape have trained times. */
  readonly particles?: boolean;
}

export const NETS = {
  resnet20: { blocks: 3 },
  resnet56: { blocks: 9 },
  'meanfield-resnet20': { blocks: 3, particles: true },
  resnext: { blocks: 2, bottleneck: true, groups: 8, inner: [32, 64, 128], outer: [64, 128, 256] },
} as const satisfies Record<string, Net>;

/** The walk of ResNeXt-29 8×64d: its layers but for the first, which has 64 channels there. For GPUs: a step of 32 images takes 1.5 TFLOP. */
export const RESNEXT29: Net = {
  ...{ blocks: 3, bottleneck: true, groups: 8 },
  ...{ inner: [512, 1024, 2048], outer: [256, 512, 1024] },
};

export const CLASSES = 10;
export const IMAGE = 32;

/** How a parameter begins: normal with variance 2 / fanIn, constants, or the times 1 … n. */
export type Initial = 'he' | 'ones' | 'zeros' | 'times';

/** Convolution weights are [out, in / groups, k, k] in every call; a peer stores them as it likes. */
export interface Ops<T> {
  /** Another reference to x, for peers whose operations use up their operands. */
  share(x: T): T;
  /** k × k with padding k / 2, no bias. */
  conv(x: T, weight: T, kernel: number, stride: number, groups: number): T;
  /** Batch norm with the statistics of the batch, then ReLU. */
  normRelu(x: T, gamma: T, beta: T): T;
  add(x: T, y: T): T;
  /** x + (times[i] − times[i − 1]) · f, with 0 before the first time. */
  advance(x: T, f: T, times: T, i: number): T;
  /** Global average pooling and a linear layer: [N, classes]. */
  classify(x: T, weight: T, bias: T): T;
}

/** Walks the net. `parameter` is called once for each parameter, always in the same order. */
export function forward<T>(net: Net, ops: Ops<T>, parameter: (shape: number[], initial: Initial) => T, x: T): T {
  const { blocks, bottleneck = false, groups = 1, inner = [16, 32, 64], outer = inner } = net;
  const conv = (y: T, from: number, to: number, kernel: number, stride = 1, g = 1) =>
    ops.conv(y, parameter([to, from / g, kernel, kernel], 'he'), kernel, stride, g);
  const normRelu = (y: T, channels: number) =>
    ops.normRelu(y, parameter([channels], 'ones'), parameter([channels], 'zeros'));
  const branch = (y: T, from: number, mid: number, to: number, stride: number) => {
    if (!bottleneck) return conv(normRelu(conv(normRelu(y, from), from, mid, 3, stride), mid), mid, to, 3);
    const narrow = normRelu(conv(normRelu(y, from), from, mid, 1), mid);
    return conv(normRelu(conv(narrow, mid, mid, 3, stride, groups), mid), mid, to, 1);
  };
  let channels = 16;
  let y = conv(x, 3, channels, 3);
  for (let s = 0; s < 3; s++) {
    const stride = s ? 2 : 1;
    const changes = stride > 1 || channels !== outer[s];
    if (changes) {
      const carried = conv(normRelu(ops.share(y), channels), channels, outer[s], 1, stride);
      y = ops.add(carried, branch(y, channels, inner[s], outer[s], stride));
      channels = outer[s];
    }
    const rest = blocks - Number(changes);
    const times = net.particles && rest ? parameter([rest], 'times') : null;
    for (let i = 0; i < rest; i++) {
      const f = branch(ops.share(y), channels, inner[s], channels, 1);
      y = times === null ? ops.add(y, f) : ops.advance(y, f, ops.share(times), i);
    }
  }
  return ops.classify(normRelu(y, channels), parameter([channels, CLASSES], 'he'), parameter([CLASSES], 'zeros'));
}

/**
 * The parameters of a net, and the floating-point operations of one image in a training step: three products of a convolution's size, but two
 * for the first one, whose input needs no gradient.
 */
export function survey(net: Net): { parameters: { shape: number[]; initial: Initial }[]; flops: number } {
  const parameters: { shape: number[]; initial: Initial }[] = [];
  let multiplyAdds = 0;
  let products = 2;
  // A value is what the walk needs to know of it: the side of the image, or the size of a parameter.
  const ops: Ops<number> = {
    share: (side) => side,
    conv(side, weight, _, stride) {
      multiplyAdds += products * weight * (side / stride) ** 2;
      products = 3;
      return side / stride;
    },
    normRelu: (side) => side,
    add: (side) => side,
    advance: (side) => side,
    classify(side, weight) {
      multiplyAdds += 3 * weight;
      return side;
    },
  };
  const parameter = (shape: number[], initial: Initial) => {
    parameters.push({ shape, initial });
    return shape.reduce((a, b) => a * b, 1);
  };
  forward(net, ops, parameter, IMAGE);
  return { parameters, flops: 2 * multiplyAdds };
}
