// Random matrix products, convolutions and pooling with all attributes.
import fc from 'fast-check';
import { test } from 'uvu';
import * as F from '../../src/nn/functional';
import type { Shape } from '../../src/tensor/shape';
import { useGpu } from '../util';
import { property } from './cases';
import { mean } from './functions';
import { flat, type Nd, type Node, positions, type Tape } from './tape';

useGpu();

const int = (min: number, max: number) => fc.integer({ min, max });
const two = (min: number, max: number) => fc.tuple(int(min, max), int(min, max));
const EDGES = [1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65];
const edge = fc.constantFrom(...EDGES);

const matrixDraws = {
  kind: fc.constantFrom('matrices', 'matrices', 'row', 'column', 'linear'),
  sizes: fc.tuple(edge, fc.oneof({ weight: 24, arbitrary: edge }, { weight: 1, arbitrary: fc.constant(0) }), edge),
  batch: fc.oneof(fc.constant([]), fc.array(int(1, 3), { minLength: 1, maxLength: 2 })),
  // What of the batch each side has.
  parts: fc.tuple(fc.tuple(fc.nat(2), fc.nat(3)), fc.tuple(fc.nat(2), fc.nat(3))),
};
property('matrix products', 48, matrixDraws, async ({ kind, sizes, batch, parts }, c) => {
  const [m, k, n] = batch.length ? sizes.map((s) => Math.min(s, 33)) : sizes;
  const input = (shape: Shape) => c.input(shape, -1, 1);
  if (kind === 'linear')
    return c.agree([input([...batch, m, k || 1]), input([n, k || 1]), input([n])], F.linear, (tape, x, w, b) => {
      const columns = tape.pick(w, [k || 1, n], ([i, j]) => [j, i]);
      return tape.zip([tape.product(x, columns), b], (v, t) => v + t);
    });
  const [first, second] = parts.map(([from, ones]) => batch.map((b, d) => ((ones >> d) & 1 ? 1 : b)).slice(from));
  const a = kind === 'row' ? [k] : [...first, m, k];
  const b = kind === 'column' ? [k] : [...second, k, n];
  await c.agree([input(a), input(b)], F.matmul, (tape, x, y) => {
    const rows = kind === 'row' ? { ...x, shape: [1, k] } : x;
    const columns = kind === 'column' ? { ...y, shape: [k, 1] } : y;
    const { shape, nodes } = tape.product(rows, columns);
    const dropped = kind === 'row' ? shape.length - 2 : kind === 'column' ? shape.length - 1 : -1;
    return { shape: shape.filter((_, d) => d !== dropped), nodes };
  });
});

interface Geometry {
  stride: [number, number];
  padding: [number, number, number, number];
  dilation: [number, number];
  groups: number;
}

/** y[n,o,p] = Σ_{c,k} w[o,c,k] · x[n,c, stride·p + dilation·k − padding] */
function convolution(tape: Tape, x: Nd, w: Nd, { stride, padding, dilation, groups }: Geometry): Nd {
  const [N, , ...image] = x.shape;
  const [O, perGroup, ...kernel] = w.shape;
  const outputs = image.map((n, d) => {
    const room = n + padding[2 * d] + padding[2 * d + 1] - dilation[d] * (kernel[d] - 1) - 1;
    return Math.floor(room / stride[d]) + 1;
  });
  const shape = [N, O, ...outputs];
  const taps = positions([perGroup, ...kernel]);
  const nodes = positions(shape).map(([n, o, ...at]) => {
    const inside: [Node, Node][] = [];
    for (const [c, ...tap] of taps) {
      const from = at.map((p, d) => p * stride[d] + tap[d] * dilation[d] - padding[2 * d]);
      if (from.some((i, d) => i < 0 || i >= image[d])) continue;
      const channel = Math.floor(o / (O / groups)) * perGroup + c;
      inside.push([x.nodes[flat(x.shape, [n, channel, ...from])], w.nodes[flat(w.shape, [o, c, ...tap])]]);
    }
    return tape.dot(
      inside.map(([a]) => a),
      inside.map(([, b]) => b),
    );
  });
  return { shape, nodes };
}

