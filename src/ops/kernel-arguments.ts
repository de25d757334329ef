// What a kernel of the user's own is launched on, checked before anything runs.

import { requireWritable } from '../autograd/overwrite';
import { isRecording } from '../autograd/tape';
import { type Constant, f32, Scalar } from '../gpu';
import { inputError } from '../tensor/context';
import { checkDType, type DType, toHost, wgslType } from '../tensor/dtype';
import { contiguous, convertedScalar, copy, isBindable } from '../tensor/elementwise';
import { checkShape } from '../tensor/shape';
import { requireTensors, Tensor } from '../tensor/tensor';

/** A binding, read off its text. */
export interface Parsed {
  readonly key: string;
  readonly access: 'read' | 'write' | 'read_write';
  readonly dtype: DType;
}

export function parse(name: string, key: string, text: unknown): Parsed {
  const [, access, dtype] = /^(read|write|read_write) (\w+)$/.exec(String(text)) ?? [];
  if (!access)
    throw inputError(
      name,
      `binding ${key} is '${text}'`,
      {},
      "Use 'read', 'write' or 'read_write' and a dtype: 'read float32'.",
    );
  checkDType(name, dtype as DType);
  return { key, access: access as Parsed['access'], dtype: dtype as DType };
}

/** The tensors among what is given: all but those that are only written. */
export function tensorsOf(
  name: string,
  list: readonly Parsed[],
  given: Readonly<Record<string, unknown>>,
): Record<string, Tensor> {
  const odd = Object.keys(given).find((key) => !list.some((b) => b.key === key));
  if (odd)
    throw inputError(name, `there is no binding '${odd}'`, {}, `There are ${list.map(({ key }) => key).join(', ')}.`);
  for (const { key, access } of list) {
    if (access !== 'write') requireTensors(name, { [key]: given[key] });
    else if (Array.isArray(given[key])) checkShape(`${name}: ${key}`, given[key]);
    else throw inputError(name, `${key} is only written and takes a shape`, {}, `Give ${key}: [2, 3], or x.shape.`);
  }
  const tensors: Record<string, Tensor> = {};
  for (const binding of list) {
    const x = given[binding.key];
    if (x instanceof Tensor) tensors[binding.key] = checkedTensor(name, binding, x);
  }
  for (const binding of list) {
    const { key } = binding;
    const [x, other] = [tensors[key], rivalOf(list, tensors, binding)];
    if (!x || !other) continue;
    const rival = other.key;
    const shared = { [key]: x, [rival]: other.x };
    if (other.x.memory === x.memory)
      throw inputError(
        name,
        `${key} and ${rival} share memory, and ${rival} is changed in place`,
        shared,
        'Give a clone() of one.',
      );
    if (binding.access === 'read_write')
      throw inputError(
        name,
        `${key} and ${rival} lie in one buffer, as the parameters of an optimizer do, and both are changed in place`,
        shared,
        'Change clones, or one tensor at a time: WebGPU binds no buffer twice that is written.',
      );
  }
  return tensors;
}

/** Another binding in the same buffer that is changed in place: WebGPU refuses both in one launch. */
function rivalOf(
  list: readonly Parsed[],
  tensors: Readonly<Record<string, Tensor>>,
  { key: own }: Parsed,
): { key: string; x: Tensor } | undefined {
  const block = tensors[own]?.storage.block;
  for (const { key, access } of list) {
    const x = tensors[key];
    if (x && access === 'read_write' && key !== own && x.storage.block === block) return { key, x };
  }
  return undefined;
}

/** What is read of a binding as a launch can bind it: the tensor, or a copy. */
export function readable(list: readonly Parsed[], tensors: Readonly<Record<string, Tensor>>, binding: Parsed): Tensor {
  const x = tensors[binding.key];
  if (!x) throw new RangeError(`internal error: no tensor for ${binding.key}`);
  return rivalOf(list, tensors, binding) ? copy(x) : contiguous(x);
}

function checkedTensor(name: string, { key, access, dtype }: Parsed, x: Tensor): Tensor {
  const tensors = { [key]: x };
  if (x.dtype !== dtype)
    throw inputError(name, `${key} is ${x.dtype}, the kernel takes ${dtype}`, tensors, `Convert it: to('${dtype}').`);
  if (access === 'read_write') requireWritable(name, x);
  if (access === 'read_write' && !isBindable(x))
    throw inputError(name, `${key} is changed in place and not contiguous`, tensors, 'Give a contiguous clone().');
  if (x.requiresGrad && isRecording())
    throw inputError(
      name,
      `${key} requires a gradient, and a kernel has none`,
      tensors,
      'Launch it in the forward of a customFunction, or inside noGrad.',
    );
  return x;
}

/** The uniforms in their order. */
export function constantsOf(
  name: string,
  fields: readonly (readonly [string, DType])[],
  values: Readonly<Record<string, number | Scalar>>,
): Constant[] {
  const names = fields.map(([key]) => key);
  for (const key of [...names, ...Object.keys(values)])
    if (!names.includes(key) || !Object.hasOwn(values, key))
      throw inputError(
        name,
        names.includes(key) ? `the uniform ${key} is missing` : `there is no uniform '${key}'`,
        {},
        names.length ? `It has ${names.join(', ')}.` : 'It has none.',
      );
  return fields.map(([key, dtype]) => {
    const value = values[key] as number | Scalar;
    const type = wgslType(dtype) as 'f32' | 'i32' | 'u32';
    if (value instanceof Scalar)
      return (value.type === 'f32') === (type === 'f32') ? value : convertedScalar(value, type);
    const word = Number(toHost([value], dtype, `${name}: uniform ${key}`)[0]);
    return type === 'f32' ? f32(value) : word;
  });
}

/** The uniforms for a grid, which a compiled step does not compute again: it cannot follow a Scalar. */
export const numbersOf = (name: string, values: Readonly<Record<string, number | Scalar>>): Record<string, number> =>
  Object.defineProperties(
    {},
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => {
        const get = () => {
          if (!(value instanceof Scalar)) return value;
          throw inputError(
            name,
            `the grid asks for the uniform ${key}, a Scalar, which may change`,
            {},
            'Give a number.',
          );
        };
        return [key, { get, enumerable: true }];
      }),
    ),
  );
