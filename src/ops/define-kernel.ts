// Kernels of the user's own, launched on tensors: the declarations of bindings and uniforms are generated, the user writes what a thread does.

import { declare, perThread, storage } from '../../shaders/build';
import { at } from '../../shaders/checked';
import type { Kernel } from '../../shaders/kernel';
import { device, type Grid, type Scalar } from '../gpu';
import { checked, either, is, type OptionTable } from '../gpu/options';
import { inputError } from '../tensor/context';
import { type DType, wgslType } from '../tensor/dtype';
import { bind } from '../tensor/elementwise';
import { safePoint } from '../tensor/memory';
import { type Shape, size } from '../tensor/shape';
import { empty, type Tensor } from '../tensor/tensor';
import { constantsOf, numbersOf, type Parsed, parse, readable, tensorsOf } from './kernel-arguments';

/** How a kernel uses a tensor, and of which dtype it is: `'read float32'`. A bool is a `u32` to WGSL, 0 or 1. */
export type KernelBinding = `${'read' | 'write' | 'read_write'} ${DType}`;
type Bindings = Readonly<Record<string, KernelBinding>>;
type Uniforms = Readonly<Record<string, 'float32' | 'int32' | 'uint32'>>;

/** What a kernel is launched on: a tensor for each binding that is read, a shape for each that is only written. */
type Given<B extends Bindings> = { readonly [K in keyof B]: B[K] extends `write ${string}` ? Shape : Tensor };
/** The tensors that it has written. */
type Written<B extends Bindings> = { [K in keyof B as B[K] extends `read ${string}` ? never : K]: Tensor };
type Values<U extends Uniforms> = { readonly [K in keyof U]: number | Scalar };

/** What `defineKernel` takes. */
export interface KernelOptions<B extends Bindings, U extends Uniforms> {
  /** For messages, profiles and the reports of compiled steps. */
  readonly name: string;
  /** The tensors by their names in the code, each an `array` there: `{ x: 'read float32', y: 'write float32' }`. */
  readonly bindings: B;
  /** Numbers that a launch brings, by their names in the code: `{ slope: 'float32' }`. */
  readonly uniforms?: U;
  /**
   * WGSL: the body of a thread that treats element `i: u32`, with the uniforms by their names; or functions with an entry point
   * `@compute @workgroup_size(…) fn main(…)`, to which uniforms are `p.slope`. Bindings are declared in either case.
   */
  readonly code: string;
  /**
   * How many elements there are, a thread for each (default: those of the first binding that is written), or a function that tells it from the
   * shapes and uniforms. With an entry point of its own: a function that gives the workgroups, `[x, y, z]`.
   */
  readonly grid?:
    | number
    | ((shapes: { readonly [K in keyof B]: Shape }, uniforms: { readonly [K in keyof U]: number }) => number | Grid);
}

/** A kernel that `defineKernel` has made. */
export type DefinedKernel<B extends Bindings, U extends Uniforms> = (
  ...args: [keyof U] extends [never] ? [bindings: Given<B>] : [bindings: Given<B>, uniforms: Values<U>]
) => Written<B>;

const OPTIONS: OptionTable<KernelOptions<Bindings, Uniforms>> = {
  name: is.text,
  bindings: is.object,
  uniforms: is.object,
  code: is.text,
  grid: either(is.number, is.func),
};

const WORKGROUP = 64;
/** Names that generated code gives to something else. */
const TAKEN = ['i', 'p', 'wid', 'grid', 'local', 'main', 'count', 'Params'];

/**
 * A kernel in WGSL, as MLX's `metal_kernel`. What it returns launches it: tensors for what it reads, shapes for what it only writes, which come
 * back as new tensors; tensors that it reads and writes are changed in place. Inputs that are not contiguous are copied. It has no gradient:
 * `customFunction` gives it one. Throws InputError that names the kernel and the binding before anything runs; WGSL that does not compile is told
 * with the lines of `code`.
 *
 *     const leaky = defineKernel({
 *       name: 'leaky',
 *       bindings: { x: 'read float32', y: 'write float32' },
 *       uniforms: { slope: 'float32' },
 *       code: 'y[i] = max(x[i], slope * x[i]);',
 *     });
 *     const { y } = leaky({ x, y: x.shape }, { slope: 0.1 });
 */
