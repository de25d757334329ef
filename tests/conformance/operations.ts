// The canonical operations of the conformance schema in terms of the framework's functions.

import * as binaryRows from '../../src/ops/binary';
import * as conv from '../../src/ops/conv';
import * as elementwise from '../../src/ops/elementwise';
import * as index from '../../src/ops/gather';
import { indexSelect } from '../../src/ops/index-select';
import * as joins from '../../src/ops/join';
import * as losses from '../../src/ops/loss';
import * as products from '../../src/ops/matmul';
import * as norms from '../../src/ops/norm';
import { pad } from '../../src/ops/pad';
import * as pool from '../../src/ops/pool';
import * as reduce from '../../src/ops/reduce';
import { cumprod, cumsum } from '../../src/ops/scan';
import { scatterAdd } from '../../src/ops/scatter';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { argsort, sort, topk } from '../../src/ops/sort';
import * as unaryRows from '../../src/ops/unary';
import * as views from '../../src/ops/views';
import { clamp, where } from '../../src/ops/where';
import { arange, ones, zeros } from '../../src/tensor/create';
import { broadcastShapes } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import type { Attributes, Value } from './case';
import { NotApplicable, numberOf } from './case';

type Operation = (inputs: Tensor[], attrs: Attributes) => Tensor | (Tensor | undefined)[];

const { add, mul, sub, gt, lt, eq, isnan } = elementwise;
/** An attribute that may be absent (null) or infinite (text). */
const optional = (value: Value | null | undefined): number | null =>
  value === null || value === undefined ? null : numberOf(value);
const at = (axis: number, rank: number) => (axis < 0 ? axis + rank : axis);

/** Refuses to look for the largest of nothing, which is an error as in PyTorch. */
function nonEmpty(x: Tensor, axes: number[] | null): Tensor {
  if ((axes ?? x.shape.map((_, i) => i)).some((axis) => x.shape[at(axis, x.ndim)] === 0))
    throw new NotApplicable('there is no largest or smallest of nothing, as in PyTorch');
  return x;
}

const reductions: Record<string, (x: Tensor, axes: number[] | null, keepDims: boolean, attrs: Attributes) => Tensor> = {
  sum: reduce.sum,
  mean: reduce.mean,
  max: (x, axes, keep) => reduce.max(nonEmpty(x, axes), axes, keep),
  min: (x, axes, keep) => reduce.min(nonEmpty(x, axes), axes, keep),
  prod: reduce.prod,
  logsumexp: reduce.logsumexp,
  any: reduce.any,
  all: reduce.all,
  l1: (x, axes, keep) => reduce.norm(x, 1, axes, keep),
  l2: (x, axes, keep) => reduce.norm(x, 2, axes, keep),
  sum_square: (x, axes, keep) => reduce.sum(elementwise.square(x), axes, keep),
  log_sum: (x, axes, keep) => elementwise.log(reduce.sum(x, axes, keep)),
  var: (x, axes, keep, { correction = 1 }) => reduce.variance(x, axes, keep, correction),
  std: (x, axes, keep, { correction = 1 }) => reduce.std(x, axes, keep, correction),
};

function argExtreme(arg: typeof reduce.argmax, x: Tensor, { axis = null, keepdims, select_last }: Attributes): Tensor {
  if (!select_last) return arg(x, axis, keepdims);
  const size = axis === null ? x.size : x.shape[at(axis, x.ndim)];
  const reversed = axis === null ? views.flip(x) : views.flip(x, axis);
  return sub(size - 1, arg(reversed, axis, keepdims));
}

/** Runs a channel-second operation on a tensor whose channels are at `axis`. */
function channelsAt(x: Tensor, axis: number, run: (x: Tensor) => Tensor): Tensor {
  const wide = x.ndim < 2 ? views.unsqueeze(x, 0) : x;
  const channel = at(axis, x.ndim) + wide.ndim - x.ndim;
  return views.reshape(views.transpose(run(views.transpose(wide, channel, 1)), channel, 1), x.shape);
}

const perChannel = (t: Tensor, x: Tensor, axis: number): Tensor =>
  views.reshape(
    t,
    x.shape.map((n, i) => (i === at(axis, x.ndim) ? n : 1)),
  );

/** γ and β, both or neither: where the source gives one, the other does nothing. */
function affine(weight: Tensor | undefined, bias: Tensor | undefined) {
  if (!weight && !bias) return {};
  return { weight: weight ?? ones(bias!.shape), bias: bias ?? zeros(weight!.shape) };
}

function batchNorm([x, mean, variance, gamma, beta]: Tensor[], { eps, axis = 1 }: Attributes): Tensor {
  if (!mean.requiresGrad && !variance.requiresGrad) {
    const options = { runningMean: mean, runningVar: variance, eps, ...affine(gamma, beta) };
    return channelsAt(x, axis, (t) => norms.batchNorm(t, options));
  }
  // Statistics with gradients are no batch norm of the framework, but a formula.
  const [m, v, g, b] = [mean, variance, gamma, beta].map((t) => t && perChannel(t, x, axis));
  const y = mul(sub(x, m), elementwise.rsqrt(add(v, eps)));
  const scaled = g ? mul(y, g) : y;
  return b ? add(scaled, b) : scaled;
}

