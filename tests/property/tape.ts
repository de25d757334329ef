// A float64 reference with gradients: every element of an array is a node of a scalar tape, so that operations are plain loops over nodes
// and reverse differentiation needs two derivatives per node.
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';

/** A node of the tape, by position. */
export type Node = number;

/** An array of nodes, row-major. */
export interface Nd {
  readonly shape: Shape;
  readonly nodes: readonly Node[];
}

const NONE = -1;

export class Tape {
  readonly #values: number[] = [];
  readonly #parents: [Node[], Node[]] = [[], []];
  readonly #slopes: [number[], number[]] = [[], []];

  #push(value: number, a: Node, da: number, b: Node, db: number): Node {
    this.#values.push(value);
    this.#parents[0].push(a);
    this.#parents[1].push(b);
    this.#slopes[0].push(da);
    this.#slopes[1].push(db);
    return this.#values.length - 1;
  }

  value(node: Node): number {
    return this.#values[node];
  }

  constant(value: number): Node {
    return this.#push(value, NONE, 0, NONE, 0);
  }

  /** f(a), with its derivative there. */
  unary(a: Node, value: number, da: number): Node {
    return this.#push(value, a, da, NONE, 0);
  }

  /** f(a, b), with its derivatives there. */
  binary(a: Node, b: Node, value: number, da: number, db: number): Node {
    return this.#push(value, a, da, b, db);
  }

  add = (a: Node, b: Node): Node => this.binary(a, b, this.value(a) + this.value(b), 1, 1);
  sub = (a: Node, b: Node): Node => this.binary(a, b, this.value(a) - this.value(b), 1, -1);
  mul = (a: Node, b: Node): Node => this.binary(a, b, this.value(a) * this.value(b), this.value(b), this.value(a));
  div = (a: Node, b: Node): Node => {
    const [x, y] = [this.value(a), this.value(b)];
    return this.binary(a, b, x / y, 1 / y, -x / (y * y));
  };
  scale = (a: Node, by: number, plus = 0): Node => this.unary(a, this.value(a) * by + plus, by);
  exp = (a: Node): Node => this.unary(a, Math.exp(this.value(a)), Math.exp(this.value(a)));
  log = (a: Node): Node => this.unary(a, Math.log(this.value(a)), 1 / this.value(a));
  sqrt = (a: Node): Node => this.unary(a, Math.sqrt(this.value(a)), 0.5 / Math.sqrt(this.value(a)));
  sum = (nodes: readonly Node[]): Node => nodes.reduce((s, n) => this.add(s, n), this.constant(0));
  product = (nodes: readonly Node[]): Node => nodes.reduce((p, n) => this.mul(p, n), this.constant(1));
  dot = (a: readonly Node[], b: readonly Node[]): Node => this.sum(a.map((n, i) => this.mul(n, b[i])));
  /** The node with the largest value, the first of equals. */
  most = (nodes: readonly Node[]): Node => nodes.reduce((m, n) => (this.value(n) > this.value(m) ? n : m));
  least = (nodes: readonly Node[]): Node => nodes.reduce((m, n) => (this.value(n) < this.value(m) ? n : m));
  mean = (nodes: readonly Node[]): Node => this.scale(this.sum(nodes), 1 / nodes.length);
  /** Σ(x − mean)² / (n − correction). */
  variance = (nodes: readonly Node[], correction: number): Node => {
    const center = this.mean(nodes);
    const squares = nodes.map((n) => this.sub(n, center)).map((d) => this.mul(d, d));
    return this.scale(this.sum(squares), 1 / (nodes.length - correction));
  };
  logsumexp = (nodes: readonly Node[]): Node => {
    const most = this.value(this.most(nodes));
    return this.scale(this.log(this.sum(nodes.map((n) => this.exp(this.scale(n, 1, -most))))), 1, most);
  };

  leaf(data: ArrayLike<number>, shape: Shape): Nd {
    return { shape, nodes: Array.from(data, (value) => this.constant(value)) };
  }

  data(x: Nd): Float64Array {
    return Float64Array.from(x.nodes, (node) => this.value(node));
  }

  /** The gradients of Σ upstream · y for the given arrays. */
  gradients(y: Nd, upstream: ArrayLike<number>, of: readonly Nd[]): Float64Array[] {
    const gradient = new Float64Array(this.#values.length);
    y.nodes.forEach((node, i) => {
      gradient[node] += upstream[i];
    });
    for (let node = gradient.length - 1; node >= 0; node--)
      for (const side of [0, 1] as const) {
        const parent = this.#parents[side][node];
        if (parent !== NONE && gradient[node] !== 0) gradient[parent] += gradient[node] * this.#slopes[side][node];
      }
    return of.map((x) => Float64Array.from(x.nodes, (node) => gradient[node]));
  }

  /** f of every element, with its derivative. */
  map(x: Nd, f: (v: number) => number, slope: (v: number) => number): Nd {
    return { shape: x.shape, nodes: x.nodes.map((n) => this.unary(n, f(this.value(n)), slope(this.value(n)))) };
  }

  /** A node from those of several arrays at every position of the shape that they broadcast to. */
  zip(arrays: readonly Nd[], f: (...nodes: Node[]) => Node): Nd {
    const rank = Math.max(...arrays.map((x) => x.shape.length));
    const padded = arrays.map((x) => [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape]);
    const shape = Array.from({ length: rank }, (_, d) => {
      const sizes = padded.map((s) => s[d]);
      return sizes.find((n) => n !== 1) ?? 1;
    });
    const at = (s: Shape, index: readonly number[]) =>
      flat(
        s,
        index.map((c, d) => (s[d] === 1 ? 0 : c)),
      );
    const nodes = positions(shape).map((index) => f(...arrays.map((x, k) => x.nodes[at(padded[k], index)])));
    return { shape, nodes };
  }

  /** Elements of x in another order or number: `source` gives the position in x for one of the result, null for `fill`. */
  pick(x: Nd, shape: Shape, source: (index: readonly number[]) => readonly number[] | null, fill = 0): Nd {
    const nodes = positions(shape).map((index) => {
      const from = source(index);
      return from ? x.nodes[flat(x.shape, from)] : this.constant(fill);
    });
    return { shape, nodes };
  }

  /** A node from those along the given axes, for every position of the others. */
  fold(x: Nd, axes: readonly number[], keepDims: boolean, f: (nodes: Node[]) => Node): Nd {
    const kept = x.shape.map((n, d) => (axes.includes(d) ? 1 : n));
    const ranges = positions(x.shape.map((n, d) => (axes.includes(d) ? n : 1)));
    const nodes = positions(kept).map((at) =>
      f(
        ranges.map(
          (range) =>
            x.nodes[
              flat(
                x.shape,
                at.map((c, d) => c + range[d]),
              )
            ],
        ),
      ),
    );
    return { shape: keepDims ? kept : x.shape.filter((_, d) => !axes.includes(d)), nodes };
  }

  /** As many nodes from those along an axis, for every line. */
  lines(x: Nd, axis: number, f: (nodes: Node[]) => Node[], length = x.shape[axis]): Nd {
    const shape = x.shape.map((n, d) => (d === axis ? length : n));
    const nodes = new Array<Node>(size(shape));
    for (const at of positions(x.shape.map((n, d) => (d === axis ? 1 : n)))) {
      const along = (c: number) => at.map((v, d) => (d === axis ? c : v));
      const line = Array.from({ length: x.shape[axis] }, (_, c) => x.nodes[flat(x.shape, along(c))]);
      f(line).forEach((node, c) => {
        nodes[flat(shape, along(c))] = node;
      });
    }
    return { shape, nodes };
  }
}

/** Position of an index in row-major order. */
export const flat = (shape: Shape, index: readonly number[]): number =>
  shape.reduce((position, n, d) => position * n + index[d], 0);

/** All indices of a shape in row-major order. */
export function positions(shape: Shape): number[][] {
  return shape.reduce<number[][]>(
    (all, n) => all.flatMap((index) => Array.from({ length: n }, (_, c) => [...index, c])),
    [[]],
  );
}
