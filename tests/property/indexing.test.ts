// Random views, joins, padding, gathers, scatters and sorts.
import fc from 'fast-check';
import { test } from 'uvu';
import * as F from '../../src/nn/functional';
import { gather, oneHot } from '../../src/ops/gather';
import { indexSelect } from '../../src/ops/index-select';
import { scatterAdd } from '../../src/ops/scatter';
import { sort, topk } from '../../src/ops/sort';
import { tensor } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import { type Case, code, property, shapes, within } from './cases';
import { flat, linesOf, type Nd, type Node, positions, type Tape } from './tape';

useGpu();

/** A rearrangement: `from` gives the position in x of an element of the result, null for 1.5; without it all stay in order. */
interface Move {
  run: (x: Tensor) => Tensor;
  to: Shape;
  from?: (index: readonly number[]) => readonly number[] | null;
}

const padModes = ['constant', 'reflect', 'symmetric', 'edge', 'wrap'] as const;

/** Where position c, counted from the start of the unpadded line of n elements, comes from; null for the fill. */
function padded(mode: (typeof padModes)[number], c: number, n: number): number | null {
  if (c >= 0 && c < n) return c;
  if (mode === 'constant') return null;
  if (mode === 'reflect') return c < 0 ? -c : 2 * (n - 1) - c;
  if (mode === 'symmetric') return c < 0 ? -c - 1 : 2 * n - 1 - c;
  return mode === 'edge' ? (c < 0 ? 0 : n - 1) : (c + n) % n;
}

const only = <T>(shape: Shape, axis: number, value: T, other: T): T[] =>
  shape.map((_, d) => (d === axis ? value : other));

/** What a kind of move does to a tensor of some shape; null where it does nothing there. `n` is the size along `axis`. */
type Maker = (shape: Shape, axis: number, n: number, a: number, b: number, order: number[]) => Move | null;
const moves: Record<string, Maker> = {
  flatten: (shape) => ({ run: (x) => F.reshape(x, [size(shape)]), to: [size(shape)] }),
  insert: (shape, axis) => {
    const to = shape.toSpliced(axis, 0, 1);
    return { run: (x) => F.reshape(x, to), to };
  },
  permute: (shape, _axis, _n, _a, _b, order) => ({
    run: (x) => F.permute(x, order),
    to: order.map((d) => shape[d]),
    from: (index) => shape.map((_, d) => index[order.indexOf(d)]),
  }),
  flip: (shape, _axis, _n, a, _b, order) => {
    const axes = order.slice(0, 1 + (a % shape.length));
    const from = (index: readonly number[]) => index.map((c, d) => (axes.includes(d) ? shape[d] - 1 - c : c));
    return { run: (x) => F.flip(x, axes), to: shape, from };
  },
  slice: (shape, axis, n, a, b) => {
    if (!n) return null;
    const step = [1, 2, 3, -1, -2][b % 5];
    const start = a % n;
    const count = within(a >> 4, 0, step > 0 ? Math.ceil((n - start) / step) : Math.floor(start / -step) + 1);
    const stop = start + count * step;
    const range = { start, stop: stop < 0 ? undefined : stop, step };
    return {
      run: (x) => F.slice(x, only<typeof range | null>(shape, axis, range, null)),
      to: shape.with(axis, count),
      from: (index) => index.with(axis, start + index[axis] * step),
    };
  },
  tile: (shape, _axis, _n, a) => {
    const repeats = shape.map((_, d) => [1, 1, 2, 3][(a >> (2 * d)) & 3]);
    if (size(shape) * size(repeats) > 6000) return null;
    const to = shape.map((m, d) => m * repeats[d]);
    return { run: (x) => F.tile(x, repeats), to, from: (index) => index.map((c, d) => c % shape[d]) };
  },
  pad: (shape, axis, n, a, b) => {
    if (!n) return null;
    const mode = padModes[b % 5];
    const most = Math.min(5, mode === 'reflect' ? n - 1 : mode === 'symmetric' || mode === 'wrap' ? n : 5);
    const [before, after] = [within(a, 0, most), within(a >> 4, 0, most)];
    return {
      run: (x) => F.pad(x, only<[number, number]>(shape, axis, [before, after], [0, 0]), { mode, value: 1.5 }),
      to: shape.with(axis, before + n + after),
      from: (index) => {
        const c = padded(mode, index[axis] - before, n);
        return c === null ? null : index.with(axis, c);
      },
    };
  },
  position: (shape, axis, n, a) => {
    if (!n) return null;
    const at = within(a, -n, n - 1);
    return {
      run: (x) => F.slice(x, only<number | null>(shape, axis, at, null)),
      to: shape.toSpliced(axis, 1),
      from: (index) => index.toSpliced(axis, 0, (at + n) % n),
    };
  },
  'split and concat': (shape, axis, n, a) => {
    const first = within(a, 0, n);
    const from = (c: number) => (c < n - first ? first + c : c < n ? c - (n - first) : first + c - n);
    return {
      run: (x) => {
        const [head, tail] = F.split(x, [first, n - first], axis);
        return F.concat([tail, head, tail], axis);
      },
      to: shape.with(axis, n + n - first),
      from: (index) => index.with(axis, from(index[axis])),
    };
  },
  stack: (shape, _axis, _n, a) => {
    const at = a % (shape.length + 1);
    return {
      run: (x) => F.stack([x, x], at),
      to: shape.toSpliced(at, 0, 2),
      from: (index) => index.toSpliced(at, 1),
    };
  },
};

