// Hooks see the gradient of a tensor in the backward pass; a computed tensor may also ask for its gradient to be kept.
import { inputError } from '../tensor/context';
import { asProgram } from '../tensor/memory';
import { sameShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';
import { Node } from './tape';

/** Asks `backward` to fill `grad` of a tensor that is no leaf. */
export function retainGrad(x: Tensor): Tensor {
  if (x.gradNode instanceof Node) {
    x.gradNode.retained = x;
    x.memory.escape();
  }
  return x;
}

/** Sees the gradient of a tensor in `backward()`; another one that it returns takes its place. */
export type GradientHook = ((gradient: Tensor) => Tensor) | ((gradient: Tensor) => void);

/** By the node of a computed tensor, or by the leaf. */
const hooks = new WeakMap<object, Set<GradientHook>>();

/**
 * Calls `hook` with ∂loss/∂x, all of it, at every `backward()`; what it returns, of the same shape, is used instead. Returns a function that
 * removes the hook. As in PyTorch, of a leaf before the gradient is added to `grad`.
 */
export function registerHook(x: Tensor, hook: GradientHook): () => void {
  if (!x.requiresGrad)
    throw inputError('registerHook', 'this tensor has no gradient', { tensor: x }, 'Only of what requires one.');
  const target = x.gradNode ?? x;
  const list = hooks.get(target) ?? new Set();
  hooks.set(target, list.add(hook));
  return () => void list.delete(hook);
}

/** The gradient after the hooks of its node or leaf. */
export function hooked(target: object, gradient: Tensor): Tensor {
  let g = gradient;
  for (const hook of hooks.get(target) ?? []) {
    g.memory.escape();
    const next: unknown = asProgram(() => hook(g));
    if (!(next instanceof Tensor)) continue;
    if (!sameShape(next.shape, g.shape) || next.dtype !== g.dtype)
      throw inputError(
        'registerHook',
        `the hook returned a gradient of another shape or type (${next.dtype})`,
        { gradient: g, returned: next },
        `Return one of the same shape and of ${g.dtype}, or nothing.`,
      );
    g = next;
  }
  return g;
}
