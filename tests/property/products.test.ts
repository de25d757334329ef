// Random matrix products, convolutions and pooling with all attributes.
import { test } from 'uvu';
import '../../src/ops/methods';
import { conv2d, convTranspose2d } from '../../src/ops/conv';
import { conv1d } from '../../src/ops/conv-nd';
import { linear, matmul } from '../../src/ops/matmul';
import { adaptiveAvgPool2d, avgPool2d, globalAvgPool2d, maxPool2d } from '../../src/ops/pool';
import { size } from '../../src/tensor/shape';
import { useGpu } from '../util';
import type { Random } from './cases';
import { agree, property } from './cases';
import type { Nd, Node, Tape } from './tape';
import { flat, positions } from './tape';

useGpu();

const input = (random: Random, shape: readonly number[]) => ({ shape, values: random.values(size(shape), -1, 1) });

/** Rows of a times columns of b, leading dimensions broadcast. */
function product(tape: Tape, a: Nd, b: Nd): Nd {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.shape.length - 1];
  // One node list a row of a and a column of b, as elements of arrays that broadcast.
  const rank = Math.max(a.shape.length, b.shape.length) - 2;
  const lead = (x: Nd) => [...new Array<number>(rank - x.shape.length + 2).fill(1), ...x.shape.slice(0, -2)];
  const batch = Array.from({ length: rank }, (_, d) => (lead(a)[d] === 1 ? lead(b)[d] : lead(a)[d]));
  const start = (x: Nd, index: readonly number[], matrix: number) =>
    flat(
      lead(x),
      index.slice(0, rank).map((c, d) => (lead(x)[d] === 1 ? 0 : c)),
    ) * matrix;
  const shape = [...batch, m, n];
  const nodes = positions(shape).map((index) => {
    const [i, j] = index.slice(-2);
    const [p, q] = [start(a, index, m * k) + i * k, start(b, index, k * n) + j];
    const steps = Array.from({ length: k }, (_, c) => c);
    return tape.dot(
      steps.map((c) => a.nodes[p + c]),
      steps.map((c) => b.nodes[q + c * n]),
    );
  });
  return { shape, nodes };
}

