// Normalisation layers.

import { isRecomputing } from '../autograd/modes';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { batchNorm } from '../ops/norm';
import { instanceNorm } from '../ops/norm-nd';
import { reshape, unsqueeze } from '../ops/views';
import { inputError } from '../tensor/context';
import { ones, zeros } from '../tensor/create';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { Module } from './module';
import { Parameter, State } from './parameter';
import { refill } from './reset';

/** Options of the batch norms. */
export interface BatchNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Weight of the newest batch in the running statistics (default 0.1); null: they are means over all batches. */
  momentum?: number | null;
  /** Whether scale and shift are trained (default true). */
  affine?: boolean;
  /** Whether running statistics are kept (default true); without them evaluation normalises with the batch as well. */
  trackRunningStats?: boolean;
  /** ReLU after the normalisation, computed in the same pass over memory. */
  activation?: 'relu';
}

const LAYER: OptionTable<BatchNormLayerOptions> = {
  eps: is.number,
  momentum: either(is.number, word(null)),
  affine: is.flag,
  trackRunningStats: is.flag,
  activation: word('relu'),
};

/** What norms share: a trained scale that starts at 1 and a shift that starts at 0, or neither. */
export abstract class Affine extends Module {
  /** Scale γ; null without trained scale and shift. */
  readonly weight: Parameter | null;
  /** Shift β; null without. */
  readonly bias: Parameter | null;

  constructor(shape: Shape, affine = true, bias = affine) {
    super();
    this.weight = affine ? new Parameter(ones(shape)) : null;
    this.bias = affine && bias ? new Parameter(zeros(shape)) : null;
  }

  /** Sets the scale to 1 and the shift to 0, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    refill(this.weight, 1);
    refill(this.bias, 0);
  }
}

/** Sets running statistics to those of no batch: mean 0, variance 1, no batches. */
function restart(norm: {
  runningMean?: State | null;
  runningVar?: State | null;
  numBatchesTracked?: State | null;
}): void {
  refill(norm.runningMean, 0);
  refill(norm.runningVar, 1);
  refill(norm.numBatchesTracked, 0);
}

/**
 * Batch normalisation over N, H, W for each channel of [N, C, H, W]. In training with the batch's mean and biased variance, and the running
 * statistics move on (with the unbiased variance); in evaluation with the running statistics. Works for any [N, C, …].
 */
export class BatchNorm2d extends Affine {
  protected static override readonly tensorNames: Readonly<Record<string, string>> = {
    runningMean: 'running_mean',
    runningVar: 'running_var',
    numBatchesTracked: 'num_batches_tracked',
  };
  /** Running statistics; not there without `trackRunningStats`. */
  readonly runningMean!: State;
  /** Running unbiased variance [channels], which evaluation uses; starts at 1. */
  readonly runningVar!: State;
  /** How many batches have moved them, int32 []. */
  readonly numBatchesTracked!: State;

  constructor(
    /** C of the input [N, C, …]. */
    readonly channels: number,
    /** As they were given, without defaults. */
    readonly options: BatchNormLayerOptions = {},
  ) {
    checked(new.target.name, options, LAYER);
    super([channels], options.affine);
    if (options.trackRunningStats === false) return;
    this.runningMean = new State(zeros([channels]));
    this.runningVar = new State(ones([channels]));
    this.numBatchesTracked = new State(zeros([], { dtype: 'int32' }));
  }

  /** Sets the running statistics to those of no batch, in place, as PyTorch's `reset_running_stats`. */
  resetRunningStats(): void {
    restart(this);
  }

  /** The same, and the scale to 1, the shift to 0. */
  override resetParameters(): void {
    super.resetParameters();
    this.resetRunningStats();
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
    const { weight, bias, runningMean, runningVar, numBatchesTracked, training } = this;
    const { eps, activation } = this.options;
    if (this.options.trackRunningStats === false)
      return batchNorm(x, { weight, bias, training: true, eps, activation });
    const common = { weight, bias, runningMean, runningVar, training, eps, activation };
    if (isRecomputing()) return batchNorm(x, { ...common, momentum: 0 }); // statistics move once
    return batchNorm(x, { ...common, momentum: this.options.momentum, numBatchesTracked });
  }

