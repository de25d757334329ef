// Runs a straight-line program of the conformance schema: values, and gradients of its inputs.
import { backward } from '../../src/autograd/backward';
import { endStep } from '../../src/tensor/memory';
import type { Tensor } from '../../src/tensor/tensor';
import type { ProgramCase } from './case';
import { load } from './case';
import { difference } from './compare';
import { evaluate } from './operations';
import type { Outcome } from './outcome';
import { outcomeOf } from './outcome';

/** One outcome for the values, if any are expected, and one for the gradients. */
export async function runProgram(c: ProgramCase): Promise<Outcome[]> {
  const { expect = {}, grad } = c;
  const outcomes: Outcome[] = [];
  const leaves: Record<string, Tensor> = {};
  const values = new Map<string, Tensor>();
  const forward = await outcomeOf(c, 'forward', async () => {
    for (const [name, stored] of Object.entries(c.inputs)) {
      leaves[name] = load(stored, stored.dtype === 'float32' && name in (grad?.expect ?? {}));
      values.set(name, leaves[name]);
    }
    for (const step of c.steps) {
      const inputs = step.in.map((name) => (name === null ? undefined : values.get(name)));
      const results = evaluate(step.op, inputs as Tensor[], step.attrs);
      step.out.forEach((name, i) => {
        if (name === null) return;
        if (!results[i]) throw new Error(`${step.op} gave no result number ${i}`);
        values.set(name, results[i]);
      });
    }
    for (const [name, want] of Object.entries(expect)) {
      const problem = await difference(name, values.get(name)!, want, c.tolerance);
      if (problem) return problem;
    }
    return null;
  });
  if (Object.keys(expect).length || forward.status !== 'passed') outcomes.push(forward);
  if (grad) {
    const gradients = await outcomeOf(c, 'gradient', async () => {
      const y = values.get(grad.of);
      if (!y) return 'the values could not be computed';
      // Where nothing is differentiable (comparisons, positions, integers), the gradient is zero.
      if (y.requiresGrad) backward(y, { gradient: grad.upstream ? leaves[grad.upstream] : load(ones(y.shape)) });
      for (const [name, want] of Object.entries(grad.expect)) {
        const problem = await difference(`gradient of ${name}`, leaves[name].grad, want, c.tolerance);
        if (problem) return problem;
      }
      return null;
    });
    outcomes.push(forward.status === 'not applicable' ? { ...forward, direction: 'gradient' } : gradients);
  }
  for (const leaf of Object.values(leaves)) {
    leaf.grad?.dispose();
    leaf.dispose();
  }
  endStep();
  return outcomes;
}

function ones(shape: readonly number[]) {
  const size = shape.reduce((product, n) => product * n, 1);
  return { shape: [...shape], dtype: 'float32' as const, data: new Array<number>(size).fill(1) };
}
