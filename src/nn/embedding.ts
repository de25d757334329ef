// Embedding: rows of a table by their number, alone or combined in bags.
import { tuple } from '../../shaders/checked';
import { checked, is, type OptionTable, word } from '../gpu/options';
import {
  EMBEDDING,
  type EmbeddingBagOptions,
  type EmbeddingOptions,
  embedding,
  embeddingBag,
  paddingRow,
} from '../ops/embedding';
import { select } from '../ops/views';
import { inputError } from '../tensor/context';
import { requireFloats, type Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';
import { refill } from './reset';

/** A table that starts N(0, 1), with zeros in the row of the padding. */
function table(name: string, count: number, width: number, options: EmbeddingOptions): Parameter {
  for (const [what, n] of Object.entries({ count, width }))
    if (!(Number.isInteger(n) && n >= 0)) throw inputError(name, `${what} is ${n}`, {}, 'Use a whole number.');
  const weight = new Parameter(init.normal([count, width]));
  clearPadding(name, weight, options);
  return weight;
}

function clearPadding(name: string, weight: Parameter, options: EmbeddingOptions): void {
  const padding = paddingRow(name, weight, options.paddingIdx);
  if (padding !== null) refill(select(weight, 0, padding), 0);
}

/** Draws the table again. */
function restart(layer: Embedding | EmbeddingBag): void {
  refill(layer.weight, init.normal(layer.weight.shape));
  clearPadding(layer.constructor.name, layer.weight, layer.options);
}

/** Has a module take over a table that is trained already, or as a constant where `freeze`. */
function pretrained<M extends { weight: Parameter }>(
  name: string,
  weight: Tensor,
  freeze: boolean,
  make: (count: number, width: number) => M,
): M {
  requireFloats(name, { weight });
  if (weight.ndim !== 2) throw inputError(name, 'the weight is no table', { weight }, 'It is [count, width].');
  const module = make(...tuple(weight.shape, 2));
  refill(module.weight, weight);
  module.weight.requiresGrad = !freeze;
  return module;
}

const shown = (options: object): string =>
  Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `, ${name}=${value}`)
    .join('');

/**
 * Row `index` of a trained table [count, width] for each element of an int32 tensor: [...] → [..., width], as `torch.nn.Embedding`. Rows start
 * N(0, 1); that of `paddingIdx` starts as zeros and gets no gradient.
 */
export class Embedding extends Module {
  /** The table [count, width]. */
  readonly weight: Parameter;

  constructor(
    /** Rows of the table (PyTorch's `num_embeddings`). */
    readonly count: number,
    /** Numbers of a row (PyTorch's `embedding_dim`). */
    readonly width: number,
    /** As they were given, without defaults. */
    readonly options: EmbeddingOptions = {},
  ) {
    super();
    checked(new.target.name, options, EMBEDDING);
    this.weight = table(this.constructor.name, count, width, options);
  }

  /** A layer with the values of a table [count, width], which is not trained unless `freeze` is false. */
  static fromPretrained(weight: Tensor, options: EmbeddingOptions & { freeze?: boolean } = {}): Embedding {
    const { freeze = true, ...own } = checked('fromPretrained', options, { ...EMBEDDING, freeze: is.flag });
    return pretrained('fromPretrained', weight, freeze, (count, width) => new this(count, width, own));
  }

  /** Draws the table again from N(0, 1), in place, with zeros in the row of the padding: PyTorch's `reset_parameters`. */
  resetParameters(): void {
    restart(this);
  }

  override forward(index: Tensor): Tensor {
    return embedding(this.weight, index, this.options);
  }

  protected override describe(): string {
    return `${this.count}, ${this.width}${shown(this.options)}`;
  }
}

/** Options of `EmbeddingBag`. */
export type EmbeddingBagLayerOptions = Omit<EmbeddingBagOptions, 'offsets' | 'perSampleWeights'>;

const BAG: OptionTable<EmbeddingBagLayerOptions> = {
  ...EMBEDDING,
  mode: word('sum', 'mean', 'max'),
  includeLastOffset: is.flag,
};

/**
 * Means (or by `mode` sums or largest values) over bags of rows of a trained table, as `torch.nn.EmbeddingBag`: `forward(index, offsets?,
 * perSampleWeights?)` → [bags, width]. Bags are the rows of an index [bags, length], or begin at `offsets` in an index [N].
 */
export class EmbeddingBag extends Module<
  [index: Tensor, offsets?: Tensor | null, perSampleWeights?: Tensor | null],
  Tensor
> {
  /** The table [count, width]. */
  readonly weight: Parameter;

  constructor(
    /** Rows of the table (PyTorch's `num_embeddings`). */
    readonly count: number,
    /** Numbers of a row (PyTorch's `embedding_dim`). */
    readonly width: number,
    /** As they were given, without defaults. */
    readonly options: EmbeddingBagLayerOptions = {},
  ) {
    super();
    checked(new.target.name, options, BAG);
    this.weight = table(this.constructor.name, count, width, options);
  }

  /** A layer with the values of a table [count, width], which is not trained unless `freeze` is false. */
  static fromPretrained(weight: Tensor, options: EmbeddingBagLayerOptions & { freeze?: boolean } = {}): EmbeddingBag {
    const { freeze = true, ...own } = checked('fromPretrained', options, { ...BAG, freeze: is.flag });
    return pretrained('fromPretrained', weight, freeze, (count, width) => new this(count, width, own));
  }

  /** Draws the table again from N(0, 1), in place, with zeros in the row of the padding: PyTorch's `reset_parameters`. */
  resetParameters(): void {
    restart(this);
  }

  override forward(index: Tensor, offsets: Tensor | null = null, perSampleWeights: Tensor | null = null): Tensor {
    return embeddingBag(this.weight, index, { ...this.options, offsets, perSampleWeights });
  }

  protected override describe(): string {
    return `${this.count}, ${this.width}${shown(this.options)}`;
  }
}