const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 7 });
const move = fc.record({ kind: fc.constantFrom(...Object.keys(moves)), axis: code, a: code, b: code, order });
const chain = { shape: shapes(400), chain: fc.array(move, { minLength: 1, maxLength: 4 }) };
property('chains of views', 280, chain, async ({ shape, chain }, c) => {
  const made: Move[] = [];
  let now: Shape = shape;
  for (const { kind, axis, a, b, order } of chain) {
    const rank = now.length;
    if (rank > 6 || size(now) > 4000 || (!rank && !['flatten', 'insert', 'stack'].includes(kind))) continue;
    const at = rank ? axis % rank : 0;
    const next = moves[kind](
      now,
      at,
      now[at],
      a,
      b,
      order.filter((d) => d < rank),
    );
    if (!next) continue;
    made.push(next);
    now = next.to;
  }
  const step = (tape: Tape, x: Nd, { to, from }: Move): Nd =>
    from ? tape.pick(x, to, from, 1.5) : { shape: to, nodes: x.nodes };
  await c.agree(
    [c.input(shape)],
    (x) => made.reduce((y, { run }) => run(y), x),
    (tape, x) => made.reduce((y, next) => step(tape, y, next), x),
    1e-6,
  );
});

/** Random positions of a dimension of n, as a tensor. */
function indexOf(c: Case, shape: Shape, n: number): { list: number[]; index: Tensor } {
  const list = Array.from({ length: size(shape) }, () => c.int(0, n - 1));
  return { list, index: tensor(Int32Array.from(list), { shape }) };
}

const gatherDraws = {
  kind: fc.constantFrom('gather', 'indexSelect', 'scatterAdd', 'oneHot'),
  shape: shapes(1200, { rank: 3, least: 1, empty: false }),
  axis: fc.nat(2),
  count: fc.nat(90),
  smaller: code,
};
property('gather, indexSelect, scatterAdd, oneHot', 170, gatherDraws, async (drawn, c) => {
  const { kind, shape, count, smaller } = drawn;
  const axis = drawn.axis % shape.length;
  const n = shape[axis];
  const x = c.input(shape);
  if (kind === 'oneHot') {
    const { list, index } = indexOf(c, shape, 7);
    const want = list.flatMap((label) => Array.from({ length: 7 }, (_, k) => Number(k === label)));
    return close(await oneHot(c.disguise(index), 7).data(), want, 0);
  }
  if (kind === 'indexSelect') {
    const { list, index } = indexOf(c, [count], n);
    const from = (at: readonly number[]) => at.with(axis, list[at[axis]]);
    return c.agree(
      [x],
      (a) => indexSelect(a, axis, index),
      (tape, a) => tape.pick(a, shape.with(axis, count), from),
    );
  }
  const part = shape.map((m) => within(smaller, 1, m)).with(axis, count % 41);
  const { list, index } = indexOf(c, part, n);
  const target = (at: readonly number[]) => at.with(axis, list[flat(part, at)]);
  if (kind === 'gather')
    return c.agree(
      [x],
      (a) => gather(a, axis, c.disguise(index, 1)),
      (tape, a) => tape.pick(a, part, target),
    );
  await c.agree(
    [x, c.input(part)],
    (a, source) => scatterAdd(a, axis, c.disguise(index, 2), source),
    (tape, a, source) => {
      const sums = a.nodes.map((node): Node[] => [node]);
      for (const [k, at] of positions(part).entries()) sums[flat(shape, target(at))].push(source.nodes[k]);
      return { shape, nodes: sums.map((nodes) => tape.dot(nodes)) };
    },
  );
});

const sortDraws = {
  // Some long enough for a network instead of ranks.
  shape: fc.oneof(
    { weight: 15, arbitrary: shapes(800, { rank: 3, least: 1 }) },
    { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1025, max: 1500 })) },
  ),
  axis: fc.nat(2),
  descending: fc.boolean(),
  whole: fc.boolean(),
  count: fc.nat(0xffff),
  ties: fc.constantFrom(false, false, true), // they keep their order
};
property('sort and topk', 110, sortDraws, async ({ shape, descending, whole, count, ties, ...drawn }, c) => {
  const axis = shape[1] > 1024 ? 1 : drawn.axis % shape.length;
  const n = shape[axis];
  const k = whole ? n : within(count, 0, n);
  const x = c.apart(shape);
  if (ties) x.values = x.values.map((v) => Math.round(v));
  const sign = descending ? -1 : 1;
  const orders = new Array<number>(x.values.length);
  for (const line of linesOf(shape, axis)) {
    const v = line.map((p) => x.values[p]);
    const order = [...v.keys()].sort((i, j) => sign * (v[i] - v[j]) || i - j);
    for (const [rank, i] of order.entries()) orders[line[rank]] = i;
  }
  const to = shape.with(axis, k);
  const from = (at: readonly number[]) => orders[flat(shape, at)];
  let indices: Tensor | undefined;
  await c.agree(
    [x],
    (a) => {
      const found =
        k === n && n % 2 ? sort(a, { dim: axis, descending }) : topk(a, k, { dim: axis, largest: descending });
      ({ indices } = found);
      return found.values;
    },
    (tape, a) => tape.pick(a, to, (at) => at.with(axis, from(at))),
    1e-6,
  );
  close(await indices!.data(), positions(to).map(from), 0, 'positions');
});

test.run();
