// Losses of scores and class labels, as functions of `torch.nn.functional`: a launch for the losses, one to reduce them, and one for the gradient.
// Losses of pairs are in pair-loss.ts.
import { at } from '../../shaders/checked';
import { heldLike } from '../../shaders/holding';
import {
  crossEntropyReduce,
  crossEntropyGradient as gradientKernel,
  crossEntropy as lossKernel,
} from '../../shaders/softmax';
import { byDefinition } from '../autograd/backward';
import { type Rule, record } from '../autograd/tape';
import { device, f32 } from '../gpu';
import { checked, is, type OptionTable } from '../gpu/options';
import { inputError, modulePath } from '../tensor/context';
import { isFloat } from '../tensor/dtype';
import { bind, contiguous, launchOn } from '../tensor/elementwise';
import { linesAlong, reducedShape, sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty, requireFloats, requireShape, requireTensors, strided } from '../tensor/tensor';
import { choose } from './choose';
import { div, mul, ne, sub } from './elementwise';
import { gather } from './gather';
import { indexSelect } from './index-select';
import { mixed, native } from './mixed';
import { type LossReduction, pairOptions, pointwise } from './pair-loss';
import { sum } from './reduce';
import { lineGrid, logSoftmax } from './softmax';
import { reshape } from './views';

export {
  type BceOptions,
  bceWithLogits,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  type LossReduction,
  l1Loss,
  mseLoss,
  type PairOptions,
  pseudoHuberLoss,
  type Reduced,
  smoothL1Loss,
} from './pair-loss';

/** Options of losses with class labels. */
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

const nll: OptionTable<Omit<ClassLossOptions, 'labelSmoothing'>> = { ...pairOptions.mseLoss, ignoreIndex: is.number };
const classes: OptionTable<ClassLossOptions> = { ...nll, labelSmoothing: is.number };
/** The options of each loss. */
export const lossOptions = { crossEntropy: classes, nllLoss: nll, ...pairOptions };

const NAN_BITS = 0x7fc00000;

/**
 * Losses of scores (or, with `nll`, of log-probabilities) [N, C, …] for labels [N, …]; a label that is no class makes loss and gradient NaN, and
 * the next read-back throws.
 */
function byLabel(op: string, nll: boolean, x: Tensor, labels: Tensor, o: ClassLossOptions): Tensor {
  const { reduction = 'mean', weight, ignoreIndex = -100, labelSmoothing = 0 } = o;
  const axis = x.ndim === 1 ? 0 : 1;
  const along = linesAlong(x.shape, axis);
  const shapes = { input: x, target: labels };
  if (x.ndim === 0 || !isFloat(x.dtype))
    throw inputError(op, `the input must be float scores [N, C, …] or [C], it is ${x.dtype}`, shapes);
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
  if (weight) requireFloats(op, { weight }, true);
  requireShape(op, x, { weight }, [along.n], `one value for each of the ${along.n} classes`);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw inputError(op, `labelSmoothing is ${labelSmoothing}`, shapes, 'Use a number in 0 … 1.');
  if (!['none', 'mean', 'sum'].includes(reduction))
    throw inputError(op, `reduction is '${reduction}'`, shapes, "Use 'none', 'mean' or 'sum'.");
  if (along.n === 0 && along.lines) throw inputError(op, 'there are no classes', { input: x });
  const { perGroup, extent } = lineGrid(along);
  const smoothing = labelSmoothing > 0;
  const options = { target: device().target, lines: perGroup, nll, weights: !!weight, smoothing };
  const { reports } = device();
  const slot = reports.slot(op, along.n, modulePath());
  const constants = [along.lines, along.n, along.inner, ignoreIndex, f32(labelSmoothing), NAN_BITS, slot];
  const weights = () => (weight ? [contiguous(weight)] : []);
  const losses = empty(op, labels.shape, reduction === 'none' ? x.dtype : 'float32');
  const rows = empty(op, [along.lines, 4]); // what the gradient needs of each sample
  const total = empty(op, []); // the sum of weights
  const bindings = [contiguous(x), contiguous(labels), ...weights(), losses, rows].map(bind);
  const kernel = heldLike(lossKernel(options), bindings);
  device().launch(kernel, [...bindings, reports.binding], constants, extent);
  let loss = losses;
  if (reduction !== 'none') {
    loss = empty(op, [], x.dtype);
    launchOn(crossEntropyReduce(device().target, reduction === 'mean'), [losses, rows, loss, total], constants);
    losses.dispose();
  }
  const rule: Rule = (gradient) => {
    const dx = empty(op, x.shape, x.dtype);
    const reads = [contiguous(x), contiguous(labels), rows, contiguous(gradient)];
    if (reduction === 'mean') reads.push(total);
    if (smoothing) reads.push(...weights());
    launchOn(gradientKernel(options, reduction), [...reads, dx], constants, x.size);
    return [dx];
  };
  // What the two kernels compute, in recorded operations: ignored labels stand for class 0 and have no weight.
  const definition = (t: Tensor): Tensor => {
    const counted = ne(labels, ignoreIndex);
    const classes = choose(counted, labels, 0);
    const scores = nll ? t : logSoftmax(t, axis);
    const picked = reshape(gather(scores, axis, reshape(classes, reducedShape(x.shape, [axis], true))), labels.shape);
    const ofLabel = weight ? reshape(indexSelect(weight, 0, reshape(classes, [labels.size])), labels.shape) : 1;
    const column = x.shape.map((_, d) => (d === axis ? along.n : 1));
    const all = smoothing && sum(weight ? mul(scores, reshape(weight, column)) : scores, axis);
    const sharp = mul(mul(picked, ofLabel), labelSmoothing - 1);
    const smooth = all ? sub(sharp, mul(all, labelSmoothing / along.n)) : sharp;
    const each = choose(counted, smooth, 0);
    return reduction === 'none' ? each : reduction === 'sum' ? sum(each) : div(sum(each), total);
  };
  const saved = [x, labels, rows, total, ...(weight ? [weight] : [])];
  return record(op, [x], loss, saved, rule, { differentiable: byDefinition([x], mixed(op, definition)) });
}

