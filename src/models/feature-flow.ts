// FeatureFlowResNet: the convolutional form of the discrete Res-Net of Fang et al. 2020, for images.
// Its start copies elements between arrays sized for it: `as number` stands where an index comes from those sizes.

import { Rng, Stream } from '../../datasets/random';
import { at, mapTuple, type Tuple, tuple } from '../../shaders/checked';
import { scopedNoGrad } from '../autograd/tape';
import type { Activation } from '../featureflow/activation';
import { activation } from '../featureflow/activation';
import type { RegressionLayer, RegressionReport, RegressOptions } from '../featureflow/algorithm-2';
import { REGRESS, regress } from '../featureflow/algorithm-2';
import type { Layers } from '../featureflow/net';
import { signs } from '../featureflow/net';
import { ScaledParameter } from '../featureflow/scaled-gradient-descent';
import { InputError, requireWhole } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { normal } from '../nn/init';
import { Module } from '../nn/module';
import { conv2d } from '../ops/conv';
import { add, mul } from '../ops/elementwise';
import { matmul } from '../ops/matmul';
import { globalAvgPool2d } from '../ops/pool';
import { tensor } from '../tensor/create';
import { copyInto } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { MOST_BLOCKS, MOST_CHANNELS } from './resnet';

/**
 * 'mean-field': multipliers 1/m_{l−1}, weights of variance m_{l−1}σ², steps scaled by m_{l−1}·m_l. 'standard', to compare with: no multipliers,
 * variance σ²/m_{l−1}, plain steps. Both are the same random function before training, but for the readout.
 */
export type Parametrisation = 'mean-field' | 'standard';

/** Factor on 16, 32, 64 channels. */
const MOST_WIDTH = 1024;

/** Depth, width, activations and initialisation of `FeatureFlowResNet`. */
export interface FeatureFlowResNetOptions {
  /** n of depth 6n + 2: layers of three stages, 2n each. */
  blocks: number;
  /** Factor on the channels 16, 32, 64 of the stages (default 1). */
  width?: number;
  /** Number of logits (default 10). */
  classes?: number;
  /** Channels of the images (default 3). */
  inChannels?: number;
  /** How weights and rates scale with the width (default 'mean-field'). */
  parametrisation?: Parametrisation;
  /** σ of the standard initialisation (default 1). */
  sigma?: number;
  /** C: the readout's weights are ±C (default 1). */
  readout?: number;
  /** h1, of features. */
  h1?: Activation;
  /** h2, of residuals. */
  h2?: Activation;
}

export const OPTIONS: OptionTable<FeatureFlowResNetOptions> = {
  ...{ blocks: is.number, width: is.number, classes: is.number, inChannels: is.number },
  ...{
    parametrisation: word('mean-field', 'standard'),
    sigma: is.number,
    readout: is.number,
    h1: is.text,
    h2: is.text,
  },
};

/** How the weights are regressed, and on how many pixels of each layer. */
export type InitialiseOptions = Partial<Omit<RegressOptions, 'perRow'>> & { rows?: number };

/** α = conv(h)/(C_in k²): a source unit is a channel at one of the 3×3 taps. */
class UnitConv extends Module {
  readonly weight: ScaledParameter;
  /** m_{l−1} = C_in·k² */
  readonly sources: number;

  constructor(
    inChannels: number,
    readonly outChannels: number,
    readonly stride: 1 | 2,
    readonly parametrisation: Parametrisation,
    sigma: number,
  ) {
    super();
    this.sources = 9 * inChannels;
    const meanField = parametrisation === 'mean-field';
    const std = sigma * (meanField ? Math.sqrt(this.sources) : 1 / Math.sqrt(this.sources));
    const shape = [outChannels, inChannels, 3, 3];
    this.weight = new ScaledParameter(normal(shape, 0, std), meanField ? this.sources * outChannels : 1);
  }

  override forward(h: Tensor): Tensor {
    const weight = this.parametrisation === 'mean-field' ? mul(this.weight, 1 / this.sources) : this.weight;
    return conv2d(h, weight, null, { stride: this.stride, padding: 1 });
  }

