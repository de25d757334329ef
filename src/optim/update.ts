// One launch that updates a parameter in place.
import type { UpdateOptions } from '../../shaders/optimizer';
import { UPDATE_TILE, updateKernel, updateScalars } from '../../shaders/optimizer';
import type { Constant } from '../gpu';
import { device } from '../gpu';
import type { Parameter } from '../nn/parameter';
import { bind, contiguous, gridFor } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';

/** Applies a rule of `shaders/optimizer.ts`: `buffers` in its order, and the values of its scalars by name. */
export function update(
  o: UpdateOptions,
  parameter: Parameter,
  gradient: Tensor,
  buffers: readonly Tensor[],
  values: Readonly<Record<string, Constant>>,
): void {
  const n = parameter.size;
  const bindings = [parameter, contiguous(gradient), ...buffers].map(bind);
  const constants = [n, ...updateScalars[o.rule].map((name) => values[name])];
  device().launch(updateKernel(o), bindings, constants, gridFor(n, UPDATE_TILE));
  for (const written of [parameter, ...buffers]) written.memory.written();
}
