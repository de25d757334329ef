/**
 * 2-d convolution and its two gradients: which kernels compute it on which target.
 *
 *   y[n,o,p]  = Σ_{c,k} w[o,c,k] · x[n,c, stride·p + dilation·k − pad]
 *   dx[n,c,q] = Σ_{o,k} w[o,c,k] · dy[n,o, (q + pad − dilation·k) / stride]
 *   dw[o,c,k] = Σ_{n,p} dy[n,o,p] · x[n,c, stride·p + dilation·k − pad]
 */
import { cached } from '../build';
import { describeProduct, gridOf, type Images, type Lowering, MAX_WORKGROUPS, type Operation } from '../kernel';
import { onMatrices, tileFor } from '../matmul/tiles';
import { STEP_BYTES } from '../particles';
import { LONG, lowerSum } from '../sum-partials';
import type { KernelTarget } from '../target';
import type { Variant } from '../variants';
import { cpuGather } from './cpu-gather';
import { cpuWeightGradient } from './cpu-weight-gradient';
import { directGather, directWeightGradient } from './direct';
import { type Gather, gatherOf } from './gather';
import { stagedGather } from './gpu-staged-gather';
import { stagedWeightGradient } from './gpu-staged-weight-gradient';
import { fillsTiles, tiledGather, tiledWeightGradient } from './gpu-tiles';
import { storedChunks } from './norm-sums';
import type { Conv2dShape } from './shape';

export type { Conv2dShape } from './shape';

/** Operands `a`, `b`: forward x, weight; input gradient dy, weight; weight gradient x, dy. */
export type Conv2dKind = 'forward' | 'inputGradient' | 'weightGradient';

/**
 * A convolution as data. Compiled steps ask for one with `norm`, `gradient`, `adds` or `sums`, which do what the batch norms and the residual
 * connection around it would (src/gpu/fuse-norm.ts): the launch that multiplies then has more bindings.
 */
export interface Conv2dOperation extends Operation {
  readonly name: 'conv2d';
  readonly kind: Conv2dKind;
  /** Every extent is at least 1. */
  readonly shape: Conv2dShape;
  readonly target: KernelTarget;
  readonly variant: Variant;
}

/** The launches of one convolution (or gradient) with everything baked in. */
export const lowerConv2d = (
  kind: Conv2dKind,
  shape: Conv2dShape,
  target: KernelTarget,
  variant: Variant = {},
): Lowering => lowerConv2dOperation({ name: 'conv2d', kind, shape, target, variant });

/** The same from its description. */
export function lowerConv2dOperation(operation: Conv2dOperation): Lowering {
  const { kind, shape, target, variant, norm, gradient, adds, sums } = operation;
  return cached(['conv2d', kind, shape, target, variant, norm, gradient, adds, sums], () => {
    const flat = flattened(shape);
    const more = [norm && 'normalized', gradient && 'throughNorm', adds, sums?.kind];
    const name = ['conv2d', kind, ...more].filter(Boolean).join('.');
    const gather = kind === 'weightGradient' ? null : gatherOf(kind, flat);
    const lowering = gather
      ? lowerGather(name, gather, operation)
      : lowerWeightGradient(name, shape.outWidth % 4 ? flat : shape, operation);
    const { batch, outChannels, inChannels, groups, kernelHeight, kernelWidth, outHeight, outWidth } = shape;
    const terms = (inChannels / groups) * kernelHeight * kernelWidth;
    const flops = 2 * batch * outChannels * outHeight * outWidth * terms;
    // CPU drivers would compile variants for seconds to save 3 % of a step; norms are float32.
    if (target.isCpu || shape.half) return describeProduct(lowering, { flops });
    const loads = kind !== 'inputGradient' && !norm;
    const chunks = gather && fillsTiles(gather) && !isLong(gather) && !sums ? storedChunks(gather) : 0;
    return describeProduct(lowering, {
      flops,
      operation,
      ...(adds === 'step' && { uniforms: STEP_BYTES }),
      ...(loads && { onLoad: { channels: inChannels, plane: shape.inHeight * shape.inWidth } }),
      ...(gather && chunks && { onStore: { ...writtenBy(gather), chunks } }),
    });
  });
}

const writtenBy = (g: Gather): Images => ({ channels: g.groups * g.outChannels, plane: g.y.size * g.x.size });

/** Whether an output sums so many products that only the kernel with one output per invocation keeps what the additions lose. */
const isLong = (g: Gather): boolean => g.inChannels * g.kernelHeight * g.kernelWidth > LONG;

/** A pointwise convolution sees no rows: as one long row it has no ragged ends. */
function flattened(s: Conv2dShape): Conv2dShape {
  const pointwise = s.kernelHeight === 1 && s.kernelWidth === 1 && s.strideH === 1 && s.strideW === 1;
  if (!pointwise || s.inHeight !== s.outHeight || s.inWidth !== s.outWidth || s.padTop || s.padLeft) return s;
  const pixels = s.inHeight * s.inWidth;
  return { ...s, inHeight: 1, inWidth: pixels, outHeight: 1, outWidth: pixels };
}

function lowerGather(name: string, gather: Gather, operation: Conv2dOperation): Lowering {
  const { target, variant, norm } = operation;
  const tiled = fillsTiles(gather) && !isLong(gather);
  const tile = tileFor(gather.half, target, gather.outChannels, variant);
  const matrices = tiled && 'unit' in tile;
  const packed = target.isCpu && !isLong(gather) && !matrices ? cpuGather(name, gather, target, variant) : null;
  // The third dimension counts blocks of output channels and is not folded.
  if (packed && (gridOf(packed.gather)?.[2] ?? 0) <= MAX_WORKGROUPS) {
    return {
      scratch: [packed.packedFloats],
      stages: [
        { kernel: packed.pack, inputs: ['b'], output: 0 },
        { kernel: packed.gather, inputs: ['a', 0], output: 'out' },
      ],
      product: 1,
    };
  }
  const staged = tiled && !target.isCpu && !matrices && !variant.tile && stagedGather(name, gather, operation);
  const kernel =
    staged ||
    (matrices || (tiled && !target.isCpu)
      ? tiledGather(name, gather, tile, operation)
      : directGather(name, gather, norm));
  return { scratch: [], stages: [{ kernel, inputs: ['a', 'b'], output: 'out' }], product: 0 };
}

function lowerWeightGradient(name: string, shape: Conv2dShape, { target, variant, norm }: Conv2dOperation): Lowering {
  const matrices = onMatrices(shape.half, target, shape.outChannels / shape.groups, variant) !== null;
  const tiled = () => tiledWeightGradient(name, shape, target, variant, norm);
  const special =
    (matrices && tiled()) ||
    (target.isCpu
      ? cpuWeightGradient(name, shape, target, variant)
      : (!variant.tile && stagedWeightGradient(name, shape, variant, norm)) || tiled());
  const count = (shape.outChannels * shape.inChannels * shape.kernelHeight * shape.kernelWidth) / shape.groups;
  // One row that is too long cannot be split.
  const pixels = shape.batch * shape.outHeight * shape.outWidth;
  const tooLong = special && pixels / special.splits > LONG && count <= LONG;
  return lowerSum(
    `${name}.sum`,
    special && !tooLong ? special : directWeightGradient(name, shape, norm),
    count,
    shape.half,
  );
}