const biased = (tape: Tape, y: Nd, bias?: Nd): Nd =>
  bias ? tape.zip([y, { shape: [...bias.shape, 1, 1], nodes: bias.nodes }], (v, b) => v + b) : y;

const convolutionDraws = {
  // Some with as many channels as a tile has, or one more.
  channels: fc.oneof(
    { weight: 3, arbitrary: fc.record({ groups: int(1, 3), ins: int(1, 3), outs: int(1, 4), batch: int(1, 2) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        groups: fc.constant(1),
        ins: fc.constantFrom(8, 16, 17),
        outs: fc.constantFrom(16, 32, 33),
        batch: fc.constant(1),
      }),
    },
  ),
  kernel: fc.tuple(int(1, 4), int(1, 3)),
  stride: fc.tuple(int(1, 3), int(1, 2)),
  padding: fc.tuple(int(0, 2), int(0, 2), int(0, 2), int(0, 2)),
  dilation: fc.tuple(int(1, 2), int(1, 3)),
  outputs: fc.tuple(int(1, 6), fc.constantFrom(1, 3, 5, 8)),
  bias: fc.boolean(),
};
property('convolutions', 32, convolutionDraws, async ({ channels, kernel, outputs, bias, ...attributes }, c) => {
  const { groups, ins, outs, batch } = channels;
  const image = outputs.map((n, d) => attributes.dilation[d] * (kernel[d] - 1) + n);
  const x = c.input([batch, groups * ins, ...image], -1, 1);
  const w = c.input([groups * outs, ins, ...kernel], -1, 1);
  const geometry = { ...attributes, groups };
  await c.agree(
    bias ? [x, w, c.input([groups * outs], -1, 1)] : [x, w],
    (a, b, t) => F.conv2d(a, b, t, geometry),
    (tape, a, b, t) => biased(tape, convolution(tape, a, b, geometry), t),
  );
});

const thinDraws = {
  channels: two(1, 3),
  stride: int(1, 2),
  padding: int(0, 1),
  dilation: int(1, 2),
  kernel: int(1, 3),
  outputs: int(1, 9),
};
property('convolutions of lines', 8, thinDraws, async ({ channels: [C, O], kernel, outputs, ...options }, c) => {
  const { stride, padding, dilation } = options;
  const x = c.input([2, C, dilation * (kernel - 1) + outputs], -1, 1);
  await c.agree(
    [x, c.input([O, C, kernel], -1, 1), c.input([O], -1, 1)],
    (a, b, t) => F.conv1d(a, b, t, options),
    (tape, a, b, t) => {
      const row = ({ shape: [n, m, l], nodes }: Nd): Nd => ({ shape: [n, m, 1, l], nodes });
      const y = convolution(tape, row(a), row(b), {
        stride: [1, stride],
        padding: [0, 0, padding, padding],
        dilation: [1, dilation],
        groups: 1,
      });
      const { shape, nodes } = biased(tape, y, t);
      return { shape: shape.toSpliced(2, 1), nodes };
    },
  );
});

// A transposed convolution is the convolution of the input with zeros between its pixels, with the kernel turned round.
const transposedDraws = { ...thinDraws, image: two(2, 5) };
property('transposed convolutions', 8, transposedDraws, async ({ channels: [C, O], image: [H, W], ...drawn }, c) => {
  const { stride, padding, dilation } = drawn;
  await c.agree(
    [c.input([2, C, H, W], -1, 1), c.input([C, O, 3, 3], -1, 1), c.input([O], -1, 1)],
    (a, b, t) => F.convTranspose2d(a, b, t, { stride, padding, dilation }),
    (tape, a, b, t) => {
      const sparse = tape.pick(a, [2, C, (H - 1) * stride + 1, (W - 1) * stride + 1], ([n, m, i, j]) =>
        i % stride || j % stride ? null : [n, m, i / stride, j / stride],
      );
      const turned = tape.pick(b, [O, C, 3, 3], ([o, m, i, j]) => [m, o, 2 - i, 2 - j]);
      const side = 2 * dilation - padding;
      const y = convolution(tape, sparse, turned, {
        stride: [1, 1],
        padding: [side, side, side, side],
        dilation: [dilation, dilation],
        groups: 1,
      });
      return biased(tape, y, t);
    },
  );
});

