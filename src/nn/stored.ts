// Between tensors on the GPU and the arrays of a safetensors file.

import type { StoredDtype, StoredTensor } from '../formats/safetensors';
import { toFloat32 } from '../formats/safetensors';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { tensor } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import type { AnyModule, LoadReport, StateDict } from './module';

const STORED: Record<Exclude<DType, 'bool'>, StoredDtype> = { float32: 'F32', int32: 'I32', uint32: 'U32' };

/** The elements of a tensor, read back. */
export async function toStored(x: Tensor): Promise<StoredTensor> {
  if (x.dtype === 'bool')
    throw new InputError(`a bool tensor of shape [${x.shape}] cannot be stored: convert it to int32`);
  return { dtype: STORED[x.dtype], shape: [...x.shape], data: await x.data() };
}

/** A tensor of stored elements: floats of any width become float32, integers int32 or uint32. */
export function fromStored({ dtype, shape, data }: StoredTensor): Tensor {
  if (!/^[IU]\d/.test(dtype))
    return tensor(toFloat32({ dtype, shape, data }), { shape, dtype: dtype === 'BOOL' ? 'bool' : 'float32' });
  const numbers = Array.from(data as ArrayLike<number | bigint>, Number);
  const beyond = dtype === 'U32' ? undefined : numbers.find((n) => n !== (n | 0));
  if (beyond !== undefined)
    throw new InputError(`a stored ${dtype} tensor of shape [${shape}] holds ${beyond}, which int32 cannot hold`);
  return tensor(numbers, { shape, dtype: dtype === 'U32' ? 'uint32' : 'int32' });
}

/** Names with this in front are no weights: what a checkpoint holds of the optimizer and the trainer. */
export const PRIVATE = { optimizer: 'optimizer/', trainer: 'trainer/' } as const;

/**
 * Loads stored weights into a model: PyTorch's names, a `module.` in front of all of them (DataParallel) left out, and what a checkpoint
 * holds besides weights passed over. Throws one error that lists what is missing, unexpected or misshapen.
 */
export function loadWeights(
  model: AnyModule,
  tensors: Readonly<Record<string, StoredTensor>>,
  options: { strict?: boolean } = {},
): LoadReport {
  checked('loadWeights', options, { strict: is.flag });
  const names = Object.keys(tensors).filter(
    (name) => !Object.values(PRIVATE).some((prefix) => name.startsWith(prefix)),
  );
  const wrapped = names.length > 0 && names.every((name) => name.startsWith('module.'));
  // Not by assignment: that would make a tensor named __proto__ the dictionary's prototype.
  const dict: StateDict = Object.fromEntries(
    names.map((name) => [wrapped ? name.slice('module.'.length) : name, fromStored(tensors[name])]),
  );
  try {
    return model.loadStateDict(dict, options);
  } finally {
    for (const x of Object.values(dict)) x.dispose();
  }
}

/**
 * Says of the first tensor with NaN, with infinite elements unless they `mayBeInfinite`, or with a negative variance how many there are;
 * null when there is none.
 */
export function findNonFinite(
  tensors: Readonly<Record<string, StoredTensor>>,
  mayBeInfinite: (name: string) => boolean,
): string | null {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!tensor.dtype.includes('F')) continue;
    const { shape } = tensor;
    const data = toFloat32(tensor);
    const least = name.endsWith('running_var') ? 0 : -Infinity;
    const isGood = mayBeInfinite(name) ? (x: number) => x >= least : (x: number) => Number.isFinite(x) && x >= least;
    let bad = 0;
    for (const x of data) if (!isGood(x)) bad++;
    const kind = least === 0 ? 'NaN, infinite or negative' : 'NaN or infinite';
    if (bad) return `${name} [${shape}] has ${bad} of ${data.length} elements that are ${kind}`;
  }
  return null;
}
