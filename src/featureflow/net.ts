// The discrete Res-Net (3.1)–(3.5) of Fang et al. 2020, and its fully connected variant.

import { at, fromEnd, tuple } from '../../shaders/checked';
import { scopedNoGrad } from '../autograd/tape';
import { InputError } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { normal } from '../nn/init';
import { Module } from '../nn/module';
import { add, mul } from '../ops/elementwise';
import { matmul } from '../ops/matmul';
import { select } from '../ops/views';
import { inputError } from '../tensor/context';
import { full, tensor } from '../tensor/create';
import { copyInto } from '../tensor/elementwise';
import { initialRng } from '../tensor/seed';
import type { Shape } from '../tensor/shape';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import type { Activation } from './activation';
import { activation } from './activation';
import type { RegressionLayer } from './algorithm-2';
import { ScaledParameter } from './scaled-gradient-descent';

/** Sizes, activations and initialisation of `FeatureFlowNet`. */
export interface FeatureFlowNetOptions {
  /** d, the coordinates of a sample. */
  inputs: number;
  /** m, the units of each hidden layer. */
  width: number;
  /** L, the number of hidden layers. */
  layers: number;
  /** Columns of the readout: classes, or 1 (the default). */
  outputs?: number;
  /** Independent nets of the same shape, trained side by side in the same launches. */
  replicas?: number;
  /** h1, of features (default tanh). */
  h1?: Activation;
  /** h2, of residuals (default tanh). */
  h2?: Activation;
  /** Whether a layer adds h2(α) to the features (default), or is fully connected: β_l = α_l. */
  residual?: boolean;
  /** σ of the standard initialisation (default 1). */
  sigma?: number;
  /**
   * C: the readout's weights are C, with several columns ±C by chance (default 1). Or 'random': N(0, mσ²) as those of the other layers, which
   * `regress` then exchanges for smaller ones as well (the first half of the paper's footnote 2).
   */
  readout?: number | 'random';
  /** Another initialisation: the weights v_l of the shape given, l = 1 … layers + 1. */
  initial?: (l: number, shape: Shape) => Tensor;
}

const OPTIONS: OptionTable<FeatureFlowNetOptions> = {
  ...{
    inputs: is.number,
    width: is.number,
    layers: is.number,
    outputs: is.number,
    replicas: either(is.number, word(null)),
  },
  ...{ h1: is.text, h2: is.text, residual: is.flag, sigma: is.number, readout: either(is.number, word('random')) },
  initial: is.func,
};

/** What goes through a net, by the paper's indices. With replicas everything but β_0 has them in front. */
export interface Layers {
  /** β_0 = x and β_l [N, m] for l = 1 … L. */
  readonly features: readonly Tensor[];
  /** α_l [N, m] at index l = 2 … L; nothing before. */
  readonly residuals: readonly Tensor[];
  /** β_{L+1}: [N], with several outputs [N, outputs]. */
  readonly output: Tensor;
}

/**
 * β_1 = x v_1 / d;  α_l = h1(β_{l−1}) v_l / m and β_l = β_{l−1} + h2(α_l) for l = 2 … L;  β_{L+1} = h1(β_L) v_{L+1} / m.
 * Weights start as in lines 2–9 of Algorithm 2: v_1 ~ N(0, dσ²), v_l ~ N(0, mσ²), v_{L+1} = C; `regress` does the rest of it.
 */
export class FeatureFlowNet extends Module {
  /** v_l at index l − 1, source × target: [m_{l−1}, m_l], with replicas [replicas, m_{l−1}, m_l]. */
  readonly weights: readonly ScaledParameter[];
  /** The options with their defaults; `replicas` is null where none were asked for. */
  readonly options: Required<Omit<FeatureFlowNetOptions, 'initial' | 'replicas'>> & { replicas: number | null };
  /** h1, of features. */
  readonly h1: (x: Tensor) => Tensor;
  /** h2, of residuals. */
  readonly h2: (x: Tensor) => Tensor;

