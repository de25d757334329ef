// Cross-entropy and negative log-likelihood with class labels, without gradients: a launch for the losses, one to reduce them, one for the gradient.
import {
  crossEntropyReduce,
  crossEntropyGradient as gradientKernel,
  LINES_TILE,
  crossEntropy as lossKernel,
} from '../../shaders/softmax';
import { device, f32 } from '../gpu';
import { inputError, modulePath } from './context';
import { bind, contiguous, gridFor } from './elementwise';
import { reducedShape, sameShape } from './shape';
import { lineGrid, linesAlong } from './softmax';
import type { Tensor } from './tensor';
import { empty, requireFloats, requireShape } from './tensor';

export type LossReduction = 'none' | 'mean' | 'sum';

export interface ClassLossOptions {
  /** 'mean' divides by the sum of the weights of the labels (their number without weights); samples with `ignoreIndex` do not count. */
  reduction?: LossReduction;
  /** Weight of each class [C]. */
  weight?: Tensor | null;
  /** Samples with this label have no loss and no gradient. */
  ignoreIndex?: number;
  /** ε: the target is (1 − ε) · onehot + ε / C. */
  labelSmoothing?: number;
}

export interface ClassLoss {
  loss: Tensor;
  /** For the gradient: a row for each sample, and the sum of weights. */
  saved: Tensor;
  total: Tensor;
}

const NAN_BITS = 0x7fc00000;

function setUp(op: string, x: Tensor, labels: Tensor, nll: boolean, o: ClassLossOptions) {
  const axis = x.ndim === 1 ? 0 : 1;
  const { reduction = 'mean', weight, ignoreIndex = -100, labelSmoothing = 0 } = o;
  const along = linesAlong(x.shape, axis);
  const shapes = { input: x, target: labels };
  if (x.ndim === 0 || x.dtype !== 'float32')
    throw inputError(op, `the input must be float32 scores [N, C, …] or [C], it is ${x.dtype}`, shapes);
  if (labels.dtype !== 'int32' && labels.dtype !== 'uint32')
    throw inputError(
      op,
      `class labels must be int32, they are ${labels.dtype}`,
      shapes,
      'For probabilities, the target needs the shape of the input.',
    );
  if (!sameShape(labels.shape, reducedShape(x.shape, [axis], false)))
    throw inputError(
      op,
      'the labels do not fit',
      shapes,
      'They have the shape of the input without its class dimension: [N, …] for [N, C, …].',
    );
  if (weight) requireFloats(op, { weight });
  requireShape(op, x, { weight }, [along.n], `one value for each of the ${along.n} classes`);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw inputError(op, `labelSmoothing is ${labelSmoothing}`, shapes, 'Use a number in 0 … 1.');
  if (!['none', 'mean', 'sum'].includes(reduction))
    throw inputError(op, `reduction is '${reduction}'`, shapes, "Use 'none', 'mean' or 'sum'.");
  const { perGroup, grid } = lineGrid(along);
  const options = { back: device().back, lines: perGroup, nll, weights: !!weight, smoothing: labelSmoothing > 0 };
  const constants = [
    along.lines,
    along.n,
    along.inner,
    ignoreIndex,
    f32(labelSmoothing),
    NAN_BITS,
    device().reports.slot(op, along.n, modulePath()),
  ];
  return { along, grid, options, constants, reduction, weights: weight ? [bind(contiguous(weight))] : [] };
}

/** Losses of scores (or, with `nll`, of log-probabilities) [N, C, …] for labels [N, …]; a label that is no class makes the loss NaN. */
export function classLoss(op: string, x: Tensor, labels: Tensor, nll: boolean, o: ClassLossOptions): ClassLoss {
  const { along, grid, options, constants, reduction, weights } = setUp(op, x, labels, nll, o);
  if (along.n === 0 && along.lines) throw inputError(op, 'there are no classes', { input: x });
  const losses = empty(op, labels.shape);
  const saved = empty(op, [along.lines, 4]);
  const total = empty(op, []);
  const buffers = [
    bind(contiguous(x)),
    bind(contiguous(labels)),
    ...weights,
    bind(losses),
    bind(saved),
    device().reports.binding,
  ];
  device().launch(lossKernel(options), buffers, constants, grid);
  if (reduction === 'none') return { loss: losses, saved, total };
  const loss = empty(op, []);
  const reduce = crossEntropyReduce(device().back, reduction === 'mean');
  device().launch(reduce, [losses, saved, loss, total].map(bind), constants);
  losses.dispose();
  return { loss, saved, total };
}

/** The gradient of `classLoss` for x. */
export function classLossGradient(
  op: string,
  gradient: Tensor,
  x: Tensor,
  labels: Tensor,
  { saved, total }: ClassLoss,
  nll: boolean,
  o: ClassLossOptions,
): Tensor {
  const { options, constants, reduction, weights } = setUp(op, x, labels, nll, o);
  const dx = empty(op, x.shape);
  const reads = [contiguous(x), contiguous(labels), saved, contiguous(gradient)].map(bind);
  if (reduction === 'mean') reads.push(bind(total));
  if (options.smoothing) reads.push(...weights);
  device().launch(gradientKernel(options, reduction), [...reads, bind(dx)], constants, gridFor(x.size, LINES_TILE));
  return dx;
}
