// State dicts of optimizers, tensors by name: what is kept for the parameter at position 0 as `0.momentum`, under `steps` how often each was
// updated, and options of the groups as `groups.0.lr`. Those are the bits of float64 numbers, as pairs of uint32 words: a run goes on with exactly
// the same numbers from any file of tensors.

import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import type { Parameter } from '../nn/parameter';
import { hostValues, tensor } from '../tensor/create';
import { sameShape, showShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { FORMER } from './option-names';
import { rates } from './rates';

/** The key of the update counts. */
export const STEPS = 'steps';

/** What a state dict holds: options of each group, and for each parameter its buffers and updates, null where it begins again. */
export interface SavedState {
  readonly options: readonly object[];
  readonly states: readonly { buffers: ReadonlyMap<string, Tensor>; step: number | null }[];
}

/**
 * What a state dict holds of parameters, whose rules keep the buffers of `namesOf`. `steps` counts updates where the dict does not. Throws
 * InputError where it does not fit.
 */
export function savedState(
  dict: Readonly<Record<string, Tensor>>,
  parameters: readonly Parameter[],
  namesOf: (parameter: Parameter) => readonly string[],
  steps: number | undefined,
): Pick<SavedState, 'states'> {
  const stored = dict[STEPS];
  const counts = stored ? hostValues(stored) : parameters.map(() => steps);
  if (!counts) throw new InputError(`the saved '${STEPS}' cannot be read here: give a tensor made by tensor(data)`);
  if (counts.length !== parameters.length)
    throw new InputError(
      `the state dict counts the steps of ${counts.length} parameters, this optimizer has ${parameters.length}`,
    );
  const found = new Map<Parameter, Map<string, Tensor>>();
  for (const [key, value] of Object.entries(dict)) {
    if (key === STEPS || key.startsWith(PREFIX)) continue;
    const [index, name = ''] = key.split('.');
    const parameter = parameters[Number(index)];
    if (!parameter || !sameShape(parameter.shape, value.shape) || value.dtype !== parameter.dtype)
      throw new InputError(`the saved buffer ${key} ${showShape(value.shape)} fits no parameter of this optimizer`);
    const count = counts[Number(index)];
    if (count === undefined || !(Number.isInteger(count) && count >= 0))
      throw new InputError(
        `the state dict does not tell how often parameter ${index} was updated: pass loadStateDict(dict, steps)`,
      );
    if (!namesOf(parameter).includes(name))
      throw new InputError(
        `the state dict has '${name}' of parameter ${index}, these options keep [${namesOf(parameter)}]`,
      );
    found.set(parameter, (found.get(parameter) ?? new Map()).set(name, value));
  }
  const states = parameters.map((parameter, i) => {
    const buffers = found.get(parameter);
    // A rule that keeps nothing counts all the same.
    const count = counts[i];
    const counted = buffers || (stored && count && !namesOf(parameter).length);
    return { buffers: buffers ?? new Map<string, Tensor>(), step: counted && count !== undefined ? count : null };
  });
  return { states };
}

const PREFIX = 'groups.';
type Value = number | boolean | string | null | readonly number[];
type Group = Record<string, unknown> & { lr: number };

/** The options of each group, by names that begin with `groups.`. */
export function groupTensors(groups: readonly object[]): Record<string, Tensor> {
  const entries = groups.flatMap((group, i) =>
    Object.entries(group)
      .filter(([name]) => name !== 'params')
      .map(([name, value]) => [`${PREFIX}${i}.${name}`, tensor(bitsOf(value as Value))] as const),
  );
  return Object.fromEntries(entries);
}

/**
 * The options that a state dict holds, one object a group; none of a dict of earlier versions. Throws InputError where there are other groups, or
 * other options.
 */
export function savedOptions(dict: Readonly<Record<string, Tensor>>, groups: readonly object[]): object[] {
  const saved = Object.entries(dict).filter(([key]) => key.startsWith(PREFIX));
  const found: Record<string, Value>[] = groups.map(() => ({}));
  const count = new Set(saved.map(([key]) => key.split('.')[1])).size;
  if (count && count !== groups.length)
    throw new InputError(`the state dict has ${count} groups, this optimizer has ${groups.length}`);
  for (const [key, value] of saved) {
    const [, index, saved = ''] = key.split('.');
    const name = FORMER[saved] ?? saved;
    const now = (groups[Number(index)] as Group | undefined)?.[name] as Value | undefined;
    if (now === undefined || name === 'params')
      throw new InputError(`the state dict has '${key}', an option that there is not`);
    const words = hostValues(value);
    if (!words || value.dtype !== 'uint32' || words.length % 2 !== 0)
      throw new InputError(
        `the saved '${key}' cannot be read here: it is no tensor that stateDict() or a file has made`,
      );
    at(found, Number(index))[name] = decoded(words, now);
  }
  return found;
}

/** Sets options of groups, the rates as what the schedulers have made of them. */
export function setOptions(groups: readonly object[], options: readonly object[]): void {
  groups.forEach((group, i) => {
    Object.assign(group, options[i]);
    const rate = rates.get(group);
    if (rate) rate.scheduled = (group as Group).lr;
  });
}

function bitsOf(value: Value): Uint32Array {
  const text = value === null || typeof value === 'string'; // as the codes of its letters
  const numbers = text ? Array.from(value ?? '', (c) => c.charCodeAt(0)) : Array.isArray(value) ? value : [value];
  return new Uint32Array(Float64Array.from(numbers, Number).buffer);
}

function decoded(words: ArrayLike<number>, like: Value): Value {
  const numbers = [...new Float64Array(Uint32Array.from(words).buffer)];
  if (Array.isArray(like)) return numbers;
  if (like === null || typeof like === 'string') return String.fromCharCode(...numbers) || null;
  return typeof like === 'boolean' ? at(numbers, 0) !== 0 : at(numbers, 0);
}
