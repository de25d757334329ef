// A float64 reference with gradients: every element of an array is a node of a tape. References are plain functions of numbers, whose
// derivatives are taken numerically; what is too large for that are sums of products.
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';

/** A node of the tape, by position. */
export type Node = number;

/** An array of nodes, row-major. */
export interface Nd {
  readonly shape: Shape;
  readonly nodes: readonly Node[];
}

/** Half the distance of central differences: kinks must be farther away than this. */
const STEP = 2e-5;

/** A function of many numbers, with its derivatives. */
export type Differentiable = (values: number[]) => [value: number, slopes: number[]];

export class Tape {
  readonly #values: number[] = [];
  readonly #parents: (readonly Node[])[] = [];
  readonly #slopes: (readonly number[])[] = [];

  #push(value: number, parents: readonly Node[] = [], slopes: readonly number[] = []): Node {
    this.#parents.push(parents);
    this.#slopes.push(slopes);
    return this.#values.push(value) - 1;
  }

  #value = (node: Node): number => this.#values[node] as number;

  leaf(data: ArrayLike<number>, shape: Shape): Nd {
    return { shape, nodes: Array.from(data, (value) => this.#push(value)) };
  }

  data(x: Nd): Float64Array {
    return Float64Array.from(x.nodes, this.#value);
  }

  /** The gradients of Σ upstream · y for the given arrays. */
  gradients(y: Nd, upstream: ArrayLike<number>, of: readonly Nd[]): Float64Array[] {
    const gradient = new Float64Array(this.#values.length);
    for (const [i, node] of y.nodes.entries()) gradient[node] += upstream[i];
    for (let node = gradient.length - 1; node >= 0; node--) {
      const own = gradient[node];
      const slopes = this.#slopes[node];
      if (own !== 0) for (const [i, parent] of this.#parents[node].entries()) gradient[parent] += own * slopes[i];
    }
    return of.map((x) => Float64Array.from(x.nodes, (node) => gradient[node]));
  }

  /** A node of all of these, of known derivatives. */
  #known(nodes: readonly Node[], f: Differentiable): Node {
    const [value, slopes] = f(nodes.map(this.#value));
    return this.#push(value, nodes, slopes);
  }

  /** As many nodes as f gives numbers, of all of these. */
  apply(nodes: readonly Node[], f: (values: number[]) => readonly number[]): Node[] {
    const at = nodes.map(this.#value);
    const columns = at.map((v, i) => {
      at[i] = v + STEP;
      const up = f(at);
      at[i] = v - STEP;
      const down = f(at);
      at[i] = v;
      return up.map((u, k) => (u - down[k]) / (2 * STEP));
    });
    return f(at).map((value, k) => {
      const used = nodes.map((_, i) => i).filter((i) => columns[i][k] !== 0);
      return this.#push(
        value,
        used.map((i) => nodes[i]),
        used.map((i) => columns[i][k]),
      );
    });
  }

  /** Σ a·b, or Σ a. */
  dot(a: readonly Node[], b?: readonly Node[]): Node {
    const [u, v] = [a.map(this.#value), b?.map(this.#value) ?? a.map(() => 1)];
    const total = u.reduce((sum, x, i) => sum + x * v[i], 0);
    return b ? this.#push(total, [...a, ...b], [...v, ...u]) : this.#push(total, a, v);
  }

  mean = (nodes: readonly Node[]): Node => this.apply([this.dot(nodes)], ([v]) => [v / nodes.length])[0];

  /** f at every position of the shape that the arrays broadcast to. */
  zip(arrays: readonly Nd[], f: (...values: number[]) => number): Nd {
    const rank = Math.max(...arrays.map((x) => x.shape.length));
    const sizes = arrays.map((x) => [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape]);
    const shape = Array.from({ length: rank }, (_, d) => sizes.map((s) => s[d]).find((n) => n !== 1) ?? 1);
    const spread = arrays.map((x, k) =>
      this.pick({ shape: sizes[k], nodes: x.nodes }, shape, (at) => at.map((c, d) => (sizes[k][d] === 1 ? 0 : c))),
    );
    const nodes = Array.from(
      { length: size(shape) },
      (_, i) =>
        this.apply(
          spread.map((x) => x.nodes[i]),
          (values) => [f(...values)],
        )[0],
    );
    return { shape, nodes };
  }

  /** Elements of x in another order or number: `source` gives the position in x for one of the result, null for `fill`. */
  pick(x: Nd, shape: Shape, source: (index: readonly number[]) => readonly number[] | null, fill = 0): Nd {
    const nodes = positions(shape).map((index) => {
      const from = source(index);
      return from ? x.nodes[flat(x.shape, from)] : this.#push(fill);
    });
    return { shape, nodes };
  }

  /** f of the numbers along the given axes, for every position of the others. */
  fold(x: Nd, axes: readonly number[], keepDims: boolean, f: Differentiable): Nd {
    const kept = x.shape.map((n, d) => (axes.includes(d) ? 1 : n));
    const key = (at: readonly number[]) =>
      flat(
        kept,
        at.map((c, d) => (axes.includes(d) ? 0 : c)),
      );
    const nodes = sets(x.shape, key, size(kept)).map((set) =>
      this.#known(
        set.map((k) => x.nodes[k]),
        f,
      ),
    );
    return { shape: keepDims ? kept : x.shape.filter((_, d) => !axes.includes(d)), nodes };
  }

  /** (x − mean) / √(variance + eps) among the elements that share a key below `count`. */
  normalize(x: Nd, key: (at: readonly number[]) => number, count: number, eps: number): Nd {
    const nodes = new Array<Node>(x.nodes.length);
    for (const set of sets(x.shape, key, count)) {
      const center = this.mean(set.map((k) => x.nodes[k]));
      const centered = set.map((k) => this.apply([x.nodes[k], center], ([v, m]) => [v - m])[0]);
      const squares = this.dot(centered, centered);
      for (const [i, k] of set.entries())
        [nodes[k]] = this.apply([centered[i], squares], ([d, s]) => [d / Math.sqrt(s / set.length + eps)]);
    }
    return { shape: x.shape, nodes };
  }

  /** 0 in place of what is below it. */
  relu(x: Nd): Nd {
    const zero = this.#push(0);
    return { shape: x.shape, nodes: x.nodes.map((node) => (this.#value(node) > 0 ? node : zero)) };
  }

  /** f, which gives as many numbers, of every line along an axis. */
  lines(x: Nd, axis: number, f: (values: number[]) => number[]): Nd {
    const nodes = new Array<Node>(x.nodes.length);
    for (const set of linesOf(x.shape, axis))
      for (const [i, node] of this.apply(
        set.map((k) => x.nodes[k]),
        f,
      ).entries())
        nodes[set[i]] = node;
    return { shape: x.shape, nodes };
  }

  /** Rows of a times columns of b, leading dimensions broadcast. */
  product(a: Nd, b: Nd): Nd {
    const [m, k] = a.shape.slice(-2) as [number, number];
    const n = b.shape.at(-1) as number;
    const rank = Math.max(a.shape.length, b.shape.length) - 2;
    const lead = (x: Nd) => [...new Array<number>(rank - x.shape.length + 2).fill(1), ...x.shape.slice(0, -2)];
    const [la, lb] = [lead(a), lead(b)];
    const shape = [...la.map((c, d) => (c === 1 ? lb[d] : c)), m, n];
    const start = (sizes: number[], at: readonly number[]) =>
      flat(
        sizes,
        sizes.map((c, d) => (c === 1 ? 0 : at[d])),
      );
    const nodes = positions(shape).map((at) => {
      const [i, j] = at.slice(-2) as [number, number];
      const [p, q] = [(start(la, at) * m + i) * k, start(lb, at) * k * n + j];
      return this.dot(
        a.nodes.slice(p, p + k),
        Array.from({ length: k }, (_, c) => b.nodes[q + c * n]),
      );
    });
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

/** Positions of the elements that share a key below `count`. */
function sets(shape: Shape, key: (at: readonly number[]) => number, count: number): number[][] {
  const found = Array.from({ length: count }, (): number[] => []);
  for (const [k, at] of positions(shape).entries()) found[key(at)].push(k);
  return found;
}

/** Positions of the elements of every line along an axis. */
export function linesOf(shape: Shape, axis: number): number[][] {
  const others = shape.with(axis, 1);
  return sets(shape, (at) => flat(others, at.with(axis, 0)), size(others));
}
