// Operations that a rewrite can describe with a change and have lowered again: each by the name in its description.
import { lowerConv2dOperation } from './conv/lower';
import { type Kernel, type Lowering, type Operation, productOf } from './kernel';

export const lowerings: Record<string, (operation: never) => Lowering> = { conv2d: lowerConv2dOperation };

/** The kernel that does the multiplications of `operation`. */
export function lowerAgain(operation: Operation): Kernel {
  const lower = lowerings[operation.name];
  if (!lower) throw new RangeError(`internal error: no function lowers ${operation.name}`);
  return productOf(lower(operation as never));
}
