// Normalisation within each sample: layer norm and group norm.

import { checked, is, type OptionTable } from '../gpu/options';
import { groupNorm, layerNorm } from '../ops/norm';
import type { Shape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { Affine } from './norm';

interface NormOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Whether scale and shift are trained (default true). */
  affine?: boolean;
}

interface LayerNormOptions extends NormOptions {
  /** Whether there is a shift next to the scale (default true). */
  bias?: boolean;
}

const OPTIONS: OptionTable<NormOptions> = { eps: is.number, affine: is.flag };
const LAYER: OptionTable<LayerNormOptions> = { ...OPTIONS, bias: is.flag };

/** Normalises over the last dimensions, whose sizes are `normalizedShape`, then scales and shifts each element. */
export class LayerNorm extends Affine {
  readonly normalizedShape: Shape;

  constructor(
    normalizedShape: number | Shape,
    readonly options: LayerNormOptions = {},
  ) {
    checked(new.target.name, options, LAYER);
    const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    super(shape, options.affine, options.bias);
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
    readonly groups: number,
    readonly channels: number,
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
