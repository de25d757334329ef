// One layer and direction of a recurrent network. The input's share of the gates is one product over all steps, and so are the gradients of
// the weights. A step is one launch forward and one in the gradient, two each with an LSTM's projection.
import { at, fromEnd, there, tuple } from '../../shaders/checked';
import {
  type Cell,
  gatesOf,
  packRecurrent,
  recurrentStep,
  rowsPerThread,
  type StepName,
  savedOf,
  stepGroups,
} from '../../shaders/recurrent';
import { byDefinition } from '../autograd/backward';
import { recordOutputs } from '../autograd/custom-function';
import { jvp } from '../autograd/forward-mode';
import { needsGradient, sumOf, unrecorded } from '../autograd/tape';
import { device } from '../gpu';
import { bytesOf, type DType } from '../tensor/dtype';
import { contiguous, copy, launchOn } from '../tensor/elementwise';
import { size } from '../tensor/shape';
import { empty, requireFloats, strided, type Tensor } from '../tensor/tensor';
import { expand, filled, place } from '../tensor/views';
import { add, mul, relu, sigmoid, sub, tanh } from './elementwise';
import { chunk, concat, stack } from './join';
import { linear, matmul } from './matmul';
import { mixed, native } from './mixed';
import { sum } from './reduce';
import { reshape, select, transpose } from './views';

export { type Cell, gatesOf } from '../../shaders/recurrent';

/** What a layer computes with: G = 4 gates for LSTM, 3 for GRU, 1 else; H units; a state of P = H numbers, or as many as an LSTM projects to. */
export interface Recurrence {
  cell: Cell;
  /** Input [T, N, I]. */
  x: Tensor;
  /** Weights of the input [G·H, I], gates in PyTorch's order. */
  ih: Tensor;
  /** Recurrent weights [G·H, P]. */
  hh: Tensor;
  /** Biases of both [G·H]; given together. */
  biasIh?: Tensor | null;
  biasHh?: Tensor | null;
  /** Projection of an LSTM's state [P, H]. */
  hr?: Tensor | null;
  /** State before the first step [N, P], zeros by default. */
  h?: Tensor | null;
  /** Of an LSTM also [N, H]. */
  c?: Tensor | null;
  /** From the last time to the first. */
  reverse?: boolean;
}

const TENSORS = ['x', 'ih', 'hh', 'biasIh', 'biasHh', 'hr', 'h', 'c'] as const;

/** The state at all times y [T, N, P], after the last step h [N, P], which is a view of the same memory, and of an LSTM c [N, H]. */
export interface Recurred {
  y: Tensor;
  h: Tensor;
  c: Tensor | null;
}

const zeros = (name: string, shape: readonly number[], dtype: DType = 'float32'): Tensor =>
  filled(name, shape, 0, dtype);
const listed = ({ y, h, c }: Recurred): Tensor[] => (c ? [y, h, c] : [y, h]);

/**
 * The recurrence over all times. Its inputs are floats of one type and of fitting shapes, T and H at least 1: modules see to that. Of halves, what lies
 * there for all times is halves too; sums, an LSTM's c and the gradients that are carried from step to step are float32.
 */
export const recurrence = native('recurrence', function recurrence(given: Recurrence): Recurred {
  const named = TENSORS.flatMap((name) => {
    const x = given[name];
    return x ? [{ name, x }] : [];
  });
  const inputs = named.map(({ x }) => x);
  requireFloats('recurrence', Object.fromEntries(named.map(({ name, x }) => [name, x])), true);
  const isRecorded = needsGradient(...inputs);
  const layer = new Layer(given);
  const result = layer.forward(isRecorded);
  if (!isRecorded) return result;
  const outputs = listed(result);
  const defined = (...own: Tensor[]) =>
    joined(listed(definition({ ...given, ...Object.fromEntries(named.map(({ name }, i) => [name, at(own, i)])) })));
  recordOutputs(layer.name, inputs, outputs, [...inputs, ...layer.saved], {
    pull: (gradients, needs) => {
      const wanted = Object.fromEntries(named.map(({ name }, i) => [name, needs[i]]));
      const found = layer.gradient(gradients, wanted);
      return named.map(({ name }) => found[name]);
    },
    push: (tangents) => {
      const all = tangents.map((t, i) => (t ? asType(t, 'float32') : zeros('jvp', at(inputs, i).shape)));
      const wide = inputs.map((x) => asType(x, 'float32'));
      const { tangent } = jvp(defined, wide, all);
      let first = 0;
      return outputs.map(({ shape }) => {
        const part = strided(tangent, [size(shape)], [1], first);
        first += part.size;
        return reshape(copy(part, given.x.dtype), shape);
      });
    },
    differentiable: (gradients, needs) =>
      byDefinition(inputs, defined)(
        joined(outputs.map(({ shape }, i) => gradients[i] ?? zeros('gradient', shape, given.x.dtype))),
        needs,
      ),
  });
  return result;
});

