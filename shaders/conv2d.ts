/**
 * 2-d convolution and its two gradients: which kernels compute it on which back.
 *
 *   y[n,o,p]  = Σ_{c,k} w[o,c,k] · x[n,c, stride·p + dilation·k − pad]
 *   dx[n,c,q] = Σ_{o,k} w[o,c,k] · dy[n,o, (q + pad − dilation·k) / stride]
 *   dw[o,c,k] = Σ_{n,p} dy[n,o,p] · x[n,c, stride·p + dilation·k − pad]
 */
import { directGather, directWeightGradient } from './conv2d-direct';
import { forwardGather, type Gather, inputGradientGather } from './conv2d-gather';
import type { Conv2dShape } from './conv2d-shape';
import { simtGather, simtWeightGradient } from './conv2d-simt';
import { softwareGather, softwareWeightGradient } from './conv2d-software';
import { type Back, countOperations, type Plan } from './kernel';
import { sumPartials } from './sum-partials';
import type { Variant } from './variants';

export type { Conv2dShape } from './conv2d-shape';

/** Operands `a`, `b`: forward x, weight; input gradient dy, weight; weight gradient x, dy. */
export type Conv2dKind = 'forward' | 'inputGradient' | 'weightGradient';

const plans = new Map<string, Plan>();

/** The launches of one convolution (or gradient) with everything baked in. Every extent is at least 1. */
export function planConv2d(kind: Conv2dKind, shape: Conv2dShape, back: Back, variant: Variant = {}): Plan {
  const key = JSON.stringify([kind, Object.entries(shape).sort(), back, variant]);
  let plan = plans.get(key);
  if (!plan) {
    const flat = flattened(shape);
    const gather = kind === 'forward' ? forwardGather : inputGradientGather;
    plan =
      kind === 'weightGradient'
        ? planWeightGradient(`conv2d.${kind}`, shape.outWidth % 4 ? flat : shape, back, variant)
        : planGather(`conv2d.${kind}`, gather(flat), back, variant);
    const { batch, outChannels, inChannels, groups, kernelHeight, kernelWidth, outHeight, outWidth } = shape;
    const terms = (inChannels / groups) * kernelHeight * kernelWidth;
    plan = countOperations(plan, 2 * batch * outChannels * outHeight * outWidth * terms);
    plans.set(key, plan);
  }
  return plan;
}

/** A pointwise convolution sees no rows: as one long row it has no ragged ends. */
function flattened(s: Conv2dShape): Conv2dShape {
  const pointwise = s.kernelHeight === 1 && s.kernelWidth === 1 && s.strideH === 1 && s.strideW === 1;
  if (!pointwise || s.inHeight !== s.outHeight || s.inWidth !== s.outWidth || s.padTop || s.padLeft) return s;
  const pixels = s.inHeight * s.inWidth;
  return { ...s, inHeight: 1, inWidth: pixels, outHeight: 1, outWidth: pixels };
}

function planGather(name: string, gather: Gather, back: Back, variant: Variant): Plan {
  const packed = back.kind === 'software' ? softwareGather(name, gather, back, variant) : null;
  if (packed) {
    return {
      scratch: [packed.packedFloats],
      stages: [
        { kernel: packed.pack, inputs: ['b'], output: 0 },
        { kernel: packed.gather, inputs: ['a', 0], output: 'out' },
      ],
    };
  }
  const kernel = (back.kind === 'simt' && simtGather(name, gather, variant)) || directGather(name, gather);
  return { scratch: [], stages: [{ kernel, inputs: ['a', 'b'], output: 'out' }] };
}

function planWeightGradient(name: string, shape: Conv2dShape, back: Back, variant: Variant): Plan {
  const special =
    back.kind === 'software'
      ? softwareWeightGradient(name, shape, back, variant)
      : simtWeightGradient(name, shape, variant);
  const { kernel, splits } = special ?? directWeightGradient(name, shape);
  if (splits === 1) return { scratch: [], stages: [{ kernel, inputs: ['a', 'b'], output: 'out' }] };
  const count = (shape.outChannels * shape.inChannels * shape.kernelHeight * shape.kernelWidth) / shape.groups;
  return {
    scratch: [splits * count],
    stages: [
      { kernel, inputs: ['a', 'b'], output: 0 },
      { kernel: sumPartials(`${name}.sum`, splits, count), inputs: [0], output: 'out' },
    ],
  };
}
