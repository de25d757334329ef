// Normalisation layers.

import { isRecomputing } from '../autograd/modes';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { batchNorm } from '../ops/norm';
import { inputError } from '../tensor/context';
import { ones, zeros } from '../tensor/create';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { Module } from './module';
import { Parameter, State } from './parameter';

export interface BatchNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Weight of the newest batch in the running statistics (default 0.1). */
  momentum?: number;
  /** Whether scale and shift are trained (default true). */
  affine?: boolean;
  /** ReLU after the normalisation, computed in the same pass over memory. */
  activation?: 'relu';
}

const LAYER: OptionTable<BatchNormLayerOptions> = {
  eps: is.number,
  momentum: is.number,
  affine: is.flag,
  activation: word('relu'),
};

/** What norms share: a trained scale that starts at 1 and a shift that starts at 0, or neither. */
export abstract class Affine extends Module {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;

  constructor(shape: Shape, affine = true, bias = affine) {
    super();
    this.weight = affine ? new Parameter(ones(shape)) : null;
    this.bias = affine && bias ? new Parameter(zeros(shape)) : null;
  }
}

/**
 * Batch normalisation over N, H, W for each channel of [N, C, H, W]. In training with the batch's mean and biased variance, and the running
 * statistics move on (with the unbiased variance); in evaluation with the running statistics. Works for any [N, C, …].
 */
export class BatchNorm2d extends Affine {
  protected static override readonly tensorNames: Readonly<Record<string, string>> = {
    runningMean: 'running_mean',
    runningVar: 'running_var',
  };
  readonly runningMean: State;
  readonly runningVar: State;

  constructor(
    readonly channels: number,
    readonly options: BatchNormLayerOptions = {},
  ) {
    checked(new.target.name, options, LAYER);
    super([channels], options.affine);
    this.runningMean = new State(zeros([channels]));
    this.runningVar = new State(ones([channels]));
  }

  override forward(x: Tensor): Tensor {
    requireTensors(this.constructor.name, { input: x });
    if (x.shape[1] !== this.channels)
      throw inputError(
        this.constructor.name,
        `made for ${this.channels} channels`,
        { input: x },
        'Channels are dimension 1: [N, C, …].',
      );
    const { weight, bias, runningMean, runningVar, training } = this;
    const { eps, activation } = this.options;
    const momentum = isRecomputing() ? 0 : this.options.momentum; // statistics move once
    return batchNorm(x, { weight, bias, runningMean, runningVar, training, eps, momentum, activation });
  }

  protected override describe(): string {
    return `${this.channels}${this.options.activation ? `, ${this.options.activation}` : ''}`;
  }
}

/** The same for [N, C] and [N, C, L]. */
export class BatchNorm1d extends BatchNorm2d {}
