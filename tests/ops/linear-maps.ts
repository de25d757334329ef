// Shared by the tests of operations that are linear in their input.
import * as assert from 'uvu/assert';
import { grad } from '../../src/autograd/backward';
import { gradcheck } from '../../src/autograd/gradcheck';
import { mul } from '../../src/ops/elementwise';
import { sum } from '../../src/ops/reduce';
import { tensor } from '../../src/tensor/create';
import type { Shape } from '../../src/tensor/shape';
import { size } from '../../src/tensor/shape';
import { strided, type Tensor } from '../../src/tensor/tensor';
import { close, numbers } from '../util';

export const random = (shape: Shape, seed: number, requiresGrad = false): Tensor =>
  tensor(Float32Array.from(numbers(size(shape), seed)), { shape, requiresGrad });

/** 0 … n − 1 in a shape. */
export const counted = (shape: Shape): Tensor =>
  tensor(
    Float32Array.from({ length: size(shape) }, (_, i) => i),
    { shape },
  );

/** Checks gradient and push-forward of a linear f, that the gradient of its gradient is f again, and that a strided view gives what a copy gives. */
export async function checkLinear(f: (x: Tensor) => Tensor, shape: Shape): Promise<void> {
  await gradcheck(f, [random(shape, 1, true)], { kind: 'linear' });
  const x = random(shape, 2, true);
  const y = f(x);
  const u = random(y.shape, 3, true);
  const [g] = grad(y, [x], { gradient: u, createGraph: true });
  const v = random(shape, 4);
  const [again] = grad(sum(mul(g!, v)), [u]);
  const expected = await f(v).data();
  close(await again!.data(), expected, 1e-5, 'the gradient of the gradient');
  // Every second element of a tensor twice as long, from the second on.
  const twice = Float32Array.from({ length: 2 * v.size }, () => Number.NaN);
  for (const [i, value] of (await v.data()).entries()) twice[2 * i + 1] = value;
  const strides = v.strides.map((s) => 2 * s);
  assert.equal([...(await f(strided(tensor(twice), shape, strides, 1)).data())], [...expected]);
}
