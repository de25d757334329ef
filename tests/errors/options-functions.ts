// Calls of functions on tensors and of layers for sequences with the options in their place, for options.test.ts.
import { F, gradgradcheck, jvp, load, nn, save, tensor, zeros } from '../../src/index.node.js';

export function functionCalls(): Record<string, (options: never) => unknown> {
  const x = zeros([2, 3], { requiresGrad: true });
  const square = zeros([2, 2]);
  const ints = tensor(new Int32Array([0, 1]));
  const places = tensor(new Int32Array([0, 1]), { shape: [2, 1] });
  const encoder = new nn.TransformerEncoderLayer(4, 2);
  const decoder = new nn.TransformerDecoderLayer(4, 2);
  return {
    gradgradcheck: (o) => gradgradcheck((a) => a.square(), [x], o),
    jvp: (o) => jvp((a) => a.square(), [x], [x], o),
    load: (o) => load(new Uint8Array(8), o),
    save: (o) => save({}, undefined, o),
    'F.allclose': (o) => F.allclose(x, x, o),
    'F.bincount': (o) => F.bincount(ints, o),
    'F.cholesky': (o) => F.cholesky(square, o),
    'F.combinations': (o) => F.combinations(ints, o),
    'F.diag': (o) => F.diag(x, o),
    'F.diagEmbed': (o) => F.diagEmbed(x, o),
    'F.diagflat': (o) => F.diagflat(x, o),
    'F.diagonal': (o) => F.diagonal(x, o),
    'F.diagonalScatter': (o) => F.diagonalScatter(square, zeros([2]), o),
    'F.diff': (o) => F.diff(x, o),
    'F.div': (o) => F.div(x, x, o),
    'F.embedding': (o) => F.embedding(x, ints, o),
    'F.embeddingBag': (o) => F.embeddingBag(x, places, o),
    'F.isclose': (o) => F.isclose(x, x, o),
    'F.logit': (o) => F.logit(x, o),
    'F.meshgrid': (o) => F.meshgrid([ints, ints], o),
    'F.nanToNum': (o) => F.nanToNum(x, o),
    'F.padSequence': (o) => F.padSequence([x, x], o),
    'F.repeatInterleave': (o) => F.repeatInterleave(x, 2, o),
    'F.roll': (o) => F.roll(x, 1, o),
    'F.rot90': (o) => F.rot90(x, o),
    'F.rrelu': (o) => F.rrelu(x, o),
    'F.sliceScatter': (o) => F.sliceScatter(x, x, o),
    'F.takeAlongDim': (o) => F.takeAlongDim(x, places, o),
    'F.tril': (o) => F.tril(x, o),
    'F.trilIndices': (o) => F.trilIndices(2, 2, o),
    'F.triu': (o) => F.triu(x, o),
    'F.triuIndices': (o) => F.triuIndices(2, 2, o),
    'F.unique': (o) => F.unique(ints, o),
    'F.uniqueConsecutive': (o) => F.uniqueConsecutive(ints, o),
    'nn.Bilinear': (o) => new nn.Bilinear(1, 1, 1, o),
    'nn.Embedding': (o) => new nn.Embedding(2, 2, o),
    'nn.EmbeddingBag': (o) => new nn.EmbeddingBag(2, 2, o),
    'nn.RNN': (o) => new nn.RNN(1, 1, o),
    'nn.GRU': (o) => new nn.GRU(1, 1, o),
    'nn.LSTM': (o) => new nn.LSTM(1, 1, o),
    'nn.RNNCell': (o) => new nn.RNNCell(1, 1, o),
    'nn.GRUCell': (o) => new nn.GRUCell(1, 1, o),
    'nn.LSTMCell': (o) => new nn.LSTMCell(1, 1, o),
    'nn.KeyValueCache': (o) => new nn.KeyValueCache({ layers: 1, heads: 1, capacity: 2, width: 1, ...(o as object) }),
    'nn.MultiheadAttention': (o) => new nn.MultiheadAttention(4, 2, o),
    'nn.Transformer': (o) => new nn.Transformer(o),
    'nn.TransformerEncoderLayer': (o) => new nn.TransformerEncoderLayer(4, 2, o),
    'nn.TransformerDecoderLayer': (o) => new nn.TransformerDecoderLayer(4, 2, o),
    'nn.TransformerEncoder': (o) => new nn.TransformerEncoder(encoder, 1, o),
    'nn.TransformerDecoder': (o) => new nn.TransformerDecoder(decoder, 1, o),
  };
}
