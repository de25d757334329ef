// Particles change places by exchanging what their tensors hold: the modules stay where they are. So they may differ in nothing but that. This
// looks for the first difference between two of them: class, shapes, options, functions, training mode, whether parameters are trained.
import { Apply } from '../nn/apply';
import { type AnyModule, Module } from '../nn/module';
import { Parameter, State } from '../nn/parameter';
import { showShape } from '../tensor/shape';
import { Tensor } from '../tensor/tensor';

export interface Likeness {
  /** Functions of the same source count as the same: for modules that one factory makes alike. Otherwise they must be the same function. */
  sameSource: boolean;
  /**
   * Whether they are about to change places: then what a user has set for one of them counts, training mode and trained or frozen; and tensors
   * that are neither parameters nor states, such as results that a forward pass has kept, do not.
   */
  moving: boolean;
  /** Leaves the training modes out of that. */
  anyMode?: boolean;
}

/** What differs, as `0.options.dilation is 1, not 2`; null where only weights and states do. What #private fields hold is not seen. */
export function difference(a: AnyModule, b: AnyModule, likeness: Likeness): string | null {
  return compare(a, b, '', likeness, new Set());
}

function compare(a: unknown, b: unknown, path: string, likeness: Likeness, seen: Set<object>): string | null {
  if (Object.is(a, b)) return null;
  const differs = () => `${path || 'it'} is ${show(a)}, not ${show(b)}`;
  if (typeof a === 'function' && typeof b === 'function')
    return likeness.sameSource && String(a) === String(b) ? null : `${path} is a function of its own`;
  if (!isObject(a) || !isObject(b) || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return differs();
  if (seen.has(a)) return null;
  seen.add(a);
  if (a instanceof Tensor && b instanceof Tensor) {
    if (!(a instanceof Parameter || a instanceof State))
      return likeness.moving ? null : `${path} is a tensor that would stay when the particle moves; make it a State`;
    if (likeness.moving && a.requiresGrad !== b.requiresGrad)
      return `${path} is ${a.requiresGrad ? 'trained, not frozen' : 'frozen, not trained'}`;
    return `${a.dtype} ${a.shape}` === `${b.dtype} ${b.shape}` ? null : differs();
  }
  if (ArrayBuffer.isView(a)) return String(a) === String(b) ? null : differs();
  const [left, right] = [entriesOf(a, likeness), entriesOf(b, likeness)];
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const found = compare(left.get(key), right.get(key), path ? `${path}.${key}` : String(key), likeness, seen);
    if (found) return found;
  }
  return null;
}

const isObject = (x: unknown): x is object => typeof x === 'object' && x !== null;

/** The parts of an object by name. */
function entriesOf(x: object, { moving, anyMode }: Likeness): Map<unknown, unknown> {
  if (x instanceof Map) return x;
  if (x instanceof Set) return new Map([...x].entries());
  const entries = new Map<unknown, unknown>(Object.entries(x));
  // Containers keep their modules where no field shows them.
  if (x instanceof Module) for (const [name, child] of x.children()) entries.set(name, child);
  if (moving && !anyMode && x instanceof Module) entries.set('training', x.training);
  // A layer that says its options in words has a function of its own for each set of them.
  if (x instanceof Apply && x.text) entries.delete('apply_');
  return entries;
}

function show(x: unknown): string {
  if (x instanceof Tensor) return `${x.constructor.name} ${showShape(x.shape)}`;
  if (typeof x === 'function') return 'a function';
  if (isObject(x)) return Array.isArray(x) ? 'an array' : `a ${x.constructor?.name ?? 'plain object'}`;
  return x === undefined ? 'nothing' : (JSON.stringify(x) ?? String(x));
}
