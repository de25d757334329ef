// Operations that a rewrite can describe with a change and have lowered again: each by the name in its description.
import { lowerConv2dOperation } from './conv/lower';
import { type Kernel, type Lowering, type Operation, productOf } from './kernel';

export const lowerings: Record<string, (operation: never) => Lowering> = { conv2d: lowerConv2dOperation };

/** The kernel that does the multiplications of `operation`. */
export const lowerAgain = (operation: Operation): Kernel => productOf(lowerings[operation.name](operation as never));
