// Forward mode: a Jacobian times a vector. The function is recorded as for `backward`, and tangents are pushed through the record from the
// inputs to the result, operation by operation.
import { inputError } from '../tensor/context';
import { evaluate } from '../tensor/elementwise';
import { sameShape } from '../tensor/shape';
import { requireFloats, type Tensor } from '../tensor/tensor';
import { pushing } from './backward';
import { type Node, nextNode, recordedSince, SYMMETRIC, scopedNoGrad, withoutHistory } from './tape';

/**
 * f(…inputs) and its directional derivative Σ ∂f/∂inputᵢ · tangentᵢ, exact, in one pass, as `torch.func.jvp`. Tangents have the shapes of their
 * inputs. Both results are without history, so a `jvp`, `grad` or `backward` inside of f is refused. Throws InputError that names the operation
 * where one has no rule for it.
 *
 *     const { value, tangent } = jvp((x) => block.forward(x), [x], [v]);   // tangent = ∇f(x)·v
 */
export function jvp(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  tangents: readonly Tensor[],
): { value: Tensor; tangent: Tensor } {
  inputs.forEach((x, i) => {
    if (!tangents[i] || !sameShape(tangents[i].shape, x.shape))
      throw inputError(
        'jvp',
        `tangent ${i} does not have the shape of its input`,
        { input: x, ...(tangents[i] && { tangent: tangents[i] }) },
        'Give one tangent for each input.',
      );
    requireFloats('jvp', { [`input ${i}`]: x, [`tangent ${i}`]: tangents[i] });
  });
  return scopedNoGrad(() => {
    const since = nextNode();
    const own = inputs.map((x) => withoutHistory(x).requiresGrad_());
    const y = pushing(() => f(...own));
    const { nodes } = recordedSince(since, y);
    const known = new Map<object, Tensor>(own.map((x, i) => [x, tangents[i]]));
    for (const node of nodes) {
      const given = node.inputs.map((x) => known.get(x.gradNode ?? x) ?? null);
      if (given.some(Boolean)) known.set(node, push(node, given));
    }
    const tangent =
      known.get(y.gradNode ?? y) ?? evaluate({ name: 'jvp', expression: '0.0', operands: {}, shape: y.shape });
    for (const node of nodes) node.finish();
    return { value: withoutHistory(y), tangent: withoutHistory(tangent) };
  });
}

function push(node: Node, tangents: readonly (Tensor | null)[]): Tensor {
  const rule = node.options.push;
  if (!rule)
    throw inputError(
      'jvp',
      `'${node.name}'${node.path ? ` in ${node.path}` : ''} has no forward-mode rule`,
      { result: node.shape },
      'Write the function with other operations, or give a customFunction a jvp.',
    );
  return rule === SYMMETRIC
    ? node.rule(
        tangents[0]!,
        tangents.map((_, i) => i === 0),
      )[0] || tangents[0]!
    : rule(...tangents);
}