const asType = (t: Tensor, dtype: DType): Tensor => (t.dtype === dtype ? t : copy(t, dtype));

/** All elements in a row. */
const joined = (tensors: readonly Tensor[]): Tensor => concat(tensors.map((t) => reshape(t, [t.size])));

/** The same in recorded operations, step by step: what it is defined by, and what second derivatives are taken of. */
export function unrolled({ cell, x, ih, hh, biasIh, biasHh, hr, h, c, reverse = false }: Recurrence): Recurred {
  const [times, rows] = tuple(x.shape, 3);
  const [allGates, width] = tuple(hh.shape, 2);
  const gates = linear(x, ih, biasIh ?? null);
  let state = h ?? zeros('state', [rows, width]);
  let inner = c ?? zeros('state', [rows, allGates / gatesOf[cell]]);
  const y: Tensor[] = [];
  for (let i = 0; i < times; i++) {
    const t = reverse ? times - 1 - i : i;
    const a = chunk(select(gates, 0, t), gatesOf[cell], 1);
    const s = chunk(linear(state, hh, biasHh ?? null), gatesOf[cell], 1);
    if (cell === 'lstm') {
      const sums = a.map((part, k) => add(part, at(s, k)));
      const [inGate, forget, candidate, out] = tuple(sums, 4);
      inner = add(mul(sigmoid(forget), inner), mul(sigmoid(inGate), tanh(candidate)));
      state = mul(sigmoid(out), tanh(inner));
      if (hr) state = linear(state, hr);
    } else if (cell === 'gru') {
      const [[ar, az, an], [sr, sz, sn]] = [tuple(a, 3), tuple(s, 3)];
      const r = sigmoid(add(ar, sr));
      const z = sigmoid(add(az, sz));
      const n = tanh(add(an, mul(r, sn)));
      state = add(n, mul(z, sub(state, n)));
    } else state = (cell === 'tanh' ? tanh : relu)(add(at(a, 0), at(s, 0)));
    y[t] = state;
  }
  return { y: stack(y), h: state, c: cell === 'lstm' ? inner : null };
}

/** Halves are computed in float32 on the way. */
const definition = mixed('recurrence', unrolled);

/** A matrix packed for the steps' sums over k. `perUnit`: quads are the gates of a unit, else four columns. */
function packed(w: Tensor, over: 'rows' | 'columns', biases: readonly Tensor[] = [], gates = 1): Tensor {
  const [rows, columns] = tuple(w.shape, 2);
  const perUnit = gates > 1;
  const [k, count] = over === 'columns' ? [columns, rows / gates] : [rows, columns];
  const quads = perUnit ? count : Math.ceil(count / 4);
  const out = empty('recurrent', [4 * Math.ceil(k / 4) + 1, quads, 4], w.dtype);
  const [rowStride, step] = over === 'columns' ? [1, columns] : [columns, 1];
  const strides = perUnit ? [step, count * step, 0, gates] : [4 * step, step, 4, count];
  const constants = [out.size / 4, k, quads, rowStride, ...strides];
  launchOn(packRecurrent(biases.length), [...[w, ...biases].map(contiguous), out], constants, out.size / 4);
  return out;
}

/** Where a step reads and writes; PARAMS of the kernels. */
interface At {
  k: number;
  units: number;
  aRow: number;
  aAt: number;
  outAt: number;
  t: number;
  savedAt?: number;
}