  protected override describe(): string {
    return `${this.sources / 9}, ${this.outChannels}, kernel=3×3, stride=${this.stride}`;
  }
}

/**
 * β_1 = conv(x)/d; α = conv(h1(β))/m and β ← β + h2(α) in three stages of 1×, 2×, 4× channels; between stages β ← α with stride 2; logits are
 * the mean over pixels and channels of h1(β_L)·v_{L+1}, one column a class. No norms, no biases. Train it with `ScaledGradientDescent`.
 */
export class FeatureFlowResNet extends Module {
  /** The layers 1 … L: a stem, then the layers of the stages, of which the first of the later stages has stride 2. */
  readonly convs: readonly UnitConv[];
  /** v_{L+1} [channels, classes]; m_{L+1} = 1 whatever the number of classes. */
  readonly readout: ScaledParameter;
  /** How weights and rates scale with the width. */
  readonly parametrisation: Parametrisation;
  /** h1 and h2, as they were given. */
  readonly activations: { readonly h1: Activation; readonly h2: Activation };
  readonly #multiplier: number;
  readonly #h1: (x: Tensor) => Tensor;
  readonly #h2: (x: Tensor) => Tensor;

  constructor(options: FeatureFlowResNetOptions) {
    super();
    checked('FeatureFlowResNet', options, OPTIONS);
    const { blocks, width = 1, classes = 10, inChannels = 3, parametrisation = 'mean-field' } = options;
    const { sigma = 1, readout = 1, h1 = 'tanh', h2 = 'tanh' } = options;
    requireWhole('FeatureFlowResNet: blocks', blocks, 1, MOST_BLOCKS);
    requireWhole('FeatureFlowResNet: classes', classes, 1, MOST_CHANNELS);
    requireWhole('FeatureFlowResNet: inChannels', inChannels, 1, MOST_CHANNELS);
    if (!(width > 0 && width <= MOST_WIDTH))
      throw new InputError(`FeatureFlowResNet: width ${width} must be above 0 and at most ${MOST_WIDTH}`);
    const channels = mapTuple([16, 32, 64], (c) => c * width);
    if (!channels.every((c) => Number.isInteger(c) && c > 0))
      throw new InputError(
        `FeatureFlowResNet: width ${width} gives ${channels.join(', ')} channels; use multiples of 1/16`,
      );
    this.activations = { h1, h2 };
    [this.#h1, this.#h2] = [activation(h1), activation(h2)];
    const make = (from: number, to: number, stride: 1 | 2 = 1) =>
      new UnitConv(from, to, stride, parametrisation, sigma);
    this.convs = [
      make(inChannels, channels[0]),
      ...channels.flatMap((c, s) =>
        Array.from({ length: 2 * blocks }, (_, i) => (s && !i ? make(at(channels, s - 1), c, 2) : make(c, c))),
      ),
    ];
    const last = channels[2];
    this.parametrisation = parametrisation;
    const meanField = parametrisation === 'mean-field';
    this.#multiplier = meanField ? 1 / last : 1;
    const columns = meanField ? signs([last, classes], readout) : normal([last, classes], 0, 1 / Math.sqrt(last));
    this.readout = new ScaledParameter(columns, meanField ? last : 1);
  }

  /** Images [N, channels, H, W] → logits [N, classes]. */
  override forward(x: Tensor): Tensor {
    return this.layers(x).output;
  }

  /** The forward pass with all features β_0 … β_L and residuals α_2 … α_L, [N, channels, H, W]. */
  layers(x: Tensor): Layers {
    let beta = at(this.convs, 0).forward(x);
    const features = [x, beta];
    const residuals: Tensor[] = [];
    for (const [i, conv] of this.convs.slice(1).entries()) {
      const alpha = conv.forward(this.#h1(beta));
      beta = conv.stride === 1 ? add(beta, this.#h2(alpha)) : alpha;
      residuals[i + 2] = alpha;
      features.push(beta);
    }
    const pooled = globalAvgPool2d(this.#h1(beta));
    return { features, residuals, output: mul(matmul(pooled, this.readout), this.#multiplier) };
  }

  /**
   * Algorithm 2 on a new net: exchanges the weights of layers 2 … L for smaller ones that keep their residuals on pixels of `images`
   * [N, channels, H, W], drawn without replacement: exactly ('hard') or nearly ('soft' and 'sequential', with λ for each row, default 1e-3).
   * `rows` pixels of each layer, or all where it has fewer. By default 1,024; of the hard form, which needs fewer rows than source units, half of
   * the layer's units. The readout keeps its ±C.
   */
  async initialise(images: Tensor, given: InitialiseOptions = {}): Promise<RegressionReport[]> {
    const { perRow: _, ...table } = REGRESS;
    checked('FeatureFlowResNet.initialise', given, { ...table, rows: is.number });
    const { rows, form = 'soft', lambda = form === 'hard' ? 0 : 1e-3, ...options } = given;
    if (this.parametrisation === 'standard')
      throw new InputError("FeatureFlowResNet: Algorithm 2 belongs to the 'mean-field' parametrisation");
    if (rows !== undefined && !(Number.isInteger(rows) && rows >= 1))
      throw new InputError(`FeatureFlowResNet.initialise: rows is ${rows}, it must be a whole number of at least 1`);
    const most = (sources: number) => rows ?? (form === 'hard' ? Math.floor(sources / 2) : 1024);
    const net = { regressionLayers: (x: Tensor) => this.#regressionLayers(x, most) };
    return regress(net, images, { form, lambda, ...options, perRow: true });
  }

  async #regressionLayers(x: Tensor, most: (sources: number) => number): Promise<RegressionLayer[]> {
    const made = scopedNoGrad(() => {
      const { features, residuals } = this.layers(x);
      return { sources: features.slice(1, -1).map((beta) => this.#h1(beta)), residuals: residuals.slice(2) };
    });
    const found: RegressionLayer[] = [];
    for (const [i, conv] of this.convs.slice(1).entries()) {
      const [from, to] = [at(made.sources, i), at(made.residuals, i)];
      const [images, channels, height, width] = tuple(to.shape, 4);
      const pixels = height * width;
      const { weight, sources, stride } = conv;
      const rows = Math.min(most(sources), images * pixels);
      // The same pixels at every call, none of them twice.
      const places = [...new Rng(0, Stream.init, i).permutation(images * pixels).subarray(0, rows)];
      const [alpha, features, weights] = await Promise.all([to.data(), from.data(), weight.data()]);
      const residuals = new Float32Array(rows * channels);
      places.forEach((p, r) => {
        const first = Math.floor(p / pixels) * channels * pixels + (p % pixels);
        for (let c = 0; c < channels; c++) residuals[r * channels + c] = alpha[first + c * pixels] as number;
      });
      found.push({
        ...{ layer: i + 2, rows, units: [sources, channels], residuals: [residuals] },
        sources: [patches(features, tuple(from.shape, 4), places, width, pixels, stride)],
        weights: [weights],
        assign(values) {
          const v = at(values, 0);
          const transposed = Float32Array.from({ length: weight.size }, (_, k) => {
            return v[(k % sources) * channels + Math.floor(k / sources)] as number;
          });
          copyInto(weight, tensor(transposed, { shape: weight.shape }));
        },
      });
    }
    return found;
  }
}

/** The 3×3 patches of images [N, C, H, W] around `places` among the outputs of a convolution with padding 1: rows of C·9 numbers. */
function patches(
  x: ArrayLike<number>,
  [, C, H, W]: Tuple<number, 4>,
  places: readonly number[],
  width: number,
  pixels: number,
  stride: number,
): Float32Array {
  const rows = new Float32Array(places.length * C * 9);
  places.forEach((p, r) => {
    const image = Math.floor(p / pixels) * C;
    const [y, x0] = [Math.floor((p % pixels) / width) * stride - 1, (p % width) * stride - 1];
    for (let k = 0; k < C * 9; k++) {
      const [row, column] = [y + (Math.floor(k / 3) % 3), x0 + (k % 3)];
      if (row < 0 || row >= H || column < 0 || column >= W) continue;
      rows[r * C * 9 + k] = x[((image + Math.floor(k / 9)) * H + row) * W + column] as number;
    }
  });
  return rows;
}
