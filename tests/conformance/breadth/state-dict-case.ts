// State dicts of ../shared/torch-breadth: a module is made from the text of PyTorch's constructor; names, order, shapes, types, ties and
// counters are compared.
import * as nn from '../../../src/nn';
import { zeros } from '../../../src/tensor/create';
import type { Tensor } from '../../../src/tensor/tensor';
import { type Attributes, type Case, camel, Missing, options } from './case';
import { modules } from './modules';

/** A call in PyTorch's text, such as `nn.LayerNorm(4, bias=False)`, or a value in it. */
interface Call {
  name: string;
  positional: Value[];
  named: Record<string, Value>;
}
type Value = number | string | boolean | null | Value[] | Call;

const WORDS: Record<string, Value> = { True: true, False: false, None: null };

/** Reads one value of Python: a number, a string, a list, a tuple, a constant or a call. */
function parse(text: string): Value {
  const tokens = [...text.matchAll(/[\w.]*[A-Za-z_][\w.]*|-?[\d.]+(?:e-?\d+)?|'[^']*'|[()[\],=]/g)].map(([t]) => t);
  let at = 0;
  const list = (end: string): { positional: Value[]; named: Record<string, Value> } => {
    const found = { positional: [] as Value[], named: {} as Record<string, Value> };
    for (; tokens[at] !== end; tokens[at] === ',' && at++) {
      if (tokens[at + 1] !== '=') found.positional.push(value());
      else {
        const name = tokens[at];
        at += 2;
        found.named[name] = value();
      }
    }
    at++;
    return found;
  };
  const value = (): Value => {
    const token = tokens[at++];
    if (token === '[' || token === '(') return list(token === '[' ? ']' : ')').positional;
    if (token.startsWith("'")) return token.slice(1, -1);
    if (token in WORDS) return WORDS[token];
    if (!Number.isNaN(Number(token))) return Number(token);
    at++;
    return { name: token, ...list(')') };
  };
  return value();
}

const isCall = (value: Value): value is Call => typeof value === 'object' && value !== null && 'name' in value;

const recurrent = ['input_size', 'hidden_size', 'num_layers', 'bias', 'batch_first', 'dropout', 'bidirectional'];
const convolution = ['in_channels', 'out_channels', 'kernel_size', 'stride', 'padding'];
const batchNorm = ['num_features', 'eps', 'momentum', 'affine', 'track_running_stats'];
const layer = ['d_model', 'nhead', 'dim_feedforward', 'dropout'];
/** Names of PyTorch's positional arguments. */
const signatures: Record<string, string[]> = {
  RNN: [...recurrent.slice(0, 3), 'nonlinearity', ...recurrent.slice(3)],
  LSTM: [...recurrent, 'proj_size'],
  GRU: recurrent,
  RNNCell: ['input_size', 'hidden_size', 'bias', 'nonlinearity'],
  LSTMCell: ['input_size', 'hidden_size', 'bias'],
  GRUCell: ['input_size', 'hidden_size', 'bias'],
  MultiheadAttention: ['embed_dim', 'num_heads', 'dropout', 'bias'],
  TransformerEncoderLayer: layer,
  TransformerDecoderLayer: layer,
  TransformerEncoder: ['encoder_layer', 'num_layers', 'norm'],
  TransformerDecoder: ['decoder_layer', 'num_layers', 'norm'],
  Transformer: ['d_model', 'nhead', 'num_encoder_layers', 'num_decoder_layers', 'dim_feedforward', 'dropout'],
  Linear: ['in_features', 'out_features', 'bias'],
  Bilinear: ['in1_features', 'in2_features', 'out_features', 'bias'],
  Embedding: ['num_embeddings', 'embedding_dim', 'padding_idx'],
  EmbeddingBag: ['num_embeddings', 'embedding_dim'],
  LayerNorm: ['normalized_shape', 'eps', 'elementwise_affine', 'bias'],
  RMSNorm: ['normalized_shape', 'eps', 'elementwise_affine'],
  GroupNorm: ['num_groups', 'num_channels', 'eps', 'affine'],
  ...Object.fromEntries(
    ['1d', '2d', '3d'].flatMap((d) => [
      [`BatchNorm${d}`, batchNorm],
      [`InstanceNorm${d}`, batchNorm],
      [`Conv${d}`, [...convolution, 'dilation', 'groups', 'bias']],
      [`ConvTranspose${d}`, [...convolution, 'output_padding', 'groups', 'bias']],
    ]),
  ),
  PReLU: ['num_parameters'],
  Dropout: ['p'],
};

/** Modules that no case of another kind makes; the others are in modules.ts. */
const own: Record<string, (args: Attributes) => unknown> = {
  Linear: ({ inFeatures, outFeatures, ...o }) => new nn.Linear(inFeatures, outFeatures, o),
  Embedding: ({ numEmbeddings, embeddingDim, ...o }) => make('Embedding', [numEmbeddings, embeddingDim], o),
  EmbeddingBag: ({ numEmbeddings, embeddingDim, ...o }) => make('EmbeddingBag', [numEmbeddings, embeddingDim], o),
  LayerNorm: ({ normalizedShape, elementwiseAffine, ...o }) =>
    make('LayerNorm', [normalizedShape], {
      ...o,
      ...(elementwiseAffine !== undefined && { affine: elementwiseAffine }),
    }),
  RMSNorm: ({ normalizedShape, ...o }) => make('RMSNorm', [normalizedShape], o),
  GroupNorm: ({ numGroups, numChannels, ...o }) => make('GroupNorm', [numGroups, numChannels], o),
  PReLU: ({ numParameters = 1 }) => new nn.PReLU(numParameters),
  Dropout: ({ p }) => new nn.Dropout(p),
};
for (const d of ['1d', '2d', '3d']) {
  own[`BatchNorm${d}`] = ({ numFeatures, ...o }) => make(`BatchNorm${d}`, [numFeatures], o);
  for (const name of [`Conv${d}`, `ConvTranspose${d}`])
    own[name] = ({ inChannels, outChannels, kernelSize, ...o }) => make(name, [inChannels, outChannels, kernelSize], o);
}

/** A class by its name, which may not exist. Options that are given must not get lost. */
function make(name: string, args: unknown[], given: Attributes = {}): unknown {
  const Class = Object.entries(nn).find(([own]) => own === name)?.[1] as
    | (new (
        ...args: unknown[]
      ) => unknown)
    | undefined;
  if (!Class) throw new Missing(`nn.${name}`);
  return Object.keys(given).length ? new Class(...args, given) : new Class(...args);
}

/** The tied nets of the cases, by the name of their class in `note`. */
const classes: Record<string, (...args: never[]) => nn.AnyModule> = {
  TiedLM: (vocab: number, width: number) =>
    new (class TiedLM extends nn.Module {
      readonly embedding = new nn.Embedding(vocab, width);
      readonly output = new nn.Linear(width, vocab, { bias: false });

      constructor() {
        super();
        Object.assign(this.output, { weight: this.embedding.weight });
      }

      override forward(x: Tensor): Tensor {
        return this.output.forward(this.embedding.forward(x));
      }
    })(),
};

/** PyTorch's arguments by their names, as the tables of modules take them. */
function argumentsOf({ name, positional, named }: Call): Attributes {
  const names = signatures[name.replace('nn.', '')];
  if (!names && positional.length) throw new Missing(`${name} with positional arguments`);
  const all = { ...Object.fromEntries(positional.map((value, i) => [names[i], value])), ...named };
  const given = (value: Value, key: string): unknown =>
    // Layers of a stack are given by their arguments, its last norm by whether there is one.
    isCall(value) ? (key === 'norm' ? true : argumentsOf(value)) : value;
  return options(Object.fromEntries(Object.entries(all).map(([key, value]) => [key, given(value, key)])));
}

function build(value: Value): nn.AnyModule {
  if (!isCall(value)) throw new Error(`no module: ${JSON.stringify(value)}`);
  const name = value.name.replace('nn.', '');
  if (name === 'Sequential') return new nn.Sequential(...(value.positional.map(build) as nn.Module[]));
  if (name === 'ModuleList') return new nn.ModuleList((value.positional[0] as Value[]).map(build));
  if (classes[name]) return classes[name](...(value.positional as never[]));
  const construct = modules[value.name] ?? own[name] ?? (() => make(name, []));
  try {
    return construct(argumentsOf(value)) as nn.AnyModule;
  } catch (error) {
    const { message } = error as Error;
    throw /there is no option/.test(message) ? new Missing(message.replace(/:? there (are|is) .*, .*/, '')) : error;
  }
}

/** The first way in which two values differ, or null. */
const differ = (what: string, got: unknown, want: unknown): string | null =>
  JSON.stringify(got) === JSON.stringify(want)
    ? null
    : `${what} ${JSON.stringify(got)}, expected ${JSON.stringify(want)}`;

/** The problem with the state dict of a module, or null. */
export async function runStateDict(c: Case): Promise<string | null> {
  const module = build(parse(c.module));
  for (const shape of (c.forward_shapes as number[][]) ?? []) module.forward(zeros(shape));
  const dict = module.stateDict();
  const { keys, parameters, buffers, parameter_count, tied, values } = c.expect;
  // Integers are int32 here.
  const wanted = (keys as { name: string; shape: number[]; dtype: string }[]).map(({ name, shape, dtype }) => [
    name,
    shape,
    dtype.replace('int64', 'int32'),
  ]);
  const found = Object.entries(dict).map(([name, { shape, dtype }]) => [name, shape, dtype]);
  const ties = Object.entries(dict).map(([name, t]) =>
    Object.keys(dict).filter((other) => dict[other] === t && name <= other),
  );
  const problem =
    differ('keys', found, wanted) ??
    differ(
      'parameters',
      [...module.namedParameters()].map(([name]) => name),
      parameters,
    ) ??
    differ(
      'buffers',
      [...module.namedBuffers()].map(([name]) => name),
      buffers,
    ) ??
    differ('parameter count', module.parameterCount, parameter_count) ??
    differ(
      'tied',
      ties.filter((names) => names.length > 1),
      tied,
    );
  if (problem) return problem;
  for (const [name, value] of Object.entries(values)) {
    const wrong = differ(name, await dict[camel(name) in dict ? camel(name) : name].item(), value);
    if (wrong) return wrong;
  }
  return null;
}
