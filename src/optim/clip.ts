// Clipping of gradients between `backward()` and `step()`. Nothing is read back.
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import type { Parameter } from '../nn/parameter';
import { concat } from '../ops/join';
import { norm } from '../ops/reduce';
import { evaluate } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { strided } from '../tensor/tensor';

interface WithGradient {
  readonly parameter: Parameter;
  readonly grad: Tensor;
}

/** Replaces a parameter's gradient, now and in compiled steps. */
function replace(
  { parameter, grad: before }: WithGradient,
  expression: string,
  limit: number,
  more: Record<string, Tensor> = {},
): void {
  const clipped = evaluate({
    name: 'clip gradient',
    expression,
    operands: { g: before, ...more },
    scalars: [limit],
    shape: before.shape,
    result: 'float32',
  }).keep();
  parameter.grad = clipped;
  before.dispose();
}

const withGradient = (params: Iterable<Parameter>): WithGradient[] =>
  [...params].flatMap((parameter) => (parameter.grad ? [{ parameter, grad: parameter.grad }] : []));

/**
 * Scales all gradients by min(1, maxNorm / (norm + 10⁻⁶)), where norm is that of all gradients as one vector, as
 * `torch.nn.utils.clip_grad_norm_`. Returns the norm before clipping, a tensor of shape [], or null where there are no gradients.
 */
export function clipGradNorm(
  params: Iterable<Parameter>,
  maxNorm: number,
  options: { /** Which norm; Infinity for the largest element (default 2). */ normType?: number } = {},
): Tensor | null {
  const { normType = 2 } = checked('clipGradNorm', options, { normType: is.number });
  if (!(maxNorm >= 0)) throw new InputError(`clipGradNorm: maxNorm ${maxNorm} must be a number ≥ 0`);
  if (!(normType > 0)) throw new InputError(`clipGradNorm: normType ${normType} must be a number > 0, or Infinity`);
  const list = withGradient(params);
  if (!list.length) return null;
  const norms = list.map(({ grad }) => strided(norm(grad, normType), [1], [1]));
  const total = norm(concat(norms, 0), normType);
  for (const found of list) replace(found, 'g * minOf(1.0, s / (n + 1e-6))', maxNorm, { n: total });
  return total;
}

/** Clamps every number of all gradients to −limit … limit, as `torch.nn.utils.clip_grad_value_`. */
export function clipGradValue(params: Iterable<Parameter>, limit: number): void {
  if (!(limit >= 0)) throw new InputError(`clipGradValue: limit ${limit} must be a number ≥ 0`);
  for (const found of withGradient(params)) replace(found, 'clampTo(g, -s, s)', limit);
}
