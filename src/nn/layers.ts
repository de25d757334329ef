// Layers without parameters that change shapes, and Identity, which changes nothing.

import { flatten, reshape } from '../ops/views';
import { inputError } from '../tensor/context';
import { existingAxis, type Shape } from '../tensor/shape';
import { Apply, applying } from './apply';

/** Returns its input. */
export class Identity extends applying((x) => x) {}

/** [N, a, b, …] → [N, a·b·…] (from `start` on). */
export class Flatten extends Apply {
  constructor(start = 1, end = -1) {
    super((x) => flatten(x, start, end), `start=${start}${end === -1 ? '' : `, end=${end}`}`);
  }
}

/** Splits dimension `dim` into `unflattenedSize`, of which one size may be −1. */
export class Unflatten extends Apply {
  constructor(dim: number, unflattenedSize: Shape) {
    super(
      (x) => {
        const at = existingAxis('Unflatten', dim, x.shape);
        return reshape(x, [...x.shape.slice(0, at), ...unflattenedSize, ...x.shape.slice(at + 1)]);
      },
      `${dim}, [${unflattenedSize.join(', ')}]`,
    );
    if (!Array.isArray(unflattenedSize))
      throw inputError('Unflatten', `unflattenedSize is ${String(unflattenedSize)}`, {}, 'Give a list of sizes.');
  }
}
