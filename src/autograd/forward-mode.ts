// Forward mode: a Jacobian times a vector. The function is recorded as for `backward`, and tangents are pushed through the record from the
// inputs to the result, operation by operation.
import { at, there } from '../../shaders/checked';
import { checked, is } from '../gpu/options';
import { inputError } from '../tensor/context';
import { zeros } from '../tensor/create';
import { evaluate } from '../tensor/elementwise';
import { sameShape } from '../tensor/shape';
import { requireFloats, type Tensor } from '../tensor/tensor';
import { gradSince, isPushing, pushing, withHistory } from './backward';
import { castTo } from './cast';
import {
  enableGrad,
  type Node,
  nextNode,
  type Rule,
  recordedSince,
  recordedSum,
  recordLinear,
  SYMMETRIC,
  scopedNoGrad,
  sumOf,
  withoutHistory,
} from './tape';

/** Options of `jvp`. */
export interface JvpOptions {
  /** Both results have a history: gradients of them can be taken. Inside the function of another `jvp` they always have. */
  createGraph?: boolean;
}

/**
 * f(…inputs) and its directional derivative Σ ∂f/∂inputᵢ · tangentᵢ, exact, in one pass, as `torch.func.jvp`. Tangents have the shapes of their
 * inputs. Inside of f there may be another `jvp`, or a `grad` with `createGraph`: that gives second derivatives. Throws InputError that names the
 * operation where one has no rule for it.
 *
 *     const { value, tangent } = jvp((x) => block.forward(x), [x], [v]);   // tangent = ∇f(x)·v
 */
export function jvp(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  tangents: readonly Tensor[],
  options: JvpOptions = {},
): { value: Tensor; tangent: Tensor } {
  const { createGraph = isPushing() } = checked('jvp', options, { createGraph: is.flag });
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
  const run = () => {
    // Views of the inputs, where the tangents start; with a history they depend on the inputs themselves.
    const own = inputs.map((x) =>
      createGraph && x.requiresGrad
        ? recordLinear('input', x, withoutHistory, withoutHistory)
        : withoutHistory(x).requiresGrad_(),
    );
    const since = nextNode();
    const y = pushing(() => f(...own));
    const { nodes } = recordedSince(since, y);
    const known = new Map<object, Tensor>(own.map((x, i) => [x.gradNode ?? x, at(tangents, i)]));
    for (const node of nodes) {
      const given = node.inputs.map((x) => typed(known.get(x.gradNode ?? x), x));
      if (given.some(Boolean)) known.set(node, push(node, given, createGraph));
    }
    const tangent =
      known.get(y.gradNode ?? y) ?? evaluate({ name: 'jvp', expression: '0.0', operands: {}, shape: y.shape });
    if (createGraph) return { value: y, tangent };
    for (const node of nodes) node.finish();
    return { value: withoutHistory(y), tangent: withoutHistory(tangent) };
  };
  return createGraph ? withHistory(run) : scopedNoGrad(run);
}

/** A tangent in the type of what it belongs to. */
const typed = (tangent: Tensor | undefined, { dtype }: Tensor): Tensor | null =>
  tangent ? castTo(tangent, dtype) : null;

function push(node: Node, tangents: readonly (Tensor | null)[], createGraph: boolean): Tensor {
  const { push: rule, differentiable, several, output } = node.options;
  if (rule && !createGraph) {
    const tangent = rule === SYMMETRIC ? symmetric(node, tangents) : rule(...tangents);
    if (tangent) return tangent;
  }
  const needs = tangents.map((t) => t !== null);
  if (differentiable) {
    if (!several)
      return at(
        transposed([node.shape], (u) => differentiable(at(u, 0), needs, null, u), tangents, createGraph),
        0,
      );
    if (output !== undefined) return at(several.tangents, output);
    several.tangents = transposed(
      several.shapes,
      (u) => differentiable(at(u, 0), needs, null, u),
      tangents,
      createGraph,
    );
    return zeros(node.shape); // stands for all of them
  }
  throw inputError(
    'jvp',
    `'${node.name}'${node.path ? ` in ${node.path}` : ''} has no forward-mode rule`,
    { result: node.shape },
    'Write the function with other operations, or give a customFunction a jvp.',
  );
}

function symmetric(node: Node, tangents: readonly (Tensor | null)[]): Tensor {
  const tangent = there(tangents[0], `tangent of '${node.name}'`);
  const needs = tangents.map((_, i) => i === 0);
  return node.rule(tangent, needs)[0] || tangent;
}

/** J·t of each output from the gradient rule u ↦ Jᵀ·u, which is linear in the u of the outputs: the gradients of ⟨Jᵀ·u, t⟩ by u. */
function transposed(
  shapes: readonly (readonly number[])[],
  rule: (u: readonly Tensor[]) => ReturnType<Rule>,
  tangents: readonly (Tensor | null)[],
  createGraph: boolean,
): Tensor[] {
  return enableGrad(() => {
    const u = shapes.map((shape) => zeros(shape).requiresGrad_());
    const since = nextNode();
    const terms = rule(u).flatMap((v, i) => {
      const gradient = tangents[i];
      if (!v || !gradient || !v.requiresGrad) return [];
      if (u.includes(v)) return [u.map((own) => (v === own ? gradient : null))];
      return [gradSince(since, v, u, { gradient, createGraph, retainGraph: true })];
    });
    return shapes.map((shape, k) => {
      const own = terms.flatMap((list) => list[k] ?? []);
      return own.length ? own.reduce(createGraph ? recordedSum : sumOf) : zeros(shape);
    });
  });
}
