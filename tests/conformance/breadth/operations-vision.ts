// Images: resizing, pooling, convolutions, norms, sampling, padding.

import * as convolutions from '../../../src/ops/conv-nd';
import * as fold from '../../../src/ops/fold';
import { affineGrid, gridSample } from '../../../src/ops/grid-sample';
import { interpolate } from '../../../src/ops/interpolate';
import * as lp from '../../../src/ops/lp-pool';
import { batchNorm, groupNorm, layerNorm } from '../../../src/ops/norm';
import * as norms from '../../../src/ops/norm-nd';
import { pad } from '../../../src/ops/pad';
import type { Maxima } from '../../../src/ops/pool';
import * as pool from '../../../src/ops/pool';
import * as nd from '../../../src/ops/pool-nd';
import * as unpool from '../../../src/ops/unpool';
import type { Operation } from './operations';

/** A max pooling: its values, and the positions where PyTorch is asked for them. */
const maxima =
  (f: (x: never, o: never) => Maxima, argument?: string): Operation =>
  ([x], { returnIndices, ...o }) => {
    const { values, indices } = f(x as never, (argument ? o[argument] : o) as never);
    return returnIndices ? [values, indices] : values;
  };

const adaptive = { 1: nd.adaptiveAvgPool1d, 2: pool.adaptiveAvgPool2d, 3: nd.adaptiveAvgPool3d };
const average = { 1: nd.avgPool1d, 2: pool.avgPool2d, 3: nd.avgPool3d };
const lps = { 1: lp.lpPool1d, 2: lp.lpPool2d, 3: lp.lpPool3d };
const unpools = { 1: unpool.maxUnpool1d, 2: unpool.maxUnpool2d, 3: unpool.maxUnpool3d };
const adaptiveMax = {
  1: nd.adaptiveMaxPool1dWithIndices,
  2: pool.adaptiveMaxPool2dWithIndices,
  3: nd.adaptiveMaxPool3dWithIndices,
};
const max = { 1: nd.maxPool1dWithIndices, 2: pool.maxPool2dWithIndices, 3: nd.maxPool3dWithIndices };

const pooling = (d: 1 | 2 | 3): Record<string, Operation> => ({
  [`F.adaptive_avg_pool${d}d`]: ([x], { outputSize }) => adaptive[d](x, outputSize),
  [`F.adaptive_max_pool${d}d`]: maxima(adaptiveMax[d], 'outputSize'),
  [`F.avg_pool${d}d`]: ([x], o) => average[d](x, o),
  [`F.max_pool${d}d`]: maxima(max[d]),
  [`F.lp_pool${d}d`]: ([x], { normType, kernelSize, ...o }) => lps[d](x, normType, kernelSize, o),
  [`F.max_unpool${d}d`]: ([x, indices], { kernelSize, ...o }) => unpools[d](x, indices, kernelSize, o),
});

export const vision: Record<string, Operation> = {
  ...pooling(1),
  ...pooling(2),
  ...pooling(3),
  'F.conv3d': ([x, w, b = null], o) => convolutions.conv3d(x, w, b, o),
  'F.conv_transpose1d': ([x, w, b = null], o) => convolutions.convTranspose1d(x, w, b, o),
  'F.conv_transpose3d': ([x, w, b = null], o) => convolutions.convTranspose3d(x, w, b, o),
  'F.batch_norm': ([x, runningMean, runningVar, weight, bias], o) =>
    batchNorm(x, { runningMean, runningVar, weight, bias, ...o }),
  'F.layer_norm': ([x], { normalizedShape, ...o }) => layerNorm(x, normalizedShape, o),
  'F.group_norm': ([x], { numGroups, ...o }) => groupNorm(x, numGroups, o),
  'F.instance_norm': ([x], o) => norms.instanceNorm(x, o),
  'F.rms_norm': ([x], { normalizedShape, ...o }) => norms.rmsNorm(x, normalizedShape, o),
  'F.local_response_norm': ([x], { size, ...o }) => norms.localResponseNorm(x, size, o),
  'F.grid_sample': ([x, grid], o) => gridSample(x, grid, o),
  'F.affine_grid': ([theta], { size, ...o }) => affineGrid(theta, size, o),
  'F.interpolate': ([x], o) => interpolate(x, o),
  'F.pad': ([x], { pad: amounts, ...o }) => pad(x, amounts, o),
  'F.pixel_shuffle': ([x], { upscaleFactor }) => fold.pixelShuffle(x, upscaleFactor),
  'F.pixel_unshuffle': ([x], { downscaleFactor }) => fold.pixelUnshuffle(x, downscaleFactor),
  'F.channel_shuffle': ([x], { groups }) => fold.channelShuffle(x, groups),
  'F.unfold': ([x], { kernelSize, ...o }) => fold.unfold(x, kernelSize, o),
  'F.fold': ([x], { outputSize, kernelSize, ...o }) => fold.fold(x, outputSize, kernelSize, o),
};
