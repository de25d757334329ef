// PyTorch's recurrent modules.
import * as nn from '../../../src/nn';
import type { Attributes } from './case';

const names = ['RNN', 'LSTM', 'GRU', 'RNNCell', 'LSTMCell', 'GRUCell'] as const;

export const recurrent: Record<string, (args: Attributes) => unknown> = Object.fromEntries(
  names.map((name) => [
    `nn.${name}`,
    ({ inputSize, hiddenSize, ...o }: Attributes) => new nn[name](inputSize, hiddenSize, o),
  ]),
);