class Layer {
  readonly name: string;
  readonly #o: Recurrence;
  readonly #times: number;
  readonly #rows: number;
  /** Units, numbers of the state, of all gates. */
  readonly #units: number;
  readonly #width: number;
  readonly #gates: number;
  /**
   * The states before the first step and at all times, side by side in the order of time, so that the states before each step lie in one piece
   * too. Those that are the result begin at #base, where kernels can bind them.
   */
  readonly #states: Tensor;
  readonly #base: number;
  /** What the gradient reads, for all times, or where there will be none for one. */
  #kept: Tensor | null = null;
  /** An LSTM's state before its projection. */
  #inner: Tensor | null = null;

  /** The input, which kernels can bind. */
  readonly #x: Tensor;

  constructor(o: Recurrence) {
    const { cell, x, hh, reverse } = o;
    this.#o = o;
    this.name = gatesOf[cell] > 1 ? cell : 'rnn';
    this.#x = contiguous(x);
    [this.#times, this.#rows] = tuple(x.shape, 3);
    [this.#gates, this.#width] = tuple(hh.shape, 2);
    this.#units = this.#gates / gatesOf[cell];
    const align = device().limits.minStorageBufferOffsetAlignment / bytesOf(x.dtype);
    this.#base = reverse ? 0 : align * Math.ceil(this.#slot / align);
    this.#states = empty(this.name, [this.#base + (this.#times + (reverse ? 1 : 0)) * this.#slot], x.dtype);
  }

  get #slot(): number {
    return this.#rows * this.#width;
  }

  /** Saved for the gradient, beside the inputs. */
  get saved(): Tensor[] {
    return [this.#x, this.#states, this.#kept, this.#inner].filter((t) => t !== null);
  }

  /** The times in the order of the steps. */
  get #order(): number[] {
    const times = Array.from({ length: this.#times }, (_, t) => t);
    return this.#o.reverse ? times.reverse() : times;
  }

  /** Where the state at a time lies, and the one before its step. */
  readonly #at = (t: number) => this.#base + t * this.#slot;
  readonly #before = (t: number) => this.#at(this.#o.reverse ? t + 1 : t - 1);

  #launch(step: StepName, weights: Tensor, where: At, others: readonly Tensor[]): void {
    const { target } = device();
    const quads = at(weights.shape, 1);
    const { k, units, aRow, aAt, outAt, t, savedAt = 0 } = where;
    const constants = [this.#rows, k, units, quads, aRow, aAt, outAt, t, savedAt, 0, 0, 0];
    const kernel = recurrentStep(target, step, rowsPerThread(target, this.#rows, quads));
    launchOn(kernel, [weights, ...others], constants, stepGroups(target, this.#rows, quads));
  }

  forward(keep: boolean): Recurred {
    const { cell, ih, hh, biasIh = null, biasHh = null, hr, h, c } = this.#o;
    const { name } = this;
    const { dtype } = this.#x;
    const [rows, units, width, states] = [this.#rows, this.#units, this.#width, this.#states];
    // GRU's recurrent bias stands inside of a product; elsewhere both biases are one.
    const apart = cell === 'gru';
    const biases = [apart ? null : biasIh, biasHh].filter((b) => b !== null);
    const gates = unrecorded(name, () => linear(this.#x, ih, apart ? biasIh : null));
    const order = this.#order;
    const times = keep ? this.#times : 1;
    const first = strided(states, [rows, width], [width, 1], this.#before(at(order, 0)));
    place(first, h ?? expand(zeros(name, [1, 1], dtype), first.shape));
    const inner = cell === 'lstm' ? (c ? copy(c, 'float32') : zeros(name, [rows, units])) : null;
    if (savedOf[cell]) this.#kept = empty(name, [times, rows, savedOf[cell], units], dtype);
    const weights = packed(hh, 'columns', biases, gatesOf[cell]);
    const projection = hr && { weights: packed(hr, 'columns'), inner: empty(name, [times, rows, units], dtype) };
    this.#inner = projection?.inner ?? null;
    order.forEach((t, i) => {
      const kept = keep ? t : 0;
      const where = {
        k: i === 0 && !h ? 0 : width,
        units,
        aRow: width,
        aAt: this.#before(t),
        outAt: projection ? kept * rows * units : this.#at(t),
        t,
        savedAt: kept * rows * savedOf[cell] * units,
      };
      const buffers = [gates, inner, this.#kept, projection?.inner ?? states].filter((b) => b !== null);
      if (!projection) this.#launch(cell, weights, where, buffers);
      else {
        this.#launch('lstmProjected', weights, where, [states, ...buffers]);
        const project = { k: units, units: width, aRow: units, aAt: where.outAt, outAt: this.#at(t), t };
        this.#launch('project', projection.weights, project, [projection.inner, states]);
      }
    });
    for (const done of [gates, weights, projection?.weights]) done?.dispose();
    return {
      y: strided(states, [this.#times, rows, width], [rows * width, width, 1], this.#base),
      h: strided(states, [rows, width], [width, 1], this.#at(fromEnd(order, 1))),
      c: inner && asType(inner, dtype),
    };
  }

  /** Gradients of the inputs that need one, from those of y, h and c. */
  gradient(
    [gy, gh, gc]: readonly (Tensor | undefined)[],
    needs: Partial<Record<(typeof TENSORS)[number], boolean>>,
  ): Partial<Record<(typeof TENSORS)[number], Tensor | false>> {
    const { cell, x, ih, hh, hr } = this.#o;
    const { name } = this;
    const { dtype } = x;
    const [times, rows, units, width, count] = [this.#times, this.#rows, this.#units, this.#width, this.#gates];
    const order = this.#order;
    const dy = gy ? contiguous(gy) : zeros(name, [times, rows, width], dtype);
    const carry = gh ? copy(gh, 'float32') : zeros(name, [rows, width]);
    // Only an LSTM is projected or has a c: with those dcell and #inner are there.
    const dcell = cell === 'lstm' ? (gc ? copy(gc, 'float32') : zeros(name, [rows, units])) : null;
    const dgates = empty(name, [times, rows, count], dtype);
    const dinput = cell === 'gru' ? empty(name, [times, rows, count], dtype) : null;
    const weights = packed(hh, 'rows');
    const projection = hr
      ? { weights: packed(hr, 'rows'), dstates: empty(name, [times, rows, width], dtype) }
      : undefined;
    const saved = this.#kept ?? this.#states;
    for (let i = times - 1; i >= 0; i--) {
      const t = at(order, i);
      const last = i === times - 1;
      const where = {
        k: last ? 0 : count,
        units,
        aRow: count,
        aAt: last ? 0 : at(order, i + 1) * rows * count,
        outAt: t * rows * count,
        t,
        savedAt: this.#kept ? t * rows * savedOf[cell] * units : this.#at(t),
      };
      const buffers = [dy, saved, carry, dcell, dinput, dgates].filter((b) => b !== null);
      if (!projection) this.#launch(`${cell}Gradient`, weights, where, buffers);
      else {
        const { dstates } = projection;
        this.#launch('add', weights, { ...where, units: width, outAt: t * this.#slot }, [dgates, dy, carry, dstates]);
        const inner = { ...where, k: width, aRow: width, aAt: t * this.#slot };
        const others = [dstates, saved, there(dcell, 'dcell'), dgates];
        this.#launch('lstmProjectedGradient', projection.weights, inner, others);
      }
    }
    const over = (t: Tensor): Tensor => reshape(t, [times * rows, at(t.shape, 2)]);
    const dinputs = over(dinput ?? dgates);
    const start = this.#o.reverse ? this.#slot : this.#before(0);
    const before = strided(this.#states, [times * rows, width], [width, 1], start);
    const first = strided(dgates, [rows, count], [count, 1], at(order, 0) * rows * count);
    const back = () => matmul(first, hh);
    const dbias = (needs.biasHh || (needs.biasIh && !dinput)) && sum(over(dgates), 0);
    return {
      x: needs.x && reshape(matmul(dinputs, ih), x.shape),
      ih: needs.ih && matmul(transpose(dinputs), over(this.#x)),
      hh: needs.hh && matmul(transpose(over(dgates)), before),
      biasIh: needs.biasIh && (dinput ? sum(dinputs, 0) : dbias),
      biasHh: needs.biasHh && dbias,
      hr: needs.hr && projection && matmul(transpose(over(projection.dstates)), over(there(this.#inner, 'inner'))),
      h: needs.h && (cell === 'gru' ? sumOf(back(), asType(carry, dtype)) : back()),
      c: needs.c && asType(there(dcell, 'dcell'), dtype),
    };
  }
}
