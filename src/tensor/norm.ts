// Batch, layer and group normalisation without gradients. Layer and group norm are batch norm of one sample whose channels are the rows.
import {
  applyShape,
  chunkLength,
  chunksAtOnce,
  FINISH_TILE,
  normApply,
  normBackward,
  normFinish,
  normForward,
  normGradientApply,
  normGradientFinish,
  normGradientPartials,
  normPartials,
  walksChannels,
  width,
} from '../../shaders/norm/forward';
import type { Constant, Scalar } from '../gpu';
import { device, f32 } from '../gpu';
import { inputError } from './context';
import { bind, contiguous, gridFor } from './elementwise';
import { size } from './shape';
import type { Tensor } from './tensor';
import { empty, present, requireFloats, requireShape } from './tensor';

export interface Normalized {
  y: Tensor;
  /** One row a channel: mean, 1/√(variance + eps), and scale and shift of y = x · scale + shift. */
  stats: Tensor;
}

export interface BatchNormOptions {
  /** Scale γ [C]; together with `bias`. */
  weight?: Tensor | null;
  /** Shift β [C]. */
  bias?: Tensor | null;
  runningMean?: Tensor | null;
  runningVar?: Tensor | null;
  /** Normalise with the statistics of the batch and update the running ones; otherwise use the running ones. */
  training?: boolean;
  /** Weight of the batch in the running statistics. */
  momentum?: number | Scalar;
  eps?: number;
  /** ReLU after the normalisation, in the same launch. */
  activation?: 'relu';
}

/** How x is seen by the kernels: [samples, channels, plane]. */
interface Layout {
  samples: number;
  channels: number;
  plane: number;
}

const layoutOf = (x: Tensor): Layout => ({ samples: x.shape[0], channels: x.shape[1], plane: size(x.shape.slice(2)) });

/** The kernels' view of a walk over channels in chunks, for the statistics or the gradient's sums; or of one over whole channels, plane by plane. */
function chunking({ samples, channels, plane }: Layout, whole: boolean, eps = 0, momentum: number | Scalar = 0) {
  const units = (samples * plane) / width(plane);
  const length = whole ? plane / width(plane) : chunkLength(device().target, channels, units, plane);
  const chunks = Math.max(1, Math.ceil(units / length));
  const weight = typeof momentum === 'number' ? f32(momentum) : momentum;
  const constants: Constant[] = [channels, chunks, length, units, f32(eps), weight, f32(samples * plane)];
  return { chunks, constants };
}

/** y and the rows of `stats`, from the statistics of x (training) or the running ones. */
function normalize(input: Tensor, layout: Layout, o: BatchNormOptions): Normalized {
  const x = contiguous(input);
  const { target } = device();
  const { channels, plane } = layout;
  const { training = false, eps = 1e-5, momentum = 0.1, activation } = o;
  const { weight, bias, runningMean, runningVar } = o;
  const affine = weight && bias ? [bind(contiguous(weight)), bind(contiguous(bias))] : [];
  const running = runningMean && runningVar ? [bind(runningMean), bind(runningVar)] : [];
  const whole = training && walksChannels(target, plane, channels) && affine.length > 0 && running.length > 0;
  const { chunks, constants } = chunking(layout, whole, eps, momentum);
  const relu = activation === 'relu';
  const stats = empty('batchNorm', [channels, 4]);
  const y = empty('batchNorm', x.shape);
  const n = x.size / width(plane);
  const grid = gridFor(n, applyShape(target, plane).tile);
  const finish = normFinish({ target, plane, training, affine: affine.length > 0, running: running.length > 0 });
  const apply = () =>
    device().launch(normApply({ target, ...layout, relu }), [bind(x), bind(stats), bind(y)], [n], grid);
  if (!training) {
    device().launch(finish, [...affine, ...running, bind(stats)], constants, gridFor(channels, FINISH_TILE));
    apply();
    return { y, stats };
  }
  if (whole) {
    const bindings = [...affine, ...running, bind(x), bind(stats), bind(y)];
    device().launch(normForward({ target, plane, relu }), bindings, constants, gridFor(channels, 1));
  } else {
    const partials = empty('batchNorm', [channels, chunks, 2]);
    const sums = normPartials({ target, plane, relu: false });
    device().launch(sums, [x, partials].map(bind), constants, gridFor(channels * chunks, chunksAtOnce(target)));
    device().launch(finish, [bind(partials), ...affine, ...running, bind(stats)], constants, gridFor(channels, 1));
    apply();
    partials.dispose();
  }
  runningMean?.memory.written();
  runningVar?.memory.written();
  return { y, stats };
}

