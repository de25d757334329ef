// One step of a recurrent layer as a module: RNNCell, LSTMCell and GRUCell.
import { at, tuple } from '../../shaders/checked';
import { checked, is, word } from '../gpu/options';
import { type Cell, gatesOf, recurrence } from '../ops/recurrent';
import { reshape } from '../ops/views';
import { inputError } from '../tensor/context';
import { sameShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import { Module } from './module';
import type { Parameter } from './parameter';
import { type LSTMState, requireSizes, requireState, uniform } from './recurrent';
import { redraw } from './reset';

/** Options of cells. */
export interface CellOptions {
  /** Whether there are biases (default true). */
  bias?: boolean;
}

/** Options of `RNNCell`. */
export interface RNNCellOptions extends CellOptions {
  /** 'tanh' by default. */
  nonlinearity?: 'tanh' | 'relu';
}

/** What cells share: one step of one layer. */
abstract class RecurrentCell<In extends readonly unknown[], Out> extends Module<In, Out> {
  protected static override readonly tensorNames: Readonly<Record<string, string>> = {
    weightIh: 'weight_ih',
    weightHh: 'weight_hh',
    biasIh: 'bias_ih',
    biasHh: 'bias_hh',
  };
  /** `[gates · hiddenSize, inputSize]`: from the input, gates in PyTorch's order. */
  readonly weightIh: Parameter;
  /** `[gates · hiddenSize, hiddenSize]`: from the state. */
  readonly weightHh: Parameter;
  /** [gates · hiddenSize]; null with `bias: false`. */
  readonly biasIh: Parameter | null;
  /** [gates · hiddenSize]; null with `bias: false`. */
  readonly biasHh: Parameter | null;
  readonly #cell: Cell;

  constructor(
    cell: Cell,
    /** Features of the input [N, inputSize]. */
    readonly inputSize: number,
    /** Features of the state [N, hiddenSize]. */
    readonly hiddenSize: number,
    /** As they were given, without defaults. */
    readonly options: RNNCellOptions,
  ) {
    super();
    const { bias = true } = options;
    requireSizes(this.constructor.name, { inputSize, hiddenSize });
    this.#cell = cell;
    const rows = gatesOf[cell] * hiddenSize;
    this.weightIh = uniform([rows, inputSize], hiddenSize);
    this.weightHh = uniform([rows, hiddenSize], hiddenSize);
    this.biasIh = bias ? uniform([rows], hiddenSize) : null;
    this.biasHh = bias ? uniform([rows], hiddenSize) : null;
  }

  /** Draws weights and biases again as they were at the start, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    redraw(this.parameters(), 1 / Math.sqrt(this.hiddenSize));
  }

  /** The states after the step: h, and c of an LSTM. */
  protected step(x: Tensor, h: Tensor | null, c: Tensor | null = null): Tensor[] {
    const { name } = this.constructor;
    requireTensors(name, { input: x, ...(h && { h }), ...(c && { c }) });
    if ((x.ndim !== 2 && x.ndim !== 1) || x.shape[x.ndim - 1] !== this.inputSize)
      throw inputError(name, 'the shape does not fit', { input: x }, `It is [N, ${this.inputSize}], or without N.`);
    const shape = [...x.shape.slice(0, -1), this.hiddenSize];
    for (const [what, state] of Object.entries({ h, c }))
      if (state && !sameShape(state.shape, shape))
        throw inputError(name, `the state ${what} must be [${shape.join(', ')}]`, { input: x, [what]: state });
    const rows = x.ndim === 2 ? at(x.shape, 0) : 1;
    const wide = (t: Tensor | null) => t && reshape(t, [rows, this.hiddenSize]);
    const { weightIh: ih, weightHh: hh, biasIh, biasHh } = this;
    const input = reshape(x, [1, rows, this.inputSize]);
    const after = recurrence({ cell: this.#cell, x: input, ih, hh, biasIh, biasHh, h: wide(h), c: wide(c) });
    return [after.h, ...(after.c ? [after.c] : [])].map((state) => reshape(state, shape));
  }

  protected override describe(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.biasIh ? '' : ', bias=false'}`;
  }
}

/** One step of `RNN`, as `torch.nn.RNNCell`: `forward(x, h?)`, x [N, inputSize], h [N, hiddenSize] (both also without N) → h after it. */
export class RNNCell extends RecurrentCell<[x: Tensor, h?: Tensor | null], Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions = {}) {
    const table = { bias: is.flag, nonlinearity: word('tanh', 'relu') };
    const given = checked(new.target.name, options, table);
    super(given.nonlinearity ?? 'tanh', inputSize, hiddenSize, given);
  }

  override forward(x: Tensor, h: Tensor | null = null): Tensor {
    return at(this.step(x, h), 0);
  }
}

/** One step of `GRU`, as `torch.nn.GRUCell`; shapes as of `RNNCell`. */
export class GRUCell extends RecurrentCell<[x: Tensor, h?: Tensor | null], Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super('gru', inputSize, hiddenSize, checked(new.target.name, options, { bias: is.flag }));
  }

  override forward(x: Tensor, h: Tensor | null = null): Tensor {
    return at(this.step(x, h), 0);
  }
}

/** One step of `LSTM`, as `torch.nn.LSTMCell`: `forward(x, [h, c]?)` gives `[h, c]` after it; shapes as of `RNNCell`. */
export class LSTMCell extends RecurrentCell<[x: Tensor, state?: LSTMState | null], [h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super('lstm', inputSize, hiddenSize, checked(new.target.name, options, { bias: is.flag }));
  }

  override forward(x: Tensor, state: LSTMState | null = null): [h: Tensor, c: Tensor] {
    requireState(this.constructor.name, state);
    const [h, c] = tuple(this.step(x, state?.[0] ?? null, state?.[1] ?? null), 2);
    return [h, c];
  }
}
