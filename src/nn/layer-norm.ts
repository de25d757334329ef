// Normalisation within each sample: layer norm and group norm.
import { groupNorm, layerNorm } from '../autograd/norm';
import { ones, zeros } from '../tensor/create';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Module } from './module';
import { Parameter } from './parameter';

interface NormOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Whether scale and shift are trained (default true). */
  affine?: boolean;
}

/** Normalises over the last dimensions, whose sizes are `normalizedShape`, then scales and shifts each element. */
export class LayerNorm extends Module {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  readonly normalizedShape: Shape;

  constructor(
    normalizedShape: number | Shape,
    readonly options: NormOptions = {},
  ) {
    super();
    const { affine = true } = options;
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    this.weight = affine ? new Parameter(ones(this.normalizedShape)) : null;
    this.bias = affine ? new Parameter(zeros(this.normalizedShape)) : null;
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
export class GroupNorm extends Module {
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;

  constructor(
    readonly groups: number,
    readonly channels: number,
    readonly options: NormOptions = {},
  ) {
    super();
    const { affine = true } = options;
    this.weight = affine ? new Parameter(ones([channels])) : null;
    this.bias = affine ? new Parameter(zeros([channels])) : null;
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias } = this;
    return groupNorm(x, this.groups, { weight, bias, eps: this.options.eps });
  }

  protected override describe(): string {
    return `${this.groups} groups of ${this.channels} channels`;
  }
}
