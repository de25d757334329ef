// What PyTorch keeps in `nn.utils`.
import { padSequence } from '../ops/rearrange';

/** Sequences of different lengths. */
export const rnn = { padSequence };