  constructor(given: FeatureFlowNetOptions) {
    super();
    const { initial, ...options } = checked('FeatureFlowNet', given, OPTIONS);
    const activations = { h1: 'tanh', h2: 'tanh' } as const;
    this.options = { outputs: 1, replicas: null, ...activations, residual: true, sigma: 1, readout: 1, ...options };
    const { inputs, width, layers, outputs, replicas, sigma, readout } = this.options;
    for (const [name, value] of Object.entries({ inputs, width, layers, outputs, replicas: replicas ?? 1 }))
      if (!Number.isInteger(value) || value < 1)
        throw new InputError(`FeatureFlowNet: ${name} is ${value}, it must be a whole number of at least 1`);
    this.h1 = activation(this.options.h1);
    this.h2 = activation(this.options.h2);
    const standard = (l: number, shape: Shape): Tensor => {
      if (l <= layers || readout === 'random') return normal(shape, 0, sigma * Math.sqrt(l === 1 ? inputs : width));
      return outputs === 1 ? full(shape, readout) : signs(shape, readout);
    };
    this.weights = Array.from({ length: layers + 1 }, (_, i) => {
      const source = i === 0 ? inputs : width;
      const target = i === layers ? outputs : width;
      const shape = replicas === null ? [source, target] : [replicas, source, target];
      const values = (initial ?? standard)(i + 1, shape);
      if (values.shape.join() !== shape.join())
        throw inputError('FeatureFlowNet', `v_${i + 1} has another shape`, { given: values.shape, needed: shape });
      // One output is one unit, and so are several: m_{L+1} = 1 whatever the number of classes.
      return new ScaledParameter(values, source * (i === layers ? 1 : target));
    });
  }

  /** x [N, d], or [replicas, N, d] with samples of each replica's own → β_{L+1}. */
  override forward(x: Tensor): Tensor {
    return this.layers(x).output;
  }

  /** The forward pass with all features and residuals; gradients of these are there after `retainGrad()`. */
  layers(x: Tensor): Layers {
    const { inputs, width, layers, outputs, residual } = this.options;
    if (x.ndim < 2 || x.shape[x.ndim - 1] !== inputs)
      throw inputError('FeatureFlowNet', `samples have ${inputs} coordinates`, { x: x.shape }, 'x is [N, d].');
    const propagate = (h: Tensor, l: number) => mul(matmul(h, at(this.weights, l - 1)), 1 / (l === 1 ? inputs : width));
    let beta = propagate(x, 1);
    const features = [x, beta];
    const residuals: Tensor[] = [];
    for (let l = 2; l <= layers; l++) {
      const alpha = propagate(this.h1(beta), l);
      beta = residual ? add(beta, this.h2(alpha)) : alpha;
      residuals[l] = alpha;
      features[l] = beta;
    }
    const output = propagate(this.h1(beta), layers + 1);
    return { features, residuals, output: outputs === 1 ? select(output, -1, 0) : output };
  }

  /** For `regress`: all samples, float32 as they are on the GPU. */
  async regressionLayers(x: Tensor): Promise<RegressionLayer[]> {
    const { width, layers, readout } = this.options;
    const replicas = this.options.replicas ?? 1;
    const parts = async (tensor: Tensor) => {
      const values = await tensor.data();
      const size = values.length / replicas;
      return Array.from({ length: replicas }, (_, r) => values.subarray(r * size, (r + 1) * size));
    };
    const made = scopedNoGrad(() => {
      const { features, residuals, output } = this.layers(x);
      return { sources: features.slice(1).map((beta) => this.h1(beta)), residuals: [...residuals.slice(2), output] };
    });
    const found: RegressionLayer[] = [];
    for (let l = 2; l <= (readout === 'random' ? layers + 1 : layers); l++) {
      const weight = at(this.weights, l - 1);
      const targets = fromEnd(weight.shape, 1);
      const read = [at(made.sources, l - 2), at(made.residuals, l - 2), weight].map(parts);
      const [sources, residuals, weights] = tuple(await Promise.all(read), 3);
      found.push({
        ...{ layer: l, rows: at(sources, 0).length / width, units: [width, targets] },
        ...{ sources, residuals, weights },
        assign(values) {
          const flat = new Float32Array(weight.size);
          values.forEach((v, r) => flat.set(v, r * v.length));
          copyInto(weight, tensor(flat, { shape: weight.shape }));
        },
      });
    }
    return found;
  }

  protected override describe(): string {
    const { inputs, width, layers, outputs, replicas, residual } = this.options;
    const kind = residual ? '' : ', fully connected';
    return `${inputs} → ${layers} × ${width} → ${outputs}${kind}${replicas ? `, ${replicas} replicas` : ''}`;
  }
}

/** ±c by chance. One constant for all classes would leave the hidden layers without a gradient, since Σ_c (p_c − y_c) = 0. */
export function signs(shape: Shape, c: number): Tensor {
  const rng = initialRng();
  const values = Float32Array.from({ length: size(shape) }, () => (rng.uniform() < 0.5 ? -c : c));
  return tensor(values, { shape });
}