/**
 * Cross-entropy of logits [N, C, …] (or [C]) with class labels [N, …] (int32), or with probabilities of the shape of the logits.
 * A label outside of 0 … C − 1 that is not `ignoreIndex` makes loss and gradient NaN, since labels stay on the GPU; the next read-back throws.
 */
export const crossEntropy = native(
  'crossEntropy',
  function crossEntropy(logits: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
    checked('crossEntropy', options, lossOptions.crossEntropy);
    requireTensors('crossEntropy', { input: logits, target });
    return isFloat(target.dtype)
      ? withProbabilities(logits, target, options)
      : byLabel('crossEntropy', false, logits, target, options);
  },
  'widest',
);

/** −weight[t] · x[t] for log-probabilities x [N, C, …] and labels t [N, …]; labels out of range give NaN as in `crossEntropy`. */
export const nllLoss = native(
  'nllLoss',
  function nllLoss(x: Tensor, labels: Tensor, options: Omit<ClassLossOptions, 'labelSmoothing'> = {}): Tensor {
    checked('nllLoss', options, lossOptions.nllLoss);
    requireTensors('nllLoss', { input: x, target: labels });
    return byLabel('nllLoss', true, x, labels, { ...options, labelSmoothing: 0 });
  },
  'widest',
);

/** −Σ_c w_c ((1 − ε) t_c + ε/C) log softmax(x)_c; 'mean' divides by the number of samples. */
const withProbabilities = mixed(
  'crossEntropy',
  function withProbabilities(
    x: Tensor,
    target: Tensor,
    { reduction, weight, labelSmoothing = 0 }: ClassLossOptions,
  ): Tensor {
    const axis = x.ndim === 1 ? 0 : 1;
    if (!sameShape(x.shape, target.shape))
      throw inputError(
        'crossEntropy',
        'probabilities must have the shape of the logits',
        { input: x, target },
        'Class labels must be int32.',
      );
    requireFloats('crossEntropy', { input: x, ...(weight && { weight }) });
    const classes = at(x.shape, axis);
    requireShape('crossEntropy', x, { weight }, [classes], `one value for each of the ${classes} classes`);
    const ones = x.shape.slice(axis + 1).map(() => 1);
    const column = weight && strided(weight, [classes, ...ones], [at(weight.strides, 0), ...ones]);
    const mixed = `((1.0 - s) * b + s / ${classes}.0)`;
    const row = { value: `-${mixed} * a`, da: `-${mixed}`, db: '(s - 1.0) * a' };
    const options = { reduction, parameter: labelSmoothing, axes: [axis], weight: column };
    return pointwise('crossEntropy', row, logSoftmax(x, axis), target, options);
  },
);
