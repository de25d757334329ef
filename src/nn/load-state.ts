// Loading a state dict: which key is whose, and one error that lists all that does not fit.
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { copyInto } from '../tensor/elementwise';
import { sameShape, showShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';
import type { LoadReport, StateDict } from './stored';

/** `fooBar` → `foo_bar`: PyTorch's spelling, which is understood when loading. */
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * Copies the values of `dict` into the tensors of a module by their names, of which those in `required` must come. Nothing is changed where one
 * does not fit. Also gives the tensors that were loaded.
 */
export function loadByName(
  module: string,
  own: ReadonlyMap<string, Tensor>,
  required: readonly string[],
  dict: Readonly<StateDict>,
  options: { strict?: boolean },
): LoadReport & { loaded: Set<Tensor> } {
  const { strict = true } = checked('loadStateDict', options, { strict: is.flag });
  requireTensors('loadStateDict', dict);
  const given = new Map(Object.entries(dict));
  const pairs: { key: string; target: Tensor; value: Tensor }[] = [];
  for (const [name, target] of own) {
    const snake = snakeCase(name);
    const key = given.has(name) || own.has(snake) ? name : snake;
    const value = given.get(key);
    if (value) pairs.push({ key, target, value });
  }
  const used = new Set(pairs.map(({ key }) => key));
  const loaded = new Set(pairs.map(({ target }) => target));
  const show = (x?: Tensor) => showShape(x?.shape ?? []);
  // Counts of batches may come or not: dicts of before PyTorch 0.4, and of other programs, have none.
  const isCount = (key: string) => key.endsWith('num_batches_tracked');
  const missing = required.filter((name) => !loaded.has(own.get(name) as Tensor) && !isCount(name));
  const unexpected = [...given.keys()].filter((key) => !used.has(key) && !own.has(key) && !isCount(key));
  const problems = [
    ...(strict ? missing.map((key) => `missing: ${key} ${show(own.get(key))}`) : []),
    ...(strict ? unexpected.map((key) => `unexpected: ${key} ${show(given.get(key))}`) : []),
    ...pairs
      .filter(({ target, value }) => !sameShape(target.shape, value.shape))
      .map(
        ({ key, target, value }) => `shape of ${key}: ${show(value)} in the state dict, ${show(target)} in the module`,
      ),
  ];
  if (problems.length) {
    const shown = problems.slice(0, 20);
    if (problems.length > 20) shown.push(`and ${problems.length - 20} more`);
    throw new InputError(
      `loadStateDict: the state dict does not fit ${module}; nothing was loaded\n  ${shown.join('\n  ')}`,
    );
  }
  for (const { target, value } of pairs) copyInto(target, value);
  return { missing, unexpected, loaded };
}
