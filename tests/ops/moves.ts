// Operations that only move elements, checked against where each element of the result comes from: values, gradient, its gradient, forward mode.
import * as assert from 'uvu/assert';
import { grad } from '../../src/autograd/backward';
import { jvp } from '../../src/autograd/forward-mode';
import { mul } from '../../src/ops/elementwise';
import { sum } from '../../src/ops/reduce';
import { tensor } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, numbers } from '../util';

/** What a case says: name, shape of the input, operation, shape of the result, and which element each of its own is (−1: zero). */
export type Move = [string, Shape, (x: Tensor) => Tensor, Shape, readonly number[]];

const floats = (values: ArrayLike<number>, shape: Shape, requiresGrad = false) =>
  tensor(Float32Array.from(values), { shape, requiresGrad });

/** Checks one. */
export async function moves([what, shape, run, outShape, from]: Move): Promise<void> {
  const values = numbers(size(shape), what.length);
  const there = (source: ArrayLike<number>) => from.map((i) => (i < 0 ? 0 : source[i]));
  const x = floats(values, shape, true);
  const y = run(x);
  assert.equal(y.shape, outShape, what);
  close(await y.data(), there(values), 0, what);
  // The gradient of Σ u·y for x brings u back; that of Σ v·(that) for u is the operation on v.
  const [upstream, tangent] = [numbers(y.size, 3), numbers(x.size, 4)];
  const [u, v] = [floats(upstream, outShape, true), floats(tangent, shape)];
  const [back] = grad(sum(mul(y, u)), [x], { createGraph: true });
  const want = new Float64Array(x.size);
  from.forEach((i, k) => {
    if (i >= 0) want[i] += upstream[k];
  });
  close(await back!.data(), want, 1e-6, `${what}: gradient`);
  const [again] = grad(sum(mul(back!, v)), [u]);
  assert.ok(again, `${what}: no second derivative`);
  close(await again!.data(), there(tangent), 1e-6, `${what}: gradient of the gradient`);
  const { tangent: pushed } = jvp(run, [floats(values, shape)], [v]);
  close(await pushed.data(), there(tangent), 1e-6, `${what}: tangent`);
}

/** Positions in row-major order of the elements at these coordinates of `shape`. */
export const placesIn = (shape: Shape, coordinates: readonly (readonly number[])[]): number[] =>
  coordinates.map((at) => at.reduce((flat, c, d) => flat * shape[d] + c, 0));

/** 0 … n − 1 */
export const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Int32 tensors of nested lists or numbers. */
export const ints = (values: readonly number[], shape: Shape = [values.length]): Tensor =>
  tensor(Int32Array.from(values), { shape });
