// Weights that are computed from others whenever they are read: weight and spectral normalisation, as PyTorch's parametrizations, with its keys.
import { at } from '../../shaders/checked';
import { detach, isRecording, noGrad, unrecorded } from '../autograd/tape';
import { checked, is } from '../gpu/options';
import { assign_ } from '../ops/assign';
import { normalize } from '../ops/distance';
import { add, div, mul } from '../ops/elementwise';
import { matmul } from '../ops/matmul';
import { norm, sum } from '../ops/reduce';
import { permute, reshape } from '../ops/views';
import { inputError } from '../tensor/context';
import { randn } from '../tensor/random';
import { normalizeAxis } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import type { AnyModule } from './module';
import { Parameter, State } from './parameter';

/** The tensors that a weight is made of, by the names they have in state dicts. */
type Parts = Map<string, Parameter | Record<string, State>>;
type Fields = Record<string, unknown> & { parametrizations?: Record<string, Parts> };

interface Made {
  parts: Parts;
  compute: () => Tensor;
}

/** Puts a computed weight in place of a parameter of the module's. */
function parametrize(op: string, module: AnyModule, name: string, make: (weight: Parameter) => Made): void {
  const fields = module as unknown as Fields;
  const weight = Object.getOwnPropertyDescriptor(module, name)?.value as unknown;
  if (!(weight instanceof Parameter))
    throw inputError(
      op,
      `${module.constructor.name} has no parameter '${name}'${fields.parametrizations?.[name] ? ' any more: it is computed' : ''}`,
    );
  const { parts, compute } = make(weight);
  fields.parametrizations = { ...fields.parametrizations, [name]: parts };
  Object.defineProperty(module, name, { get: compute, enumerable: false, configurable: true });
}

/**
 * The weight as g · v / ‖v‖, as `torch.nn.utils.parametrizations.weight_norm`: `original0` is the length g of each slice along `dim` (0; null for the whole
 * weight), `original1` the direction v. Make the optimizer afterwards. Returns the module.
 */
export function weightNorm<M extends AnyModule>(
  module: M,
  name = 'weight',
  options: { /** The dimension whose slices are treated one by one. */ dim?: number | null } = {},
): M {
  const { dim = 0 } = checked('weightNorm', options, {
    dim: { what: 'a number or null', fits: (x) => x === null || is.number.fits(x) },
  });
  parametrize('weightNorm', module, name, (weight) => {
    const at = dim === null || dim === -1 ? null : normalizeAxis('weightNorm', dim, weight.shape);
    const axes = weight.shape.map((_, i) => i).filter((i) => i !== at);
    const length = (v: Tensor) => norm(v, 2, axes, at !== null);
    const g = new Parameter(noGrad(() => length(weight)));
    return {
      parts: new Map([
        ['original0', g],
        ['original1', weight],
      ]),
      compute: () => mul(weight, div(g, length(weight))),
    };
  });
  return module;
}

/**
 * The weight divided by its largest singular value, as `torch.nn.utils.parametrizations.spectral_norm`: estimated by `nPowerIterations` whenever it is read in
 * training. `dim` are the rows: 0, or 1 of transposed convolutions. Make the optimizer afterwards. Returns the module.
 */
export function spectralNorm<M extends AnyModule>(
  module: M,
  name = 'weight',
  options: {
    /** Steps of power iteration a forward pass (default 1). */
    nPowerIterations?: number;
    /** Least norm that is divided by (default 1e-12). */
    eps?: number;
    /** The dimension whose slices are treated one by one. */
    dim?: number;
  } = {},
): M {
  const table = { nPowerIterations: is.number, eps: is.number, dim: is.number };
  const o = checked('spectralNorm', options, table);
  const { nPowerIterations = 1, eps = 1e-12, dim = /Transpose/.test(module.constructor.name) ? 1 : 0 } = o;
  if (!Number.isInteger(nPowerIterations) || nPowerIterations < 1)
    throw inputError('spectralNorm', `nPowerIterations is ${nPowerIterations}`, {}, 'Use a whole number ≥ 1.');
  parametrize('spectralNorm', module, name, (weight): Made => {
    if (weight.ndim < 2)
      return { parts: new Map([['original', weight]]), compute: () => normalize(weight, { dim: 0, eps }) };
    const axis = normalizeAxis('spectralNorm', dim, weight.shape);
    const order = [axis, ...weight.shape.map((_, i) => i).filter((i) => i !== axis)];
    const rows = at(weight.shape, axis);
    const matrix = () => reshape(permute(weight, order), [rows, weight.size / rows]);
    const unit = (n: number) => new State(noGrad(() => normalize(randn([n]), { dim: 0, eps })));
    const [u, v] = [unit(rows), unit(weight.size / rows)];
    const iterate = (times: number) =>
      unrecorded('spectralNorm', () => {
        const m = matrix();
        for (let i = 0; i < times; i++) {
          assign_(detach(u), normalize(matmul(m, v), { dim: 0, eps }));
          assign_(detach(v), normalize(matmul(u, m), { dim: 0, eps }));
        }
      });
    iterate(15);
    const compute = () => {
      if (module.training) iterate(nPowerIterations);
      // Copies: the next iteration writes into u and v, which the gradient still needs.
      const [a, b] = isRecording() ? [add(u, 0), add(v, 0)] : [u, v];
      return div(weight, sum(mul(a, matmul(matrix(), b))));
    };
    const parts: Parts = new Map<string, Parameter | Record<string, State>>([
      ['original', weight],
      ['0', { _u: u, _v: v }],
    ]);
    return { parts, compute };
  });
  return module;
}

/** Makes the computed weight a parameter of its own again, as `remove_parametrizations`. Returns the module. */
export function removeParametrizations<M extends AnyModule>(module: M, name = 'weight'): M {
  const fields = module as unknown as Fields;
  const { parametrizations } = fields;
  const parts = parametrizations?.[name];
  if (!parametrizations || !parts)
    throw inputError('removeParametrizations', `'${name}' of ${module.constructor.name} is not computed`);
  const value = new Parameter(noGrad(() => add(fields[name] as Tensor, 0)));
  delete parametrizations[name];
  if (!Object.keys(parametrizations).length) delete fields.parametrizations;
  Object.defineProperty(module, name, { value, enumerable: true, writable: true, configurable: true });
  return module;
}
