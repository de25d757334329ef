// Second derivatives against finite differences of first ones, for second.test.ts.
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward, grad } from '../../src/autograd/backward';
import { noGrad } from '../../src/autograd/tape';
import { tensor } from '../../src/tensor/create';
import { type Shape, size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { numbers } from '../util';

/** Random numbers of low … high [shape], a leaf with gradients. */
export const draw = (shape: Shape, seed: number, low = -1, high = 1): Tensor =>
  tensor(Float32Array.from(numbers(size(shape), seed, low, high)), { shape, requiresGrad: true });

/** Numbers of both signs that keep from 0 and from each other. */
export const apart = (shape: Shape, seed: number): Tensor => {
  const order = numbers(size(shape), seed).map(
    (x, i) => (x < 0 ? -1 : 1) * (0.2 + (((i * 7 + seed) % 11) + 0.3 * x) / 12),
  );
  return tensor(order, { shape, dtype: 'float32', requiresGrad: true });
};

/**
 * The derivative of S = Σ ⟨uᵢ, ∂⟨v, f⟩/∂xᵢ⟩ along a direction of all inputs and v: from gradients with a history, against differences of S made of
 * the plain gradients.
 */
export async function agrees(
  f: (...x: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  tolerance = 2e-3,
): Promise<void> {
  const shapes = [...inputs.map((x) => x.shape), noGrad(() => f(...inputs)).shape];
  const points: ArrayLike<number>[] = await Promise.all(inputs.map((x) => x.data()));
  points.push(numbers(size(shapes[inputs.length]), 7, 0.5, 1.5));
  const [weights, directions] = [8, 9].map((seed) => shapes.map((shape, i) => numbers(size(shape), seed + 10 * i)));
  const at = (t: number) =>
    shapes.map((shape, i) =>
      tensor(
        Float64Array.from(points[i], (x, k) => x + t * directions[i][k]),
        { shape, dtype: 'float32', requiresGrad: true },
      ),
    );
  const gradients = (all: readonly Tensor[], createGraph: boolean) => {
    const x = all.slice(0, -1);
    return grad(f(...x), x, { gradient: all[x.length], createGraph });
  };
  const objective = async (t: number) => {
    let sum = 0;
    for (const [i, g] of gradients(at(t), false).entries())
      if (g) for (const [k, value] of (await g.data()).entries()) sum += weights[i][k] * value;
    return sum;
  };
  const slope = async (h: number) => ((await objective(h)) - (await objective(-h))) / (2 * h);
  const numeric = (4 * (await slope(0.01)) - (await slope(0.02))) / 3;
  const all = at(0);
  const terms = gradients(all, true).map((g, i) =>
    g?.mul(tensor(weights[i], { shape: shapes[i], dtype: 'float32' })).sum(),
  );
  backward(terms.filter((t) => t !== undefined).reduce((a, b) => a.add(b)));
  let analytic = 0;
  for (const [i, { grad: g }] of all.entries())
    if (g) for (const [k, value] of (await g.data()).entries()) analytic += directions[i][k] * value;
  const error = Math.abs(analytic - numeric) / Math.max(1, Math.abs(numeric));
  assert.ok(error <= tolerance, `${analytic} by gradients, ${numeric} by differences`);
}