/** Normalises x [N, C, …] per channel. Throws InputError for other shapes, and in training when a channel has one value only. */
export function batchNorm(x: Tensor, o: BatchNormOptions): Normalized {
  check(x, o);
  return normalize(x, layoutOf(x), o);
}

function check(x: Tensor, { weight, bias, runningMean, runningVar, training }: BatchNormOptions): void {
  const op = 'batchNorm';
  const given = { weight, bias, runningMean, runningVar };
  requireFloats(op, { input: x, ...present(given) });
  if (x.ndim < 2) throw inputError(op, 'too few dimensions', { input: x }, 'The input is [N, C, …].');
  requireShape(op, x, given, [x.shape[1]], `one value for each of the ${x.shape[1]} channels`);
  if (!weight !== !bias) throw inputError(op, 'weight and bias must be given together', { input: x });
  if (!runningMean !== !runningVar)
    throw inputError(op, 'runningMean and runningVar must be given together', { input: x });
  if (!training && !runningMean)
    throw inputError(
      op,
      'evaluation needs runningMean and runningVar',
      { input: x },
      'Use training: true to normalise with the batch.',
    );
  const values = x.size / x.shape[1];
  if (training && !(values > 1))
    throw inputError(
      op,
      `training needs more than one value per channel, there is ${values || 0}`,
      { input: x },
      'Use a larger batch, or eval().',
    );
}

export interface NormGradient {
  dx: Tensor | null;
  dWeight: Tensor;
  dBias: Tensor;
}

/** Gradients of y = batchNorm(x). `stats` is what the forward pass returned; `training` and `activation` are those of that pass. */
export function batchNormGradient(
  gradient: Tensor,
  x: Tensor,
  stats: Tensor,
  { training = false, activation }: Pick<BatchNormOptions, 'training' | 'activation'>,
  needsInput = true,
): NormGradient {
  return gradientOf(gradient, x, layoutOf(x), stats, training, activation === 'relu', needsInput);
}

function gradientOf(
  gradient: Tensor,
  input: Tensor,
  layout: Layout,
  stats: Tensor,
  training: boolean,
  relu: boolean,
  needsInput: boolean,
): NormGradient {
  const { target } = device();
  const { channels, plane } = layout;
  const whole = needsInput && training && walksChannels(target, plane, channels);
  const { chunks, constants } = chunking(layout, whole);
  const g = contiguous(gradient);
  const x = contiguous(input);
  const dWeight = empty('batchNorm', [channels]);
  const dBias = empty('batchNorm', [channels]);
  const dx = needsInput ? empty('batchNorm', input.shape) : null;
  if (dx && whole) {
    const bindings = [stats, g, x, dWeight, dBias, dx].map(bind);
    device().launch(normBackward({ target, plane, relu }), bindings, constants, gridFor(channels, 1));
    return { dx, dWeight, dBias };
  }
  const partials = empty('batchNorm', [channels, chunks, 2]);
  const sums = normGradientPartials({ target, plane, relu });
  const summed = [g, x, stats, partials].map(bind);
  device().launch(sums, summed, constants, gridFor(channels * chunks, chunksAtOnce(target)));
  const coefficients = empty('batchNorm', [channels, 4]);
  const finished = [partials, stats, dWeight, dBias, coefficients].map(bind);
  device().launch(normGradientFinish(target, training), finished, constants, gridFor(channels, 1));
  if (dx) {
    const n = x.size / width(plane);
    const reads = [g, x, coefficients, ...(relu ? [stats] : []), dx].map(bind);
    const grid = gridFor(n, applyShape(target, plane).tile);
    device().launch(normGradientApply({ target, ...layout, relu }), reads, [n], grid);
  }
  coefficients.dispose();
  partials.dispose();
  return { dx, dWeight, dBias };
}

const rowLayout = (x: Tensor, rows: number): Layout => ({ samples: 1, channels: rows, plane: x.size / rows });

/** (x − mean) / √(variance + eps) over each of `rows` equal, contiguous pieces of x. */
export function normalizeRows(x: Tensor, rows: number, eps: number): Normalized {
  if (x.size === 0) return { y: empty('normalizeRows', x.shape), stats: empty('normalizeRows', [rows, 4]) };
  return normalize(x, rowLayout(x, rows), { training: true, eps });
}

/** The gradient of `normalizeRows` for x. */
export function normalizeRowsGradient(gradient: Tensor, x: Tensor, stats: Tensor): Tensor {
  if (x.size === 0) return empty('normalizeRows', x.shape);
  return gradientOf(gradient, x, rowLayout(x, stats.shape[0]), stats, true, false, true).dx!;
}