property('matrix products', 48, async (random) => {
  const batch = random.chance(0.4) ? [random.int(1, 3), random.int(1, 2)].slice(random.int(0, 1)) : [];
  const sizes = [1, 2, 3, 15, 16, 17, 31, 33, ...(batch.length ? [] : [63, 64, 65])];
  const edge = () => random.pick(sizes);
  const [m, k, n] = [edge(), random.chance(0.04) ? 0 : edge(), edge()];
  const part = () => batch.map((b) => (random.chance(0.3) ? 1 : b)).slice(random.chance(0.3) ? batch.length : 0);
  const kind = random.pick(['matrices', 'matrices', 'row', 'column', 'linear']);
  if (kind === 'linear')
    return agree(random, {
      what: 'linear',
      inputs: [input(random, [...batch, m, k || 1]), input(random, [n, k || 1]), input(random, [n])],
      run: linear,
      reference: (tape, x, w, b) => {
        const columns = tape.pick(w, [k || 1, n], ([i, j]) => [j, i]);
        return tape.zip([product(tape, x, columns), b], tape.add);
      },
    });
  const shapes =
    kind === 'row'
      ? [[k], [...part(), k, n]]
      : kind === 'column'
        ? [[...part(), m, k], [k]]
        : [
            [...part(), m, k],
            [...part(), k, n],
          ];
  await agree(random, {
    what: 'matmul',
    inputs: shapes.map((shape) => input(random, shape)),
    run: matmul,
    reference: (tape, a, b) => {
      const rows = a.shape.length === 1 ? { ...a, shape: [1, k] } : a;
      const columns = b.shape.length === 1 ? { ...b, shape: [k, 1] } : b;
      const { shape, nodes } = product(tape, rows, columns);
      const dropped = shape.filter(
        (_, d) => !(kind === 'row' && d === shape.length - 2) && !(kind === 'column' && d === shape.length - 1),
      );
      return { shape: dropped, nodes };
    },
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
  const [N, C, H, W] = x.shape;
  const [O, perGroup, KH, KW] = w.shape;
  const outputs = (n: number, before: number, after: number, kernel: number, d: number, s: number) =>
    Math.floor((n + before + after - d * (kernel - 1) - 1) / s) + 1;
  const shape = [
    N,
    O,
    outputs(H, padding[0], padding[1], KH, dilation[0], stride[0]),
    outputs(W, padding[2], padding[3], KW, dilation[1], stride[1]),
  ];
  const taps = positions([perGroup, KH, KW]);
  const nodes = positions(shape).map(([n, o, p, q]) => {
    const inside: [Node, Node][] = [];
    for (const [c, i, j] of taps) {
      const row = p * stride[0] + i * dilation[0] - padding[0];
      const column = q * stride[1] + j * dilation[1] - padding[2];
      if (row < 0 || row >= H || column < 0 || column >= W) continue;
      const channel = Math.floor(o / (O / groups)) * perGroup + c;
      inside.push([x.nodes[((n * C + channel) * H + row) * W + column], w.nodes[flat(w.shape, [o, c, i, j])]]);
    }
    return tape.dot(
      inside.map(([a]) => a),
      inside.map(([, b]) => b),
    );
  });
  return { shape, nodes };
}

const biased = (tape: Tape, y: Nd, bias?: Nd): Nd =>
  bias ? tape.zip([y, { shape: [bias.shape[0], 1, 1], nodes: bias.nodes }], tape.add) : y;

property('convolutions', 32, async (random) => {
  const groups = random.pick([1, 1, 1, 2, 3]);
  // Some with as many channels as a tile has, or one more.
  const wide = groups === 1 && random.chance(0.3);
  const C = wide ? random.pick([8, 16, 17]) : groups * random.int(1, 3);
  const O = wide ? random.pick([16, 32, 33]) : groups * random.int(1, 4);
  const [KH, KW] = [random.int(1, 4), random.int(1, 3)];
  const geometry: Geometry = {
    stride: [random.int(1, 3), random.int(1, 2)],
    padding: [random.int(0, 2), random.int(0, 2), random.int(0, 2), random.int(0, 2)],
    dilation: [random.int(1, 2), random.int(1, 3)],
    groups,
  };
  const [H, W] = [
    geometry.dilation[0] * (KH - 1) + random.int(1, 6),
    geometry.dilation[1] * (KW - 1) + random.pick([1, 3, 5, 8]),
  ];
  const x = input(random, [wide ? 1 : random.int(1, 2), C, H, W]);
  const w = input(random, [O, C / groups, KH, KW]);
  await agree(random, {
    what: `conv2d ${JSON.stringify(geometry)}`,
    inputs: random.chance(0.5) ? [x, w, input(random, [O])] : [x, w],
    run: (a, b, c) => conv2d(a, b, c, geometry),
    reference: (tape, a, b, c) => biased(tape, convolution(tape, a, b, geometry), c),
  });
});

property('convolutions of lines and transposed ones', 16, async (random) => {
  const [C, O, K, stride, padding, dilation] = [
    random.int(1, 3),
    random.int(1, 3),
    random.int(1, 3),
    random.int(1, 2),
    random.int(0, 1),
    random.int(1, 2),
  ];
  if (random.chance(0.5)) {
    const x = input(random, [2, C, dilation * (K - 1) + random.int(1, 9)]);
    await agree(random, {
      what: `conv1d stride ${stride} padding ${padding} dilation ${dilation}`,
      inputs: [x, input(random, [O, C, K]), input(random, [O])],
      run: (a, b, c) => conv1d(a, b, c, { stride, padding, dilation }),
      reference: (tape, a, b, c) => {
        const row = ({ shape: [n, m, l], nodes }: Nd): Nd => ({ shape: [n, m, 1, l], nodes });
        const geometry: Geometry = {
          stride: [1, stride],
          padding: [0, 0, padding, padding],
          dilation: [1, dilation],
          groups: 1,
        };
        const { shape, nodes } = convolution(tape, row(a), row(b), geometry);
        return tape.zip(
          [
            { shape: [shape[0], shape[1], shape[3]], nodes },
            { shape: [O, 1], nodes: c.nodes },
          ],
          tape.add,
        );
      },
    });
    return;
  }
  // A transposed convolution is the convolution of the input with zeros between its pixels, with the kernel turned round.
  const [H, W] = [random.int(2, 5), random.int(2, 5)];
  await agree(random, {
    what: `convTranspose2d stride ${stride} padding ${padding} dilation ${dilation}`,
    inputs: [input(random, [2, C, H, W]), input(random, [C, O, 3, 3]), input(random, [O])],
    run: (a, b, c) => convTranspose2d(a, b, c, { stride, padding, dilation }),
    reference: (tape, a, b, c) => {
      const sparse = tape.pick(a, [2, C, (H - 1) * stride + 1, (W - 1) * stride + 1], ([n, m, i, j]) =>
        i % stride || j % stride ? null : [n, m, i / stride, j / stride],
      );
      const turned = tape.pick(b, [O, C, 3, 3], ([o, m, i, j]) => [m, o, 2 - i, 2 - j]);
      const side = 2 * dilation - padding;
      const geometry: Geometry = {
        stride: [1, 1],
        padding: [side, side, side, side],
        dilation: [dilation, dilation],
        groups: 1,
      };
      return biased(tape, convolution(tape, sparse, turned, geometry), c);
    },
  });
});

property('pooling', 140, async (random) => {
  const shape = [random.int(1, 2), random.int(1, 3), random.int(4, 17), random.int(4, 17)];
  const [, , H, W] = shape;
  const x = { shape, values: random.apart(size(shape)) };
  const kind = random.pick(['max', 'max', 'average', 'average', 'adaptive', 'global']);
  const plane = (
    tape: Tape,
    a: Nd,
    outputs: readonly number[],
    window: (i: number, d: number) => number[],
    f: (nodes: Node[], p: number, q: number) => Node,
  ): Nd => {
    const to = [...shape.slice(0, 2), ...outputs];
    const nodes = positions(to).map(([n, c, p, q]) => {
      const inside = window(p, 0).flatMap((i) => window(q, 1).map((j) => a.nodes[flat(shape, [n, c, i, j])]));
      return inside.length ? f(inside, p, q) : tape.constant(0);
    });
    return { shape: to, nodes };
  };
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  if (kind === 'global' || kind === 'adaptive') {
    const outputs = kind === 'global' ? [1, 1] : [random.int(1, 9), random.int(1, 9)];
    const sizes = [H, W];
    return agree(random, {
      what: `${kind} pooling to [${outputs}]`,
      inputs: [x],
      run: (a) =>
        kind === 'global' ? globalAvgPool2d(a, { keepDims: true }) : adaptiveAvgPool2d(a, outputs as [number, number]),
      reference: (tape, a) =>
        plane(
          tape,
          a,
          outputs,
          (i, d) => range(Math.floor((i * sizes[d]) / outputs[d]), Math.ceil(((i + 1) * sizes[d]) / outputs[d])),
          (nodes) => tape.mean(nodes),
        ),
    });
  }
  const kernel: [number, number] = [random.int(1, 4), random.int(1, 4)];
  const stride: [number, number] = [random.int(1, 3), random.int(1, 3)];
  const padding = [0, 1, 2, 3].map((side) => random.int(0, Math.floor(kernel[side >> 1] / 2))) as [
    number,
    number,
    number,
    number,
  ];
  const dilation: [number, number] = kind === 'max' ? [random.int(1, 2), 1] : [1, 1];
  const [ceilMode, countIncludePad] = [random.chance(0.5), random.chance(0.5)];
  const extent = (d: number) => [H, W][d] + padding[2 * d] + padding[2 * d + 1];
  const outputs = [0, 1].map((d) => {
    const room = (extent(d) - dilation[d] * (kernel[d] - 1) - 1) / stride[d];
    const count = (ceilMode ? Math.ceil(room) : Math.floor(room)) + 1;
    return ceilMode && (count - 1) * stride[d] >= [H, W][d] + padding[2 * d] ? count - 1 : count;
  });
  if (outputs.some((n) => n < 1)) return;
  const taps = (i: number, d: number) =>
    range(0, kernel[d]).map((k) => i * stride[d] + k * dilation[d] - padding[2 * d]);
  const inside = (i: number, d: number) => taps(i, d).filter((at) => at >= 0 && at < [H, W][d]);
  const counted = (i: number, d: number) => taps(i, d).filter((at) => at < [H, W][d] + padding[2 * d + 1]).length;
  await agree(random, {
    what: `${kind} pooling ${JSON.stringify({ kernel, stride, padding, dilation, ceilMode, countIncludePad })}`,
    inputs: [x],
    run: (a) =>
      kind === 'max'
        ? maxPool2d(a, { kernel, stride, padding, dilation, ceilMode })
        : avgPool2d(a, { kernel, stride, padding, ceilMode, countIncludePad }),
    reference: (tape, a) =>
      plane(tape, a, outputs, inside, (nodes, p, q) =>
        kind === 'max'
          ? tape.most(nodes)
          : tape.scale(tape.sum(nodes), 1 / (countIncludePad ? counted(p, 0) * counted(q, 1) : nodes.length)),
      ),
  });
});

test.run();
