// dawnfield/torch: models as Python files of PyTorch, with their weights.
import { type StoredTensor, serializeSafetensors } from '../formats/safetensors';
import { checked, is, type OptionTable } from '../gpu/options';
import { type AnyModule, Module } from '../nn/module';
import { readAll } from '../nn/stored';
import { refused } from './python';
import { TENSORS } from './tensors';
import { type OwnClasses, torchModel } from './write';

export type { ModuleClass, OwnClasses } from './write';

/** Options of `exportTorch`. */
export interface TorchOptions {
  /** What the file calls the network (default: its class). */
  name?: string;
  /**
   * Classes of modules of your own, each with its methods in Python: `[[LetterModel, 'def forward(self, x): …']]`. The constructor is written from
   * the fields: modules, parameters, states, numbers, texts and flags.
   */
  classes?: OwnClasses;
}

const OPTIONS: OptionTable<TorchOptions> = {
  name: is.text,
  classes: { what: 'a list of pairs of a class and its Python', fits: Array.isArray },
};

/** The files of an exported model, by their names. */
export interface TorchFiles {
  /** The network as plain modules of PyTorch, and `make_model()`. */
  readonly 'model.py': string;
  /** `read_tensors` and `write_tensors`: safetensors files without a package. */
  readonly 'tensors.py': string;
  /** The state dict, by PyTorch's names. */
  readonly 'weights.safetensors': Uint8Array<ArrayBuffer>;
}

/**
 * The model as files that need Python with PyTorch and nothing else: `model.py`, which makes it of plain modules, its weights, and what reads them.
 *
 *     for (const [name, content] of Object.entries(await exportTorch(model))) writeFileSync(join(folder, name), content);
 *
 * The framework's layers, containers of them, and the networks of `models` are known; of a class of your own give the Python of its `forward` as
 * `classes`. Throws InputError that names the module of which there is no form in Python.
 */
export async function exportTorch(model: AnyModule, options: TorchOptions = {}): Promise<TorchFiles> {
  if (!(model instanceof Module)) throw refused('the first argument is no module');
  const { name = model.constructor.name, classes } = checked('exportTorch', options, OPTIONS);
  const text = torchModel(model, name, classes);
  const tensors: Record<string, StoredTensor> = await readAll(Object.entries(model.stateDict()));
  return { 'model.py': text, 'tensors.py': TENSORS, 'weights.safetensors': serializeSafetensors(tensors) };
}
