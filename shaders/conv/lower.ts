/**
 * 2-d convolution and its two gradients: which kernels compute it on which target.
 *
 *   y[n,o,p]  = Σ_{c,k} w[o,c,k] · x[n,c, stride·p + dilation·k − pad]
 *   dx[n,c,q] = Σ_{o,k} w[o,c,k] · dy[n,o, (q + pad − dilation·k) / stride]
 *   dw[o,c,k] = Σ_{n,p} dy[n,o,p] · x[n,c, stride·p + dilation·k − pad]
 */
import { cached } from '../build';
import { type ChunkSums, describeProduct, type Lowering, type OnLoad, type OnStore, productOf } from '../kernel';
import { lowerSum } from '../sum-partials';
import type { KernelTarget } from '../target';
import type { Variant } from '../variants';
import { softwareGather, softwareWeightGradient } from './cpu-gather';
import { directGather, directWeightGradient } from './direct';
import { type Gather, gatherOf } from './gather';
import { stagedGather, stagedWeightGradient } from './gpu-rows';
import { fillsTiles, simtGather, simtWeightGradient } from './gpu-tiles';
import type { ImageNorm } from './norm-load';
import { storedChunks } from './norm-sums';
import type { Conv2dShape } from './shape';

export type { Conv2dShape } from './shape';

/** Operands `a`, `b`: forward x, weight; input gradient dy, weight; weight gradient x, dy. */
export type Conv2dKind = 'forward' | 'inputGradient' | 'weightGradient';

/** What of the batch norms around it a convolution does itself: a norm in its loads, the sums for one of what it writes. */
interface Around {
  readonly norm?: ImageNorm;
  readonly sums?: ChunkSums;
}

/**
 * The launches of one convolution (or gradient) with everything baked in. Every extent is at least 1. With `around`, which compiled steps
 * find (src/gpu/fuse-norm.ts), the launch that multiplies has more bindings.
 */
export function lowerConv2d(
  kind: Conv2dKind,
  shape: Conv2dShape,
  target: KernelTarget,
  variant: Variant = {},
  around: Around = {},
): Lowering {
  return cached(['conv2d', kind, Object.entries(shape).sort(), target, variant, around], () => {
    const flat = flattened(shape);
    const name = ['conv2d', kind, around.norm && 'normalized', around.sums?.kind].filter(Boolean).join('.');
    const gather = kind === 'weightGradient' ? null : gatherOf(kind, flat);
    const lowering = gather
      ? lowerGather(name, gather, target, variant, around)
      : lowerWeightGradient(name, shape.outWidth % 4 ? flat : shape, target, variant, around.norm);
    const { batch, outChannels, inChannels, groups, kernelHeight, kernelWidth, outHeight, outWidth } = shape;
    const terms = (inChannels / groups) * kernelHeight * kernelWidth;
    const flops = 2 * batch * outChannels * outHeight * outWidth * terms;
    const product = (more: Around) => productOf(lowerConv2d(kind, shape, target, variant, { ...around, ...more }));
    const onLoad: OnLoad | undefined =
      kind === 'inputGradient' || around.norm || target.isCpu
        ? undefined // CPU drivers would compile for seconds what saves them 3 % of a step
        : {
            channels: inChannels,
            plane: shape.inHeight * shape.inWidth,
            kernel: (relu) => product({ norm: { relu } }),
          };
    const chunks = gather && !target.isCpu && fillsTiles(gather) && !around.sums ? storedChunks(gather) : 0;
    const onStore: OnStore | undefined =
      gather && chunks
        ? {
            channels: gather.groups * gather.outChannels,
            plane: gather.y.size * gather.x.size,
            chunks,
            kernel: (sums) => product({ sums }),
          }
        : undefined;
    return describeProduct(lowering, { flops, onLoad, onStore });
  });
}

/** A pointwise convolution sees no rows: as one long row it has no ragged ends. */
function flattened(s: Conv2dShape): Conv2dShape {
  const pointwise = s.kernelHeight === 1 && s.kernelWidth === 1 && s.strideH === 1 && s.strideW === 1;
  if (!pointwise || s.inHeight !== s.outHeight || s.inWidth !== s.outWidth || s.padTop || s.padLeft) return s;
  const pixels = s.inHeight * s.inWidth;
  return { ...s, inHeight: 1, inWidth: pixels, outHeight: 1, outWidth: pixels };
}

function lowerGather(
  name: string,
  gather: Gather,
  target: KernelTarget,
  variant: Variant,
  { norm, sums }: Around,
): Lowering {
  const packed = target.isCpu ? softwareGather(name, gather, target, variant) : null;
  if (packed) {
    return {
      scratch: [packed.packedFloats],
      stages: [
        { kernel: packed.pack, inputs: ['b'], output: 0 },
        { kernel: packed.gather, inputs: ['a', 0], output: 'out' },
      ],
      product: 1,
    };
  }
  const kernel =
    !target.isCpu && fillsTiles(gather)
      ? (!variant.tile && stagedGather(name, gather, norm, sums)) || simtGather(name, gather, variant, norm, sums)
      : directGather(name, gather, norm);
  return { scratch: [], stages: [{ kernel, inputs: ['a', 'b'], output: 'out' }], product: 0 };
}

function lowerWeightGradient(
  name: string,
  shape: Conv2dShape,
  target: KernelTarget,
  variant: Variant,
  norm?: ImageNorm,
): Lowering {
  const special = target.isCpu
    ? softwareWeightGradient(name, shape, target, variant)
    : (!variant.tile && stagedWeightGradient(name, shape, variant, norm)) ||
      simtWeightGradient(name, shape, variant, norm);
  const count = (shape.outChannels * shape.inChannels * shape.kernelHeight * shape.kernelWidth) / shape.groups;
  return lowerSum(`${name}.sum`, special ?? directWeightGradient(name, shape, norm), count);
}
