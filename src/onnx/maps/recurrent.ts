// Recurrent layers, and the residual step of mean-field networks.
import { at } from '../../../shaders/checked';
import { type Recurred, type Recurrence, type recurrence, unrolled } from '../../ops/recurrent';
import { zeros } from '../../tensor/create';
import type { Tensor } from '../../tensor/tensor';
import type { Draft } from '../draft';
import { type Instead, insteadOf, type Mappings, of, whole } from './mapping';

/** ONNX's operators, and their gates by the places that they have here. */
const CELLS: Readonly<Record<string, { op: string; gates: readonly number[] }>> = {
  lstm: { op: 'LSTM', gates: [0, 3, 1, 2] }, // here i, f, c, o; there i, o, f, c
  gru: { op: 'GRU', gates: [1, 0, 2] }, // here r, z, n; there z, r, n
  tanh: { op: 'RNN', gates: [0] },
  relu: { op: 'RNN', gates: [0] },
};

/** Rows by gates in ONNX's order, with a dimension for the direction in front. */
function arranged(e: Draft, x: string, rows: number, gates: readonly number[]): string {
  const front = (value: string) => e.node('Unsqueeze', [value, whole(e, [0])]);
  if (gates.length === 1) return front(x);
  const each = rows / gates.length;
  const sizes = whole(
    e,
    gates.map(() => each),
  );
  const parts = e.several('Split', [x, sizes], { axis: 0 }, gates.length);
  const inOrder = gates.map((gate) => at(parts, gate));
  return front(e.node('Concat', inOrder, { axis: 0 }));
}

const layer = of<typeof recurrence>((e, result: Recurred, given: Recurrence) => {
  const { cell, x, ih, hh, biasIh, biasHh, h, c, reverse } = given;
  const { op, gates } = CELLS[cell] ?? { op: 'RNN', gates: [0] };
  const rows = at(hh.shape, 0);
  const hidden = at(hh.shape, 1);
  const weight = (t: Tensor) => arranged(e, e.of(t), rows, gates);
  const bias = biasIh && biasHh ? e.node('Concat', [weight(biasIh), weight(biasHh)], { axis: 1 }) : null;
  const state = (t: Tensor | null | undefined) => (t ? e.node('Unsqueeze', [e.of(t), whole(e, [0])]) : null);
  const inputs = [e.of(x), weight(ih), weight(hh), bias, null, state(h), ...(cell === 'lstm' ? [state(c)] : [])];
  const attributes = {
    hidden_size: hidden,
    direction: reverse ? 'reverse' : 'forward',
    ...(cell === 'gru' && { linear_before_reset: 1 }),
    ...(cell === 'relu' && { activations: { texts: ['Relu'] } }),
  };
  const [y = '', last = '', inner = ''] = e.several(op, inputs, attributes, result.c ? 3 : 2);
  const squeezed = [e.node('Squeeze', [y, whole(e, [1])]), e.node('Squeeze', [last, whole(e, [0])])];
  return result.c ? [...squeezed, e.node('Squeeze', [inner, whole(e, [0])])] : squeezed;
});

export const recurrent: Mappings = {
  recurrence: layer,
  /** x + (τ_l − τ_{l−1})·f: the times as they are learned. */
  residualStep: of<(x: Tensor, f: Tensor, tau: Tensor, l: number) => Tensor>((e, _, x, f, tau, l) => {
    const time = (i: number) => e.node('Gather', [e.of(tau), e.data('int64', [], [i])], { axis: 0 });
    const length = l ? e.node('Sub', [time(l), time(l - 1)]) : time(0);
    return e.node('Add', [e.of(x), e.node('Mul', [e.of(f), length])]);
  }),
};

/** An LSTM with a projection, which ONNX has not: step by step, so that the number of steps is fixed. */
function projected(given: Recurrence): Recurred {
  const { x, hh, h, c } = given;
  const [rows, width, units] = [at(x.shape, 1), at(hh.shape, 1), at(hh.shape, 0) / 4];
  return unrolled({ ...given, h: h ?? zeros([rows, width]), c: c ?? zeros([rows, units]) });
}

export const insteadOfRecurrent: Readonly<Record<string, Instead>> = {
  recurrence: insteadOf<typeof recurrence>((_, given) => (given.hr ? () => projected(given) : null)),
};
