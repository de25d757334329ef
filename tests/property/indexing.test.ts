// Random views, joins, padding, gathers, scatters and sorts.
import { test } from 'uvu';
import '../../src/ops/methods';
import { gather, oneHot } from '../../src/ops/gather';
import { indexSelect } from '../../src/ops/index-select';
import * as joins from '../../src/ops/join';
import { pad } from '../../src/ops/pad';
import { scatterAdd } from '../../src/ops/scatter';
import { sort, topk } from '../../src/ops/sort';
import * as views from '../../src/ops/views';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, useGpu } from '../util';
import type { Random } from './cases';
import { agree, property } from './cases';
import type { Nd } from './tape';
import { positions, Tape } from './tape';

useGpu();

interface Move {
  what: string;
  run: (x: Tensor) => Tensor;
  reference: (tape: Tape, x: Nd) => Nd;
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

/** A random rearrangement of a tensor of the given shape. */
function move(random: Random, shape: readonly number[]): Move {
  const rank = shape.length;
  const axis = rank ? random.int(0, rank - 1) : 0;
  const reshaped = (to: readonly number[]): Move => ({
    what: `reshape [${to}]`,
    run: (x) => views.reshape(x, to),
    reference: (_, x) => ({ shape: to, nodes: x.nodes }),
  });
  const n = shape[axis];
  switch (rank ? random.int(0, 8) : random.pick([0, 8])) {
    case 1: {
      const order = random.permutation(rank);
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(
          x,
          order.map((d) => shape[d]),
          (index) => shape.map((_, d) => index[order.indexOf(d)]),
        );
      return { what: `permute [${order}]`, run: (x) => views.permute(x, order), reference };
    }
    case 2: {
      const axes = random.axes(rank);
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(x, shape, (index) => index.map((c, d) => (axes.includes(d) ? shape[d] - 1 - c : c)));
      return { what: `flip [${axes}]`, run: (x) => views.flip(x, axes), reference };
    }
    case 3: {
      if (!n) break;
      const step = random.pick([1, 2, 3, -1, -2]);
      const start = random.int(0, n - 1);
      const most = step > 0 ? Math.ceil((n - start) / step) : Math.floor(start / -step) + 1;
      const count = random.int(0, most);
      const stop = start + count * step;
      const indices = shape.map((_, d) => (d === axis ? { start, stop: stop < 0 ? undefined : stop, step } : null));
      const to = shape.map((m, d) => (d === axis ? count : m));
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(x, to, (index) => index.map((c, d) => (d === axis ? start + c * step : c)));
      return { what: `slice ${start}:${stop}:${step} along ${axis}`, run: (x) => views.slice(x, indices), reference };
    }
    case 4: {
      const repeats = shape.map(() => random.pick([1, 1, 2, 3]));
      if (size(shape) * size(repeats) > 6000) break;
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(
          x,
          shape.map((m, d) => m * repeats[d]),
          (index) => index.map((c, d) => c % shape[d]),
        );
      return { what: `tile [${repeats}]`, run: (x) => views.tile(x, repeats), reference };
    }
    case 5: {
      if (!n) break;
      const mode = random.pick(padModes);
      const most = mode === 'reflect' ? n - 1 : mode === 'symmetric' || mode === 'wrap' ? n : 5;
      const [before, after] = [random.int(0, Math.min(5, most)), random.int(0, Math.min(5, most))];
      const amounts = shape.map((_, d): [number, number] => (d === axis ? [before, after] : [0, 0]));
      const to = shape.map((m, d) => (d === axis ? before + m + after : m));
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(
          x,
          to,
          (index) => {
            const from = padded(mode, index[axis] - before, n);
            return from === null ? null : index.map((c, d) => (d === axis ? from : c));
          },
          1.5,
        );
      return {
        what: `pad ${mode} [${before}, ${after}] along ${axis}`,
        run: (x) => pad(x, amounts, { mode, value: 1.5 }),
        reference,
      };
    }
    case 6: {
      if (!n) break;
      const at = random.int(-n, n - 1);
      const indices = shape.map((_, d) => (d === axis ? at : null));
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(
          x,
          shape.filter((_, d) => d !== axis),
          (index) => index.toSpliced(axis, 0, (at + n) % n),
        );
      return { what: `position ${at} of dimension ${axis}`, run: (x) => views.slice(x, indices), reference };
    }
    case 7: {
      const first = random.int(0, n);
      const run = (x: Tensor) => {
        const [a, b] = joins.split(x, [first, n - first], axis);
        return joins.concat([b, a, b], axis);
      };
      const to = shape.map((m, d) => (d === axis ? n + n - first : m));
      const from = (c: number) => (c < n - first ? first + c : c < n ? c - (n - first) : first + c - n);
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(x, to, (index) => index.map((c, d) => (d === axis ? from(c) : c)));
      return { what: `split at ${first} and concat along ${axis}`, run, reference };
    }
    case 8: {
      const at = random.int(0, rank);
      const reference = (tape: Tape, x: Nd) =>
        tape.pick(x, shape.toSpliced(at, 0, 2), (index) => index.toSpliced(at, 1));
      return { what: `stack along ${at}`, run: (x) => joins.stack([x, x], at), reference };
    }
  }
  return reshaped(random.chance(0.5) ? [size(shape)] : [...shape.slice(0, axis), 1, ...shape.slice(axis)].slice(0, 8));
}

property('chains of views', 280, async (random) => {
  const shape = random.shape(4, 400);
  const moves: Move[] = [];
  let now: readonly number[] = shape;
  for (let i = random.int(1, 4); i > 0 && now.length < 7; i--) {
    const next = move(random, now);
    moves.push(next);
    const tape = new Tape();
    now = next.reference(tape, tape.leaf(new Float64Array(size(now)), now)).shape;
    if (size(now) > 4000) break;
  }
  await agree(random, {
    what: moves.map(({ what }) => what).join(', '),
    inputs: [{ shape, values: random.values(size(shape)) }],
    run: (x) => moves.reduce((y, { run }) => run(y), x),
    reference: (tape, x) => moves.reduce((y, { reference }) => reference(tape, y), x),
    tolerance: 1e-6,
  });
});

/** Random positions of a dimension of n, as a tensor. */
function indexOf(random: Random, shape: readonly number[], n: number): { list: number[]; index: Tensor } {
  const list = Array.from({ length: size(shape) }, () => random.int(0, n - 1));
  return { list, index: tensor(Int32Array.from(list), { shape }) };
}

property('gather, indexSelect, scatterAdd, oneHot', 170, async (random) => {
  const shape = random.fullShape(3, 1200, 1);
  const [axis] = random.axes(shape.length);
  const n = shape[axis];
  const along = (length: number, rest = shape) => rest.map((m, d) => (d === axis ? length : m));
  const x = { shape, values: random.values(size(shape)) };
  const kind = random.pick(['gather', 'indexSelect', 'scatterAdd', 'oneHot']);
  if (kind === 'oneHot') {
    const { list, index } = indexOf(random, shape, 7);
    const want = list.flatMap((label) => Array.from({ length: 7 }, (_, c) => Number(c === label)));
    return close(await oneHot(random.disguise(index), 7).data(), want, 0, 'oneHot');
  }
  if (kind === 'indexSelect') {
    const { list, index } = indexOf(random, [random.int(0, 90)], n);
    const reference = (tape: Tape, a: Nd) =>
      tape.pick(a, along(list.length), (at) => at.map((c, d) => (d === axis ? list[c] : c)));
    return agree(random, {
      what: `indexSelect of ${list.length} along ${axis}`,
      inputs: [x],
      run: (a) => indexSelect(a, axis, index),
      reference,
    });
  }
  const smaller = shape.map((m) => random.int(1, m));
  const { list, index } = indexOf(random, along(random.int(0, 40), smaller), n);
  const flat = (at: readonly number[]) => index.shape.reduce((position, m, d) => position * m + at[d], 0);
  const target = (at: readonly number[]) => at.map((c, d) => (d === axis ? list[flat(at)] : c));
  if (kind === 'gather')
    return agree(random, {
      what: `gather [${index.shape}] along ${axis}`,
      inputs: [x],
      run: (a) => gather(a, axis, random.disguise(index)),
      reference: (tape, a) => tape.pick(a, index.shape, target),
    });
  await agree(random, {
    what: `scatterAdd [${index.shape}] along ${axis}`,
    inputs: [x, { shape: index.shape, values: random.values(index.size) }],
    run: (a, source) => scatterAdd(a, axis, index, source),
    reference: (tape, a, source) => {
      const nodes = [...a.nodes];
      const at = (position: readonly number[]) => shape.reduce((p, m, d) => p * m + position[d], 0);
      for (const [k, position] of positions(index.shape).entries()) {
        const to = at(target(position));
        nodes[to] = tape.add(nodes[to], source.nodes[k]);
      }
      return { shape, nodes };
    },
  });
});

property('sort and topk', 110, async (random) => {
  const shape = random.shape(3, 800, 1);
  if (random.chance(0.06)) shape.splice(0, shape.length, random.int(1, 2), random.int(1025, 1500)); // a network instead of ranks
  const axis = shape.length === 2 && shape[1] > 1024 ? 1 : random.axes(shape.length)[0];
  const n = shape[axis];
  const descending = random.chance(0.5);
  const k = random.chance(0.5) ? random.int(0, n) : n;
  // A third with many ties, which keep their order.
  const values = random.chance(0.33)
    ? Float64Array.from({ length: size(shape) }, () => random.int(-2, 2))
    : random.apart(size(shape));
  const found = (x: Tensor) =>
    k === n && n % 2 ? sort(x, { dim: axis, descending }) : topk(x, k, { dim: axis, largest: descending });
  const order = (tape: Tape, line: number[]) => {
    const sign = descending ? -1 : 1;
    return line
      .map((_, i) => i)
      .sort((i, j) => sign * (tape.value(line[i]) - tape.value(line[j])) || i - j)
      .slice(0, k);
  };
  const what = `${k} of ${n} along ${axis}, ${descending ? 'descending' : 'ascending'}`;
  let indices: Tensor | null = null;
  let positionsWanted: number[] = [];
  await agree(random, {
    what,
    inputs: [{ shape, values }],
    run: (x) => {
      const sorted = found(x);
      ({ indices } = sorted);
      return sorted.values;
    },
    reference: (tape, x) => {
      const at = tape.lines(x, axis, (line) => order(tape, line).map((i) => tape.constant(i)), k);
      positionsWanted = at.nodes.map((node) => tape.value(node));
      return tape.lines(x, axis, (line) => order(tape, line).map((i) => line[i]), k);
    },
    tolerance: 1e-6,
  });
  close(await indices!.data(), positionsWanted, 0, `positions: ${what}`);
});

test.run();
