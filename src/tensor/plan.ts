// Runs the few launches of a plan (convolution, matrix product).
import type { Plan } from '../../shaders/kernel';
import type { Binding } from '../gpu';
import { device } from '../gpu';
import { bind } from './elementwise';
import type { Tensor } from './tensor';
import { empty } from './tensor';

/** Computes `out` from the operands a and b. Scratch goes back to the pool at once: the queue keeps its order. */
export function runPlan(name: string, plan: Plan, a: Binding, b: Binding, out: Tensor): void {
  const scratch = plan.scratch.map((floats) => empty(`${name} scratch`, [floats]));
  for (const { kernel, inputs, output } of plan.stages) {
    const sources = inputs.map((input) => (input === 'a' ? a : input === 'b' ? b : bind(scratch[input])));
    device().launch(kernel, [...sources, bind(output === 'out' ? out : scratch[output])]);
  }
  for (const tensor of scratch) tensor.dispose();
}
