// Checkpointing: computes a part of a network again in the backward pass instead of keeping what lies between its input and its output.
import { inputError } from '../tensor/context';
import { owned } from '../tensor/memory';
import { loggedDraws, withDraws } from '../tensor/random';
import { Tensor } from '../tensor/tensor';
import { sameAutocast } from './autocast';
import { resume } from './backward';
import { recomputing } from './modes';
import { enableGrad, isRecording, memoriesIn, nextNode, record, recordedSince, withoutHistory } from './tape';

/**
 * f(…inputs) as `torch.utils.checkpoint`: of what f computes only the result stays; `backward` runs f once more. Values and gradients are those
 * without it, bit for bit: dropout repeats its masks, and running statistics move once. `f` is any function of tensors that gives one tensor,
 * such as `(x) => block.forward(x)`, and must do the same both times.
 *
 *     const y = checkpoint((x) => this.block.forward(x), x);
 */
export function checkpoint(f: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  if (!isRecording()) return f(...inputs);
  const since = nextNode();
  const { result: y, draws } = loggedDraws(() => owned(() => f(...inputs), memoriesIn));
  if (!(y instanceof Tensor)) throw inputError('checkpoint', 'the function did not return one tensor');
  const { nodes, sources } = recordedSince(since, y);
  if (nodes.length === 0) return y;
  for (const node of nodes) node.finish(); // what they hold goes, the result stays
  const same = sameAutocast();
  const again = () => same(() => withDraws(draws, () => recomputing(() => enableGrad(() => f(...inputs)))));
  const rule = (gradient: Tensor) => {
    // Nothing needs the result: it goes with what else no node has saved.
    resume(
      owned(again, () => []),
      gradient,
    );
    return [];
  };
  return record('checkpoint', sources, withoutHistory(y), [...new Set([...sources, ...inputs])], rule, {
    recomputes: true,
  });
}

/**
 * The functions one after the other in `segments` parts of about equal length (default ⌈√n⌉: memory O(√n)), each of which is checkpointed, as
 * `torch.utils.checkpoint_sequential`.
 */
export function checkpointSequential(
  functions: readonly ((x: Tensor) => Tensor)[],
  x: Tensor,
  segments = Math.ceil(Math.sqrt(functions.length)),
): Tensor {
  if (!(Number.isInteger(segments) && segments >= 1))
    throw inputError('checkpointSequential', `${segments} segments`, { input: x }, 'Use a whole number ≥ 1.');
  const cut = (k: number) => Math.round((k * functions.length) / segments);
  let y = x;
  for (let s = 0; s < segments; s++) {
    const [from, to] = [cut(s), cut(s + 1)];
    if (to > from) y = checkpoint((input) => functions.slice(from, to).reduce((z, f) => f(z), input), y);
  }
  return y;
}
