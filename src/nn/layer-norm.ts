// Normalisation within each sample: layer norm, group norm, root mean square, local response.

import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { groupNorm, layerNorm } from '../ops/norm';
import { type LocalResponseNormOptions, localResponseNorm, rmsNorm } from '../ops/norm-nd';
import { ones } from '../tensor/create';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Apply } from './apply';
import { Module } from './module';
import { Affine } from './norm';
import { Parameter } from './parameter';
import { refill } from './reset';

/** Options of `GroupNorm`, and in part of `LayerNorm`. */
export interface NormOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Whether scale and shift are trained (default true). */
  affine?: boolean;
}

/** Options of `LayerNorm`. */
export interface LayerNormOptions extends NormOptions {
  /** PyTorch's name of `affine`. */
  elementwiseAffine?: boolean;
  /** Whether there is a shift next to the scale (default true). */
  bias?: boolean;
}

const OPTIONS: OptionTable<NormOptions> = { eps: is.number, affine: is.flag };
const LAYER: OptionTable<LayerNormOptions> = { ...OPTIONS, elementwiseAffine: is.flag, bias: is.flag };

/** Normalises over the last dimensions, whose sizes are `normalizedShape`, then scales and shifts each element. */
export class LayerNorm extends Affine {
  /** Sizes of the last dimensions, over which mean and variance are taken. */
  readonly normalizedShape: Shape;

  constructor(
    normalizedShape: number | Shape,
    /** As they were given, without defaults. */
    readonly options: LayerNormOptions = {},
  ) {
    checked(new.target.name, options, LAYER);
    const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    super(shape, options.elementwiseAffine ?? options.affine, options.bias);
    this.normalizedShape = shape;
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias } = this;
    return layerNorm(x, this.normalizedShape, { weight, bias, eps: this.options.eps });
  }

  protected override describe(): string {
    return `[${this.normalizedShape.join(', ')}]`;
  }
}

/** Normalises [N, C, …] over groups of C / `groups` neighbouring channels, then scales and shifts each channel. */
export class GroupNorm extends Affine {
  constructor(
    /** Number of groups; it divides `channels`. Each has a mean and a variance. */
    readonly groups: number,
    /** C of the input [N, C, …]. */
    readonly channels: number,
    /** As they were given, without defaults. */
    readonly options: NormOptions = {},
  ) {
    checked(new.target.name, options, OPTIONS);
    super([channels], options.affine);
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias } = this;
    return groupNorm(x, this.groups, { weight, bias, eps: this.options.eps });
  }

  protected override describe(): string {
    return `${this.groups} groups of ${this.channels} channels`;
  }
}

/** Options of `RMSNorm`. */
export interface RMSNormOptions {
  /** Added to the mean square (default: the distance from 1 to the next float32). */
  eps?: number | null;
  /** Whether the scale is trained (default true). */
  elementwiseAffine?: boolean;
}

/** Divides by the root of the mean square over the last dimensions, then scales each element, as `torch.nn.RMSNorm`. */
export class RMSNorm extends Module {
  /** Scale of the shape `normalizedShape`; null with `elementwiseAffine: false`. */
  readonly weight: Parameter | null;
  /** Sizes of the last dimensions, over which the mean square is taken. */
  readonly normalizedShape: Shape;

  constructor(
    normalizedShape: number | Shape,
    /** As they were given, without defaults. */
    readonly options: RMSNormOptions = {},
  ) {
    super();
    checked(new.target.name, options, { eps: either(is.number, word(null)), elementwiseAffine: is.flag });
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    this.weight = (options.elementwiseAffine ?? true) ? new Parameter(ones(this.normalizedShape)) : null;
  }

  /** Sets the scale to 1, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    refill(this.weight, 1);
  }

  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, { weight: this.weight, eps: this.options.eps });
  }

  protected override describe(): string {
    return `[${this.normalizedShape.join(', ')}]`;
  }
}

/** Divides by a power of the mean square of neighbouring channels, as `F.localResponseNorm`. */
export class LocalResponseNorm extends Apply {
  constructor(size: number, options: LocalResponseNormOptions = {}) {
    super((x) => localResponseNorm(x, size, options), `${size}`);
    checked(new.target.name, options, { alpha: is.number, beta: is.number, k: is.number });
  }
}