function batchNormTrain([x, gamma, beta, mean, variance]: Tensor[], attrs: Attributes): Tensor[] {
  const { eps, axis = 1, momentum, running_var_correction = 1 } = attrs;
  const running = mean ? { runningMean: views.clone(mean), runningVar: views.clone(variance) } : {};
  const options = { ...running, training: true, eps, momentum, ...affine(gamma, beta) };
  const y = channelsAt(x, axis, (t) => norms.batchNorm(t, options));
  const { runningMean, runningVar } = running;
  if (!runningMean || running_var_correction === 1) return runningMean ? [y, runningMean, runningVar!] : [y];
  const others = x.shape.map((_, i) => i).filter((i) => i !== at(axis, x.ndim));
  const batch = reduce.variance(x, others, false, running_var_correction);
  return [y, runningMean, add(mul(variance, 1 - momentum), mul(batch, momentum))];
}

const swapLast = (x: Tensor, swap: boolean): Tensor => (swap && x.ndim > 1 ? views.transpose(x) : x);
const matmul = ([a, b]: Tensor[], { transpose_a, transpose_b }: Attributes): Tensor =>
  products.matmul(swapLast(a, transpose_a), swapLast(b, transpose_b));

const poolOptions = ({ kernel, stride, padding, ceil_mode }: Attributes) => ({
  kernel,
  stride,
  padding,
  ceilMode: ceil_mode,
});

const planes = (x: Tensor) => x.shape.map((_, i) => i).slice(2);
const classLoss = (weight: Tensor | undefined, { reduction, ignore_index }: Attributes) => ({
  weight,
  reduction,
  ...(ignore_index !== null && ignore_index !== undefined && { ignoreIndex: ignore_index }),
});

/** Negative positions count from the end. */
const counted = (positions: Tensor, n: number): Tensor => where(lt(positions, 0), add(positions, n), positions);