  protected override describe(): string {
    return `${this.channels}${this.options.activation ? `, ${this.options.activation}` : ''}`;
  }
}

/** The same for [N, C] and [N, C, L]. */
export class BatchNorm1d extends BatchNorm2d {}

/** The same for [N, C, D, H, W]. */
export class BatchNorm3d extends BatchNorm2d {}

/** Options of `InstanceNorm1d`, `InstanceNorm2d` and `InstanceNorm3d`. */
export interface InstanceNormLayerOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Weight of the newest input in the running statistics (default 0.1); null: they stay, as PyTorch's do. */
  momentum?: number | null;
  /** Whether scale and shift are trained (default false). */
  affine?: boolean;
  /** Whether running statistics are kept, which evaluation then normalises with (default false). */
  trackRunningStats?: boolean;
}

const INSTANCE: OptionTable<InstanceNormLayerOptions> = {
  eps: is.number,
  momentum: either(is.number, word(null)),
  affine: is.flag,
  trackRunningStats: is.flag,
};

/** Normalises each channel of each sample of [N, C, …]; one sample [C, …] may come without N. */
abstract class InstanceNorm extends Affine {
  protected static override readonly tensorNames: Readonly<Record<string, string>> = {
    runningMean: 'running_mean',
    runningVar: 'running_var',
    numBatchesTracked: 'num_batches_tracked',
  };
  protected abstract readonly pixels: number;
  /** Running mean [channels]; null without `trackRunningStats`. */
  readonly runningMean: State | null;
  /** Running unbiased variance [channels]; null without `trackRunningStats`. */
  readonly runningVar: State | null;
  /** It stays 0, as PyTorch's. */
  readonly numBatchesTracked: State | null;

  constructor(
    /** C of the input [N, C, …]. */
    readonly channels: number,
    /** As they were given, without defaults. */
    readonly options: InstanceNormLayerOptions = {},
  ) {
    checked(new.target.name, options, INSTANCE);
    super([channels], options.affine ?? false);
    this.runningMean = options.trackRunningStats ? new State(zeros([channels])) : null;
    this.runningVar = options.trackRunningStats ? new State(ones([channels])) : null;
    this.numBatchesTracked = options.trackRunningStats ? new State(zeros([], { dtype: 'int32' })) : null;
  }

  /** Sets the running statistics to those of no batch, in place, as PyTorch's `reset_running_stats`. */
  resetRunningStats(): void {
    restart(this);
  }

  /** The same, and the scale to 1, the shift to 0. */
  override resetParameters(): void {
    super.resetParameters();
    this.resetRunningStats();
  }

  override forward(x: Tensor): Tensor {
    requireTensors(this.constructor.name, { input: x });
    const { weight, bias, runningMean, runningVar, pixels, channels } = this;
    const { eps, trackRunningStats = false } = this.options;
    const single = x.ndim === pixels + 1;
    if ((!single && x.ndim !== pixels + 2) || x.shape[x.ndim - pixels - 1] !== channels)
      throw inputError(
        this.constructor.name,
        `made for ${channels} channels`,
        { input: x },
        'It is [N, C, …] or [C, …].',
      );
    const momentum = isRecomputing() || this.options.momentum === null ? 0 : this.options.momentum;
    const useInputStats = this.training || !trackRunningStats;
    const o = { weight, bias, runningMean, runningVar, useInputStats, momentum, eps };
    return single ? reshape(instanceNorm(unsqueeze(x, 0), o), x.shape) : instanceNorm(x, o);
  }

  protected override describe(): string {
    return `${this.channels}`;
  }
}

/** Of lines [N, C, L] or [C, L], as `torch.nn.InstanceNorm1d`. */
export class InstanceNorm1d extends InstanceNorm {
  protected readonly pixels = 1;
}

/** Of images [N, C, H, W] or [C, H, W]. */
export class InstanceNorm2d extends InstanceNorm {
  protected readonly pixels = 2;
}

/** Of volumes [N, C, D, H, W] or [C, D, H, W]. */
export class InstanceNorm3d extends InstanceNorm {
  protected readonly pixels = 3;
}
