// dawnfield/onnx: models as ONNX files, from the operations of a forward pass.
import { at } from '../../shaders/checked';
import { tensorsIn } from '../autograd/tape';
import { checked, is, type OptionTable } from '../gpu/options';
import { type AnyModule, Module } from '../nn/module';
import { Tensor } from '../tensor/tensor';
import { refusal } from './draft';
import { serialized } from './format';
import { type DynamicAxes, freeSizes } from './free';
import { merged } from './merge';
import { type Equivalents, recorded } from './record';
import { textOf } from './text';

export type { DynamicAxes } from './free';
export type { Equivalents } from './record';

/** Options of `exportOnnx`. */
export interface OnnxOptions {
  /** Names of the inputs, one for each tensor among the arguments (default `input`, or `input_0`, `input_1` …). */
  inputNames?: readonly string[];
  /** Names of the outputs, one for each tensor in the result (default `output`, or `output_0` …). */
  outputNames?: readonly string[];
  /**
   * Dimensions whose size stays free, by input: `{ input: { 0: 'batch', 2: 'height' } }`, as `dynamic_axes` of `torch.onnx.export`; equal names are
   * equal sizes. By default the first dimension of the first input, and of others as large there, is 'batch'; {} fixes all.
   */
  dynamicAxes?: DynamicAxes;
  /** The name of a file beside the model's that holds the weights: `data` of the result. By default they are in the model's file. */
  externalData?: string;
  /** Functions made by `customFunction`, each with one that computes the same of operations: `[[swiglu, (a, b) => F.silu(a).mul(b)]]`. */
  customFunctions?: Equivalents;
}

const OPTIONS: OptionTable<OnnxOptions> = {
  inputNames: { what: 'a list of names', fits: Array.isArray },
  outputNames: { what: 'a list of names', fits: Array.isArray },
  dynamicAxes: is.object,
  externalData: is.text,
  customFunctions: { what: 'a list of pairs of functions', fits: Array.isArray },
};

/** An exported model. */
export interface OnnxModel {
  /** The content of the `.onnx` file. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The weights, which belong into the file `externalData`; null where they are in `bytes`. */
  readonly data: Uint8Array<ArrayBuffer> | null;
  /** The graph as text, a line a node, for reading. */
  toString(): string;
}

/** A protobuf message cannot be larger. */
const LARGEST = 2 ** 31 - 1;

function namesFor(what: string, given: readonly string[] | undefined, count: number): string[] {
  if (
    given &&
    (given.length !== count ||
      new Set(given).size !== count ||
      !given.every((name) => typeof name === 'string' && name))
  )
    throw refusal(`${what}Names are [${given.join(', ')}], there are ${count} ${what}s`, 'Give one name for each.');
  return given ? [...given] : Array.from({ length: count }, (_, i) => (count === 1 ? what : `${what}_${i}`));
}

/**
 * The model as an ONNX file (opset 20) for inference, made of the operations of `model.forward(...)` in evaluation mode, so that modules of any kind
 * export. `example` is the input, or a list of all arguments; its values do not matter, its sizes do where they are not free. MeanField stages are
 * written with their particles in their present order and the step sizes that they have learned.
 *
 *     const { bytes } = await exportOnnx(model, zeros([4, 3, 32, 32]));
 *     writeFileSync('model.onnx', bytes);
 *
 * Throws InputError that names the operation and its module where one has no mapping, a tensor is written in place, or a size is used in a way that
 * cannot stay free.
 */
export async function exportOnnx(
  model: AnyModule,
  example: Tensor | readonly unknown[],
  options: OnnxOptions = {},
): Promise<OnnxModel> {
  const {
    inputNames,
    outputNames,
    dynamicAxes,
    externalData,
    customFunctions = [],
  } = checked('exportOnnx', options, OPTIONS);
  if (!(model instanceof Module)) throw refusal('the first argument is no module');
  const args = example instanceof Tensor ? [example] : [...example];
  const count = [...tensorsIn(args)].length;
  if (!count) throw refusal('the example has no tensor', 'Give the input, or a list of the arguments of forward.');
  const names = namesFor('input', inputNames, count);
  const { free, examples } = await freeSizes(args, names, dynamicAxes);
  let outputs: string[] | null = null;
  const nameOf = (index: number, all: number): string => at((outputs ??= namesFor('output', outputNames, all)), index);
  const drafts = examples.map((make) => recorded(model, make(), names, nameOf, customFunctions));
  const graph = await merged(drafts, free, model.constructor.name);
  const weights = graph.initializers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (weights > LARGEST && externalData === undefined)
    throw refusal(`${weights} bytes of weights do not fit a protobuf file`, "Use { externalData: 'model.onnx.data' }.");
  return { ...serialized(graph, externalData ?? null), toString: () => textOf(graph) };
}