/** f of the elements in the window of every output, whose positions `window` gives by dimension; 0 for none. */
function windows(
  tape: Tape,
  x: Nd,
  outputs: readonly number[],
  window: (i: number, d: number) => number[],
  f: (values: number[], at: readonly number[]) => number,
): Nd {
  const shape = [...x.shape.slice(0, 2), ...outputs];
  const nodes = positions(shape).map(([n, c, p, q]) => {
    const inside = window(p, 0).flatMap((i) => window(q, 1).map((j) => x.nodes[flat(x.shape, [n, c, i, j])]));
    return tape.apply(inside, (values) => [values.length ? f(values, [p, q]) : 0])[0];
  });
  return { shape, nodes };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const planes = fc.tuple(int(1, 2), int(1, 3), int(4, 17), int(4, 17));

// Null: global pooling.
const adaptiveDraws = { shape: planes, outputs: fc.option(two(1, 9), { freq: 2 }) };
property('adaptive pooling', 46, adaptiveDraws, async ({ shape, outputs }, c) => {
  const to = outputs ?? [1, 1];
  await c.agree(
    [c.apart(shape)],
    (a) => (outputs ? F.adaptiveAvgPool2d(a, outputs) : F.globalAvgPool2d(a, { keepDims: true })),
    (tape, a) =>
      windows(
        tape,
        a,
        to,
        (i, d) => range(Math.floor((i * shape[d + 2]) / to[d]), Math.ceil(((i + 1) * shape[d + 2]) / to[d])),
        mean,
      ),
  );
});

const poolDraws = {
  max: fc.boolean(),
  shape: planes,
  kernel: two(1, 4),
  stride: two(1, 3),
  pads: fc.tuple(int(0, 2), int(0, 2), int(0, 2), int(0, 2)), // at most half of the kernel
  dilated: int(1, 2),
  ceilMode: fc.boolean(),
  countIncludePad: fc.boolean(),
};
property(
  'pooling',
  94,
  poolDraws,
  async ({ max, shape, kernel, stride, pads, dilated, ceilMode, countIncludePad }, c) => {
    const image = shape.slice(2);
    const padding = pads.map((n, side) => Math.min(n, Math.floor(kernel[side >> 1] / 2))) as typeof pads;
    const dilation: [number, number] = [max ? dilated : 1, 1];
    const outputs = image.map((n, d) => {
      const extent = n + padding[2 * d] + padding[2 * d + 1];
      const room = (extent - dilation[d] * (kernel[d] - 1) - 1) / stride[d];
      const count = (ceilMode ? Math.ceil(room) : Math.floor(room)) + 1;
      return ceilMode && (count - 1) * stride[d] >= n + padding[2 * d] ? count - 1 : count;
    });
    if (outputs.some((n) => n < 1)) return;
    const taps = (i: number, d: number) =>
      range(0, kernel[d]).map((k) => i * stride[d] + k * dilation[d] - padding[2 * d]);
    const inside = (i: number, d: number) => taps(i, d).filter((at) => at >= 0 && at < image[d]);
    const counted = (i: number, d: number) => taps(i, d).filter((at) => at < image[d] + padding[2 * d + 1]).length;
    const average = (v: number[], [p, q]: readonly number[]) =>
      countIncludePad ? (mean(v) * v.length) / (counted(p, 0) * counted(q, 1)) : mean(v);
    await c.agree(
      [c.apart(shape)],
      (a) =>
        max
          ? F.maxPool2d(a, { kernel, stride, padding, dilation, ceilMode })
          : F.avgPool2d(a, { kernel, stride, padding, ceilMode, countIncludePad }),
      (tape, a) => windows(tape, a, outputs, inside, max ? (v) => Math.max(...v) : average),
    );
  },
);

test.run();
