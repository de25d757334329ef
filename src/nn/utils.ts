// What PyTorch keeps in `nn.utils`: parameters as one vector, computed weights, sequences of different lengths.
import { detach, noGrad } from '../autograd/tape';
import { InputError } from '../gpu';
import { assign_ } from '../ops/assign';
import { concat } from '../ops/join';
import { padSequence } from '../ops/rearrange';
import { narrow, reshape } from '../ops/views';
import { requireTensors, type Tensor } from '../tensor/tensor';
import type { Parameter } from './parameter';

export { removeParametrizations, spectralNorm, weightNorm } from './parametrize';

/** All parameters in a row, as `torch.nn.utils.parameters_to_vector`: [n]. Gradients pass. */
export function parametersToVector(parameters: Iterable<Parameter>): Tensor {
  const list = [...parameters];
  if (!list.length) throw new InputError('parametersToVector: there are no parameters');
  return concat(
    list.map((p) => reshape(p, [p.size])),
    0,
  );
}

/** Writes a vector into parameters, as `vector_to_parameters`. Throws InputError where it is too short or too long; nothing is written then. */
export function vectorToParameters(vector: Tensor, parameters: Iterable<Parameter>): void {
  requireTensors('vectorToParameters', { vector });
  const list = [...parameters];
  const size = list.reduce((n, p) => n + p.size, 0);
  if (vector.ndim !== 1 || vector.size !== size)
    throw new InputError(`vectorToParameters: the vector is [${vector.shape}], the parameters have ${size} numbers`);
  let from = 0;
  noGrad(() => {
    for (const p of list) {
      assign_(detach(p), reshape(narrow(vector, 0, from, p.size), p.shape));
      from += p.size;
    }
  });
}

/** Sequences of different lengths. */
export const rnn = { padSequence };
