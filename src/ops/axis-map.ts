// Sparse matrices along one axis: what resizing, padding and the windows of images have in common. The gradient is the transposed matrix.

import { axisMap } from '../../shaders/axis-map';
import { at } from '../../shaders/checked';
import { operation } from '../autograd/operation';
import { recordLinear } from '../autograd/tape';
import { device } from '../gpu';
import { tensor } from '../tensor/create';
import { contiguous, launchOn } from '../tensor/elementwise';
import { linesAlong } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';

/** Input positions and their weights: what one output is the sum of. */
export type Row = readonly (readonly [position: number, weight: number])[];

/** A sparse matrix [outputs, inputs] by rows, with its copies on devices. */
export class AxisMap {
  #transposed: AxisMap | null = null;
  readonly #tables = new WeakMap<object, Tensor>();

  constructor(
    readonly inputs: number,
    readonly rows: readonly Row[],
  ) {}

  get transposed(): AxisMap {
    if (!this.#transposed) {
      const columns = Array.from({ length: this.inputs }, (): [number, number][] => []);
      for (const [o, row] of this.rows.entries()) for (const [i, weight] of row) at(columns, i).push([o, weight]);
      this.#transposed = new AxisMap(this.rows.length, columns);
      this.#transposed.#transposed = this;
    }
    return this.#transposed;
  }

  get isIdentity(): boolean {
    const same = (row: Row, o: number) => row.length === 1 && row.every(([i, weight]) => i === o && weight === 1);
    return this.inputs === this.rows.length && this.rows.every(same);
  }

  /** The words that the kernel reads. One that is made while a step is traced belongs to that step. */
  get table(): Tensor {
    const known = this.#tables.get(device());
    if (known) return known;
    const entries = this.rows.flat();
    const words = new Int32Array(this.rows.length + 1 + 2 * entries.length);
    const weights = new Float32Array(words.buffer);
    let end = 0;
    for (const [o, row] of this.rows.entries()) words[o + 1] = end += row.length;
    for (const [k, [position, weight]] of entries.entries()) {
      words[this.rows.length + 1 + 2 * k] = position;
      weights[this.rows.length + 2 + 2 * k] = weight;
    }
    const made = tensor(words);
    if (!device().tracing) this.#tables.set(device(), made.keep());
    return made;
  }
}

const maps = new Map<string, AxisMap>();
/** Programs with more shapes than this make some maps again. */
const MOST_MAPS = 256;

/** The map that `key` stands for, made on first use: row o is `row(o)`. */
export function mapFor(
  key: readonly (string | number | boolean)[],
  inputs: number,
  outputs: number,
  row: (o: number) => Row,
): AxisMap {
  const name = JSON.stringify([...key, inputs, outputs]);
  const map =
    maps.get(name) ??
    new AxisMap(
      inputs,
      Array.from({ length: outputs }, (_, o) => row(o)),
    );
  maps.delete(name); // and in again, as the latest
  maps.set(name, map);
  const [oldest] = maps.keys();
  if (oldest !== undefined && maps.size > MOST_MAPS) maps.delete(oldest);
  return map;
}

function mapped(name: string, x: Tensor, axis: number, map: AxisMap): Tensor {
  const { inner } = linesAlong(x.shape, axis);
  const y = empty(name, x.shape.with(axis, map.rows.length), x.dtype);
  const constants = [y.size, inner, map.inputs, map.rows.length];
  launchOn(axisMap(), [contiguous(x), map.table, y], constants, y.size);
  return y;
}

/** x (float32 or float16) with the map applied along an axis; outputs that come from no input are 0. */
export const alongAxis = operation(
  'alongAxis',
  (name: string, x: Tensor, axis: number, map: AxisMap): Tensor =>
    recordLinear(
      name,
      x,
      (t) => mapped(name, t, axis, map),
      (g) => mapped(`${name} gradient`, g, axis, map.transposed),
    ),
);

/** Where the taps of windows lie: output k · outputs + o of the map is position o · stride − before + k · dilation, zero outside. */
export const windowMap = (
  n: number,
  outputs: number,
  kernel: number,
  stride: number,
  before: number,
  dilation: number,
): AxisMap =>
  mapFor(['windows', outputs, kernel, stride, before, dilation], n, kernel * outputs, (row) => {
    const position = (row % outputs) * stride - before + Math.floor(row / outputs) * dilation;
    return position >= 0 && position < n ? [[position, 1]] : [];
  });
