// Recurrent networks over sequences: RNN, LSTM and GRU, of several layers and in both directions.
import { at, tuple } from '../../shaders/checked';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { dropout as drop } from '../ops/dropout';
import { concat, stack } from '../ops/join';
import { type Cell, gatesOf, recurrence } from '../ops/recurrent';
import { select, transpose, unsqueeze } from '../ops/views';
import { inputError } from '../tensor/context';
import { sameShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import * as init from './init';
import { Module } from './module';
import { Parameter } from './parameter';
import { redraw } from './reset';

/** Options of all recurrent layers. */
export interface RecurrentOptions {
  /** Layers on top of each other (default 1). */
  numLayers?: number;
  /** Whether there are biases (default true). */
  bias?: boolean;
  /** Sequences are [N, T, features] instead of [T, N, features]; states stay as they are. */
  batchFirst?: boolean;
  /** Probability of dropout between layers in training (default 0). */
  dropout?: number;
  /** A second direction, from the last time to the first; outputs lie beside each other (default false). */
  bidirectional?: boolean;
}

/** Options of `nn.RNN`. */
export interface RNNOptions extends RecurrentOptions {
  /** 'tanh' by default. */
  nonlinearity?: 'tanh' | 'relu';
}

/** Options of `nn.LSTM`. */
export interface LSTMOptions extends RecurrentOptions {
  /** Numbers that the state h is projected to, fewer than hiddenSize; 0, the default, is none. */
  projSize?: number;
}

const SHARED: OptionTable<RecurrentOptions> = {
  numLayers: is.number,
  bias: is.flag,
  batchFirst: is.flag,
  dropout: is.number,
  bidirectional: is.flag,
};
const RNN_OPTIONS: OptionTable<RNNOptions> = { ...SHARED, nonlinearity: word('tanh', 'relu') };
const LSTM_OPTIONS: OptionTable<LSTMOptions> = { ...SHARED, projSize: is.number };

/** A new parameter of a layer with so many units: uniform in ±1/√units, as in PyTorch. */
export function uniform(shape: readonly number[], units: number): Parameter {
  const bound = 1 / Math.sqrt(units);
  return new Parameter(init.uniform(shape, -bound, bound));
}

/** Refuses sizes that are no positive integers. */
export function requireSizes(name: string, sizes: Readonly<Record<string, number>>): void {
  for (const [what, n] of Object.entries(sizes))
    if (!(Number.isInteger(n) && n > 0)) throw inputError(name, `${what} is ${n}`, {}, 'Use a positive integer.');
}

/** What the layers share: parameters by PyTorch's names, `weight_ih_l0`, `bias_hh_l1_reverse` …, and the walk over layers. */
abstract class RecurrentLayers<In extends readonly unknown[], Out> extends Module<In, Out> {
  [weight: `weight_${string}`]: Parameter;
  [bias: `bias_${string}`]: Parameter;
  readonly #cell: Cell;
  readonly #options: Readonly<Required<RecurrentOptions>>;
  readonly #projSize: number;

  constructor(
    cell: Cell,
    /** Features of the input at each time step. */
    readonly inputSize: number,
    /** Features of the state of each layer and direction. */
    readonly hiddenSize: number,
    /** As they were given, without defaults. */
    readonly options: RNNOptions & LSTMOptions,
  ) {
    super();
    const { projSize = 0 } = options;
    const { numLayers = 1, bias = true, batchFirst = false, dropout = 0, bidirectional = false } = options;
    const { name } = this.constructor;
    requireSizes(name, { inputSize, hiddenSize, numLayers });
    if (!(dropout >= 0 && dropout <= 1)) throw inputError(name, `dropout is ${dropout}`, {}, 'Use a probability.');
    if (!(Number.isInteger(projSize) && projSize >= 0 && projSize < hiddenSize))
      throw inputError(name, `projSize is ${projSize}`, {}, `Use an integer below hiddenSize, which is ${hiddenSize}.`);
    this.#cell = cell;
    this.#options = { numLayers, bias, batchFirst, dropout, bidirectional };
    this.#projSize = projSize;
    const rows = gatesOf[cell] * hiddenSize;
    for (const { suffix, layer } of this.#passes()) {
      const inputs = layer ? this.#width * this.#directions : inputSize;
      const made = (shape: number[]) => uniform(shape, hiddenSize);
      this[`weight_ih${suffix}`] = made([rows, inputs]);
      this[`weight_hh${suffix}`] = made([rows, this.#width]);
      if (bias) {
        this[`bias_ih${suffix}`] = made([rows]);
        this[`bias_hh${suffix}`] = made([rows]);
      }
      if (projSize) this[`weight_hr${suffix}`] = made([projSize, hiddenSize]);
    }
  }

  /** Draws weights and biases again as they were at the start, in place, as PyTorch's `reset_parameters`. */
  resetParameters(): void {
    redraw(this.parameters(), 1 / Math.sqrt(this.hiddenSize));
  }

  /** Numbers of the state h. */
  get #width(): number {
    return this.#projSize || this.hiddenSize;
  }

  get #directions(): number {
    return this.#options.bidirectional ? 2 : 1;
  }

  /** Layers and directions in PyTorch's order. */
  #passes(): { layer: number; reverse: boolean; suffix: string }[] {
    return Array.from({ length: this.#options.numLayers * this.#directions }, (_, i) => {
      const layer = Math.floor(i / this.#directions);
      const reverse = i % this.#directions === 1;
      return { layer, reverse, suffix: `_l${layer}${reverse ? '_reverse' : ''}` };
    });
  }

  /** All layers: y [T, N, D·P] (or [N, T, …], or [T, …] of one sequence), and the last states, h and c of an LSTM, [layers · D, N, …]. */
  protected run(x: Tensor, h: Tensor | null, c: Tensor | null): { y: Tensor; states: Tensor[] } {
    const { batchFirst, dropout, numLayers } = this.#options;
    this.#check(x, h, c);
    const isOne = x.ndim === 2;
    const wide = (t: Tensor) => (isOne ? unsqueeze(t, 1) : t);
    const inTime = (t: Tensor) => (batchFirst && !isOne ? transpose(t, 0, 1) : t);
    const passes = this.#passes();
    const states: { h: Tensor[]; c: Tensor[] } = { h: [], c: [] };
    let y = inTime(wide(x));
    for (let layer = 0; layer < numLayers; layer++) {
      const outputs = passes.flatMap(({ layer: own, reverse, suffix }, i) => {
        if (own !== layer) return [];
        const result = recurrence({
          cell: this.#cell,
          x: y,
          ih: this[`weight_ih${suffix}`] as Parameter,
          hh: this[`weight_hh${suffix}`] as Parameter,
          biasIh: this[`bias_ih${suffix}`],
          biasHh: this[`bias_hh${suffix}`],
          hr: this[`weight_hr${suffix}`],
          h: h && select(wide(h), 0, i),
          c: c && select(wide(c), 0, i),
          reverse,
        });
        states.h.push(result.h);
        if (result.c) states.c.push(result.c);
        return [result.y];
      });
      y = outputs.length > 1 ? concat(outputs, 2) : at(outputs, 0);
      if (layer < numLayers - 1) y = drop(y, { p: dropout, training: this.training });
    }
    const last = (list: Tensor[]) => (isOne ? select(stack(list), 1, 0) : stack(list));
    const all = [states.h, states.c].filter((list) => list.length).map(last);
    return { y: isOne ? select(y, 1, 0) : inTime(y), states: all };
  }

  #check(x: Tensor, h: Tensor | null, c: Tensor | null): void {
    const { name } = this.constructor;
    requireTensors(name, { input: x, ...(h && { h }), ...(c && { c }) });
    const layout = this.#options.batchFirst ? '[N, T, features]' : '[T, N, features]';
    if (x.ndim !== 3 && x.ndim !== 2)
      throw inputError(name, `${x.ndim} dimensions`, { input: x }, `Sequences are ${layout}, or one [T, features].`);
    if (x.shape[x.ndim - 1] !== this.inputSize)
      throw inputError(name, `the last dimension must be inputSize ${this.inputSize}`, { input: x });
    const isOne = x.ndim === 2;
    const timeFirst = isOne || !this.#options.batchFirst;
    const [time, batch] = timeFirst ? [0, 1] : [1, 0];
    if (x.shape[time] === 0) throw inputError(name, 'the sequence has no time steps', { input: x });
    const rows = isOne ? [] : [at(x.shape, batch)];
    const states = { h: [h, this.#width], c: [c, this.hiddenSize] } as const;
    for (const [what, [state, width]] of Object.entries(states)) {
      const shape = [this.#options.numLayers * this.#directions, ...rows, width];
      if (state && !sameShape(state.shape, shape))
        throw inputError(
          name,
          `the state ${what} must be [${shape.join(', ')}]`,
          { input: x, [what]: state },
          `That is [layers${this.#directions > 1 ? ' · 2' : ''}${isOne ? '' : ', N'}, ${what === 'h' && this.#projSize ? 'projSize' : 'hiddenSize'}], also with batchFirst.`,
        );
    }
  }

  protected override describe(): string {
    const { numLayers, bias, batchFirst, dropout, bidirectional } = this.#options;
    const more = {
      ...(numLayers > 1 && { numLayers }),
      ...(!bias && { bias }),
      ...(batchFirst && { batchFirst }),
      ...(dropout && { dropout }),
      ...(bidirectional && { bidirectional }),
      ...(this.#projSize && { projSize: this.#projSize }),
    };
    const shown = Object.entries(more).map(([name, value]) => `, ${name}=${value}`);
    return `${this.inputSize}, ${this.hiddenSize}${shown.join('')}`;
  }
}

/**
 * Elman network, as `torch.nn.RNN`: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t−1) + b_hh), or ReLU. `forward(x, h0?)` gives `[y, hn]`: x
 * [T, N, inputSize] (with `batchFirst` [N, T, …], or one sequence [T, …]) → y [T, N, D · hiddenSize], states h0, hn
 * [numLayers · D, N, hiddenSize] with D = 2 directions where `bidirectional`, else 1; h0 is zeros by default.
 */
export class RNN extends RecurrentLayers<[x: Tensor, h0?: Tensor | null], [y: Tensor, hn: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const given = checked(new.target.name, options, RNN_OPTIONS);
    super(given.nonlinearity ?? 'tanh', inputSize, hiddenSize, given);
  }

  override forward(x: Tensor, h0: Tensor | null = null): [y: Tensor, hn: Tensor] {
    const { y, states } = this.run(x, h0, null);
    return [y, at(states, 0)];
  }
}

/**
 * Gated recurrent units, as `torch.nn.GRU`: r, z = σ(W x_t + b + U h_(t−1) + d) each, n = tanh(W_n x_t + b_n + r · (U_n h_(t−1) + d_n)),
 * h_t = (1 − z) · n + z · h_(t−1). `forward(x, h0?)` gives `[y, hn]`; shapes as of `RNN`.
 */
export class GRU extends RecurrentLayers<[x: Tensor, h0?: Tensor | null], [y: Tensor, hn: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super('gru', inputSize, hiddenSize, checked(new.target.name, options, SHARED));
  }

  override forward(x: Tensor, h0: Tensor | null = null): [y: Tensor, hn: Tensor] {
    const { y, states } = this.run(x, h0, null);
    return [y, at(states, 0)];
  }
}

/** The state of an LSTM: h and c. */
export type LSTMState = readonly [h: Tensor, c: Tensor];

/**
 * Long short-term memory, as `torch.nn.LSTM`: i, f, o = σ(…), g = tanh(…), c_t = f · c_(t−1) + i · g, h_t = o · tanh(c_t).
 * `forward(x, [h0, c0]?)` gives `[y, [hn, cn]]`; shapes as of `RNN`. With `projSize` h_t is multiplied with a matrix [projSize, hiddenSize], and y
 * and hn end in projSize.
 */
export class LSTM extends RecurrentLayers<
  [x: Tensor, state?: LSTMState | null],
  [y: Tensor, state: [hn: Tensor, cn: Tensor]]
> {
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    super('lstm', inputSize, hiddenSize, checked(new.target.name, options, LSTM_OPTIONS));
  }

  override forward(x: Tensor, state: LSTMState | null = null): [y: Tensor, state: [hn: Tensor, cn: Tensor]] {
    requireState(this.constructor.name, state);
    const { y, states } = this.run(x, state?.[0] ?? null, state?.[1] ?? null);
    const [h, c] = tuple(states, 2);
    return [y, [h, c]];
  }
}

/** Refuses what is no pair of h and c. */
export function requireState(name: string, state: LSTMState | null): void {
  if (state && !(Array.isArray(state) && state.length === 2))
    throw inputError(name, 'the state is no pair', {}, 'Give [h, c], as forward returns it.');
}
