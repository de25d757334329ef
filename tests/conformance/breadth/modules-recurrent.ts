// PyTorch's recurrent modules.
import { GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell } from '../../../src/nn';
import type { Attributes } from './case';

export const recurrent: Record<string, (args: Attributes) => unknown> = Object.fromEntries(
  Object.entries({ RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell }).map(([name, Class]) => [
    `nn.${name}`,
    ({ inputSize, hiddenSize, ...o }: Attributes) => new Class(inputSize, hiddenSize, o),
  ]),
);