export function defineKernel<B extends Bindings, U extends Uniforms = Record<never, never>>(
  options: KernelOptions<B, U>,
): DefinedKernel<B, U> {
  const {
    name,
    bindings,
    uniforms = {},
    code,
    grid,
  } = checked('defineKernel', options as KernelOptions<Bindings, Uniforms>, OPTIONS);
  for (const [field, value] of Object.entries({ name, bindings, code }))
    if (!value) throw inputError('defineKernel', `${field} is missing`);
  const list = Object.entries(bindings).map(([key, text]) => parse(name, key, text));
  const fields = Object.entries(uniforms);
  const ownEntry = /@compute\b/.test(code);
  checkNames(name, list, fields);
  if (ownEntry && typeof grid !== 'function')
    throw inputError(
      name,
      'the code has an entry point of its own and no grid',
      {},
      'Give grid: (shapes, uniforms) => [x, y, z].',
    );
  const kernel = generate(name, list, fields, code, ownEntry);

  const launch = (
    given: Readonly<Record<string, Tensor | Shape>>,
    values: Readonly<Record<string, number | Scalar>> = {},
  ) => {
    safePoint();
    const { limits } = device();
    if (list.length > limits.maxStorageBuffersPerShaderStage)
      throw inputError(
        name,
        `${list.length} bindings, this adapter allows ${limits.maxStorageBuffersPerShaderStage} (maxStorageBuffersPerShaderStage)`,
        {},
        'Pack some tensors into one, or use two kernels.',
      );
    const inputs = tensorsOf(name, list, given);
    const constants = constantsOf(name, fields, values);
    const shapeOf = (key: string) => inputs[key]?.shape ?? (given[key] as Shape);
    const shapes = Object.fromEntries(list.map(({ key }) => [key, shapeOf(key)]));
    const written = list.filter(({ access }) => access !== 'read');
    const extent =
      typeof grid === 'function' ? grid(shapes, numbersOf(name, values)) : (grid ?? size(shapeOf(at(written, 0).key)));
    checkGrid(name, extent, ownEntry);
    const outputs = Object.fromEntries(
      written.map(({ key, dtype }) => [key, inputs[key] ?? empty(name, shapeOf(key), dtype)]),
    );
    if (written.some(({ key }) => size(shapeOf(key)) > 0))
      device().launch(
        kernel,
        list.map((binding) => bind(outputs[binding.key] ?? readable(list, inputs, binding))),
        typeof extent === 'number' ? [extent, ...constants] : constants,
        extent,
      );
    for (const { key } of written) inputs[key]?.memory.written();
    return outputs;
  };
  return launch as unknown as DefinedKernel<B, U>;
}

function checkGrid(name: string, extent: number | Grid, ownEntry: boolean): void {
  if (typeof extent !== 'number' && ownEntry) return;
  if (typeof extent === 'number' && !ownEntry && Number.isInteger(extent) && extent >= 0 && extent < 2 ** 32) return;
  throw inputError(
    name,
    `the grid is ${JSON.stringify(extent)}`,
    {},
    ownEntry ? 'An entry point of its own takes workgroups, [x, y, z].' : 'It is a number of elements.',
  );
}

function checkNames(name: string, list: readonly Parsed[], fields: readonly [string, unknown][]): void {
  const keys = [...list.map(({ key }) => key), ...fields.map(([key]) => key)];
  keys.forEach((key, k) => {
    if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(key))
      throw inputError(name, `'${key}' is no name of WGSL`, {}, 'Use letters and digits.');
    if (TAKEN.includes(key) || keys.indexOf(key) < k)
      throw inputError(name, `the name '${key}' is taken`, {}, 'Use another one.');
  });
  for (const [key, type] of fields)
    if (!['float32', 'int32', 'uint32'].includes(type as string))
      throw inputError(name, `uniform ${key} is '${type}'`, {}, 'Use float32, int32 or uint32.');
  if (!list.some(({ access }) => access !== 'read'))
    throw inputError(name, 'no binding is written', {}, "Make one 'write' or 'read_write'.");
}

/** The declarations, the head of the entry point where the user has none, and the code. */
function generate(
  name: string,
  list: readonly Parsed[],
  fields: readonly [string, DType][],
  code: string,
  ownEntry: boolean,
): Kernel {
  const buffers = list.map(
    ({ key, access, dtype }) => `${{ read: 'r', write: 'w', read_write: 'x' }[access]} ${key}: ${elementType(dtype)}`,
  );
  const members = [...(ownEntry ? [] : ['count: u32']), ...fields.map(([key, dtype]) => `${key}: ${wgslType(dtype)}`)];
  const { head, io } = members.length ? declare(members.join(', '), ...buffers) : bare(...buffers);
  const local = fields.map(([key]) => `  let ${key} = p.${key};`);
  const before = ownEntry ? [head] : [head, perThread('i', WORKGROUP, 'p.count'), ...local];
  const own = code.replace(/^\s*\n/, '').trimEnd();
  const from = before.join('\n').split('\n').length + 1;
  return {
    name,
    code: [...before, own, ...(ownEntry ? [] : ['}'])].join('\n'),
    userCode: { from, lines: own.split('\n').length },
    ...(!ownEntry && { grid: { tile: WORKGROUP } }),
    ...io,
  };
}

const elementType = (dtype: DType): string => (dtype === 'bool' ? 'u32' : wgslType(dtype));

function bare(...buffers: readonly string[]): { head: string; io: Pick<Kernel, 'access' | 'uniforms'> } {
  const { bindings, access } = storage(...buffers);
  return { head: bindings, io: { access } };
}
