// Attention and transformers.
import * as nn from '../../../src/nn';
import type { Attributes } from './case';
import { options } from './case';

const layer =
  (Layer: typeof nn.TransformerEncoderLayer | typeof nn.TransformerDecoderLayer) =>
  ({ dModel, nhead, ...o }: Attributes) =>
    new Layer(dModel, nhead, o);
const norm = (wanted: boolean, { dModel }: Attributes) => ({ norm: wanted ? new nn.LayerNorm(dModel) : null });

export const attention: Record<string, (args: Attributes) => unknown> = {
  'nn.MultiheadAttention': ({ embedDim, numHeads, ...o }) => new nn.MultiheadAttention(embedDim, numHeads, o),
  'nn.TransformerEncoderLayer': layer(nn.TransformerEncoderLayer),
  'nn.TransformerDecoderLayer': layer(nn.TransformerDecoderLayer),
  'nn.TransformerEncoder': ({ encoderLayer, numLayers, norm: last }) => {
    const { dModel, nhead, ...o } = options(encoderLayer);
    return new nn.TransformerEncoder(
      new nn.TransformerEncoderLayer(dModel, nhead, o),
      numLayers,
      norm(last, { dModel }),
    );
  },
  'nn.TransformerDecoder': ({ decoderLayer, numLayers, norm: last }) => {
    const { dModel, nhead, ...o } = options(decoderLayer);
    return new nn.TransformerDecoder(
      new nn.TransformerDecoderLayer(dModel, nhead, o),
      numLayers,
      norm(last, { dModel }),
    );
  },
  'nn.Transformer': (o) => new nn.Transformer(o),
};
