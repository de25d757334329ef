// Judges a result against a stored tensor: |got − want| ≤ abs + rel·|want| for every element, in the same shape.
import type { Tensor } from '../../src/tensor/tensor';
import type { StoredTensor, Tolerance } from './case';
import { numberOf } from './case';

/** The problem with a result, naming the worst element, or null. */
export async function difference(
  name: string,
  got: Tensor | null,
  want: StoredTensor,
  { abs, rel }: Tolerance,
): Promise<string | null> {
  const shape = got ? got.shape : want.shape;
  if (shape.join() !== want.shape.join()) return `${name}: shape [${shape}], expected [${want.shape}]`;
  const data = got ? await got.data() : new Float32Array(want.data.length);
  let worst = 1;
  let problem: string | null = null;
  want.data.forEach((stored, i) => {
    const expected = numberOf(stored);
    if (Object.is(data[i], expected) || data[i] === expected) return;
    const distance = Math.abs(data[i] - expected) / (abs + rel * Math.abs(expected));
    const error = Number.isFinite(distance) ? distance : Infinity;
    if (error <= worst && problem) return;
    if (error <= 1) return;
    worst = error;
    problem = `${name}[${i}] is ${data[i]}, expected ${expected} (abs ${abs}, rel ${rel})`;
  });
  return problem;
}