const operations: Record<string, Operation> = {
  identity: ([x]) => views.clone(x),
  leaky_relu: ([x], { alpha }) => elementwise.leakyRelu(x, alpha),
  elu: ([x], { alpha }) => elementwise.elu(x, alpha),
  celu: ([x], { alpha }) => elementwise.celu(x, alpha),
  hard_sigmoid: ([x], { alpha, beta }) => elementwise.hardSigmoid(x, alpha, beta),
  thresholded_relu: ([x], { alpha }) => elementwise.threshold(x, alpha, 0),
  gelu: ([x], { approximate }) => elementwise.gelu(x, { approximate }),
  clamp: ([x], { min, max }) => clamp(x, optional(min), optional(max)),
  step: ([x], { alpha }) => where(isnan(x), x, where(gt(x, 0), 1, numberOf(alpha))),
  prelu: ([x, slope], { channel_axis }) =>
    binaryRows.prelu(
      x,
      typeof channel_axis === 'number' && slope.size > 1 ? perChannel(slope, x, channel_axis) : slope,
    ),
  where: ([c, a, b]) => where(c, a, b),
  cast: ([x], { to }) => elementwise.cast(x, to),

  argmax: ([x], attrs) => argExtreme(reduce.argmax, x, attrs),
  argmin: ([x], attrs) => argExtreme(reduce.argmin, x, attrs),
  cumsum: ([x], { axis, ...options }) => cumsum(x, axis, options),
  cumprod: ([x], { axis, ...options }) => cumprod(x, axis, options),

  matmul,
  gemm: ([a, b, c], { alpha = 1, beta = 1, ...attrs }) => {
    const y = mul(matmul([a, b], attrs), alpha);
    return c ? add(y, mul(c, beta)) : y;
  },
  linear: ([x, w, b], { weight_layout }) => products.linear(x, swapLast(w, weight_layout === 'in_out'), b),
  conv2d: ([x, w, b], { stride, padding, dilation, groups }) =>
    conv.conv2d(x, w, b, { stride, padding, dilation, groups }),

  max_pool2d: ([x], attrs) => {
    const { values, indices } = pool.maxPool2dWithIndices(x, { ...poolOptions(attrs), dilation: attrs.dilation });
    return [values, indices];
  },
  avg_pool2d: ([x], attrs) => {
    if ((attrs.dilation ?? []).some((d: number) => d !== 1)) throw new NotApplicable('average pooling has no dilation');
    return pool.avgPool2d(x, { ...poolOptions(attrs), countIncludePad: attrs.count_include_pad });
  },
  adaptive_avg_pool2d: ([x], { output_size }) => pool.adaptiveAvgPool2d(x, output_size),
  global_avg_pool: ([x]) =>
    x.ndim === 4 ? pool.globalAvgPool2d(x, { keepDims: true }) : reduce.mean(x, planes(x), true),
  global_max_pool: ([x]) => reduce.max(x, planes(x), true),

  batch_norm: batchNorm,
  batch_norm_train: batchNormTrain,
  layer_norm: ([x, weight, bias], { axis, eps }) =>
    norms.layerNorm(x, x.shape.slice(at(axis, x.ndim)), { weight, bias, eps }),

  softmax: ([x], { axis }) => softmax(x, axis),
  log_softmax: ([x], { axis }) => logSoftmax(x, axis),
  cross_entropy: ([x, labels, weight], attrs) => [
    losses.crossEntropy(x, labels, classLoss(weight, attrs)),
    logSoftmax(x, 1),
  ],
  nll_loss: ([x, labels, weight], attrs) => losses.nllLoss(x, labels, classLoss(weight, attrs)),
  cross_entropy_probs: ([x, target], { reduction }) => losses.crossEntropy(x, target, { reduction }),
  bce_with_logits: ([x, target], { reduction }) => losses.bceWithLogits(x, target, { reduction }),
  mse_loss: ([x, target], { reduction }) => losses.mseLoss(x, target, { reduction }),
  huber_loss: ([x, target], { reduction, delta }) => losses.huberLoss(x, target, { reduction, delta }),

  sort: ([x], { axis, descending }) => {
    const { values, indices } = sort(x, { dim: axis, descending });
    return [values, indices];
  },
  argsort: ([x], { axis, descending }) => argsort(x, { dim: axis, descending }),
  topk: ([x], { k, axis, largest = true }) => {
    const { values, indices } = topk(x, k, { dim: axis, largest });
    return [values, indices];
  },

  transpose: ([x], { perm }) => views.permute(x, perm),
  reshape: ([x], { shape }) => views.reshape(x, shape),
  expand: ([x], { shape }) => views.expand(x, broadcastShapes('expand', x.shape, shape)),
  tile: ([x], { reps }) => views.tile(x, reps.slice(0, x.ndim)), // the schema counts from the first dimension
  flip: ([x], { axes }) => views.flip(x, axes),
  concat: (tensors, { axis }) => joins.concat(tensors, axis),
  stack: (tensors, { axis }) => joins.stack(tensors, axis),
  slice: ([x], { starts, sizes, steps }) =>
    views.slice(
      x,
      starts.map((start: number, i: number) => {
        const step = steps?.[i] ?? 1;
        const stop = start + sizes[i] * step;
        return { start, stop: stop < 0 ? undefined : stop, step };
      }),
    ),
  pad: ([x], { before, after, mode, value = 0 }) =>
    pad(
      x,
      before.map((n: number, i: number) => [n, after[i]]),
      { mode, value: numberOf(value) },
    ),
  gather: ([x, positions], { axis }) => {
    const d = at(axis, x.ndim);
    const flat = counted(views.reshape(positions, [positions.size]), x.shape[d]);
    const shape = [...x.shape.slice(0, d), ...positions.shape, ...x.shape.slice(d + 1)];
    return views.reshape(indexSelect(x, d, flat), shape);
  },
  gather_elements: ([x, positions], { axis }) => index.gather(x, axis, counted(positions, x.shape[at(axis, x.ndim)])),
  scatter_add: ([x, positions, source], { axis }) => scatterAdd(x, axis, positions, source),
  // There a label that is no class gives `off` everywhere; oneHot refuses it, as PyTorch does.
  one_hot: ([labels], { depth, on, off }) =>
    where(eq(views.unsqueeze(labels, -1), arange(0, depth, 1, { dtype: 'int32' })), on, off),
};

/** Canonical names of elementwise functions that the framework calls otherwise; the rest differ in case only. */
const otherNames: Record<string, string> = {
  equal: 'eq',
  not_equal: 'ne',
  less: 'lt',
  less_equal: 'le',
  greater: 'gt',
  greater_equal: 'ge',
  floor_mod: 'remainder',
};
const camel = (name: string) => otherNames[name] ?? name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

const unaryFunctions = unaryRows as Record<string, (x: Tensor) => Tensor>;
const binaryFunctions = binaryRows as Record<string, (a: Tensor | number, b: Tensor | number) => Tensor>;

/** Runs one operation; absent optional inputs are undefined. Throws NotApplicable for names that the table lacks. */
export function evaluate(op: string, inputs: Tensor[], attrs: Attributes): (Tensor | undefined)[] {
  const [x, y] = inputs;
  const own = operations[op];
  if (own) {
    const out = own(inputs, attrs);
    return Array.isArray(out) ? out : [out];
  }
  const reduction = reductions[op];
  if (reduction) return [reduction(x, attrs.axes ?? null, attrs.keepdims ?? false, attrs)];
  if (op.endsWith('_scalar')) {
    const name = op.slice(0, -'_scalar'.length);
    const reversed = name.startsWith('r') && binaryFunctions[camel(name.slice(1))]; // rsub, rdiv
    const value = numberOf(attrs.value);
    if (reversed) return [reversed(value, x)];
    if (binaryFunctions[camel(name)]) return [binaryFunctions[camel(name)](x, value)];
  }
  const unary = unaryFunctions[camel(op)];
  if (unary) return [unary(x)];
  const binary = binaryFunctions[camel(op)];
  if (binary) return [binary(x, y)];
  throw new NotApplicable(`there is no operation '${op}'`);
}
