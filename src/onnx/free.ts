// The sizes that stay free, and examples of other sizes.
import { at } from '../../shaders/checked';
import { mapTensors } from '../autograd/autocast';
import { tensorsIn } from '../autograd/tape';
import { tensor } from '../tensor/create';
import type { TypedArray } from '../tensor/dtype';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { refusal } from './draft';
import type { Free } from './merge';
import { passesFor } from './polynomial';

/** Names of free dimensions, by the names of inputs. */
export type DynamicAxes = Readonly<Record<string, Readonly<Record<number, string>>>>;

interface Place {
  readonly input: string;
  readonly dim: number;
}

/** More would need too many passes. */
const MOST = 4;

/** By default the first dimension of the first input, and of others that agree with it. */
function batchOf(inputs: readonly Tensor[], names: readonly string[]): DynamicAxes {
  const batch = inputs[0]?.shape[0];
  const first = names.filter((_, i) => batch !== undefined && inputs[i]?.shape[0] === batch);
  return Object.fromEntries(first.map((name) => [name, { 0: 'batch' }]));
}

/** Three sizes: that of the example and smaller ones, or from 2 on, since 1 may mean that something is repeated. */
const sizesFrom = (n: number): [number, number, number] => (n >= 4 ? [n, n - 1, n - 2] : [2, 3, 4]);

/** The free sizes and all the passes to make, with functions that give the arguments of each. */
export async function freeSizes(
  args: readonly unknown[],
  names: readonly string[],
  given: DynamicAxes | undefined,
): Promise<{ free: Free; examples: (() => readonly unknown[])[] }> {
  const inputs = [...tensorsIn(args)];
  const axes = given ?? batchOf(inputs, names);
  const places = new Map<string, Place[]>();
  for (const [input, dims] of Object.entries(axes)) {
    const x = inputs[names.indexOf(input)];
    if (!x) throw refusal(`dynamicAxes names '${input}', the inputs are ${names.join(', ')}`);
    for (const [key, name] of Object.entries(dims)) {
      const dim = Number(key);
      const n = x.shape[dim];
      if (n === undefined || typeof name !== 'string' || !/^[A-Za-z_]\w*$/.test(name))
        throw refusal(`dynamicAxes names dimension ${key} of '${input}' [${x.shape}] '${name}'`, "Use { 0: 'batch' }.");
      const list = places.get(name) ?? [];
      const first = list[0];
      if (first && inputs[names.indexOf(first.input)]?.shape[first.dim] !== n)
        throw refusal(`'${name}' is ${n} in '${input}' and another size in '${first.input}'`, 'Use two names.');
      places.set(name, [...list, { input, dim }]);
    }
  }
  if (places.size > MOST) throw refusal(`${places.size} free sizes, at most ${MOST} can be told apart`);
  const groups = [...places.values()];
  const exampleSize = ({ input, dim }: Place): number => inputs[names.indexOf(input)]?.shape[dim] ?? 1;
  const passes = passesFor(groups.map((group) => sizesFrom(exampleSize(at(group, 0)))));
  const host = groups.length ? await Promise.all(inputs.map((x) => x.data())) : [];
  const examples = passes.map((sizes, pass) => () => {
    if (!groups.length) return args;
    let i = 0;
    return mapTensors([...args], (x) => {
      const k = i++;
      const shape = x.shape.map((n, dim) => {
        const free = groups.findIndex((group) => group.some((p) => p.input === names[k] && p.dim === dim));
        return free < 0 ? n : at(sizes, free);
      });
      return resized(x, at(host, k), shape, pass);
    });
  });
  const free = { names: [...places.keys()], places: groups.map((group) => at(group, 0)), passes };
  return { free: groups.length ? free : { ...free, passes: [[]] }, examples: groups.length ? examples : [() => args] };
}

/** An example's values in another shape, from another place on in each pass. */
function resized(x: Tensor, values: TypedArray, shape: readonly number[], pass: number): Tensor {
  const n = size(shape);
  const numbers = Array.from({ length: n }, (_, i) => values[(i + pass) % Math.max(1, values.length)] ?? 0);
  return tensor(numbers, { shape, dtype: x.dtype });
}
