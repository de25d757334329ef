// PyTorch's operations by their dotted names, in terms of the framework's. Tables of families are added up here.
import type { Tensor } from '../../../src/tensor/tensor';
import type { Attributes } from './case';
import { attention } from './operations-attention';
import { common } from './operations-common';
import { indexing } from './operations-indexing';
import { lossOperations } from './operations-losses';
import { math } from './operations-math';
import { vision } from './operations-vision';

/**
 * Positional tensors (a list of tensors where PyTorch takes one, null for an absent one) and the other arguments by their names in camel case
 * give one result, several, or a promise. `lookUp` finds an input of the program by name.
 */
// biome-ignore lint/suspicious/noExplicitAny: what an operation takes is for it to check
export type Operation = (inputs: any[], options: Attributes, lookUp: (name: string) => Tensor | undefined) => unknown;

// One a line, so that two who add theirs do not meet.
// biome-ignore format: as said
export const operations: Record<string, Operation> = {
  ...attention,
  ...common,
  ...indexing,
  ...lossOperations,
  ...math,
  ...vision,
};
