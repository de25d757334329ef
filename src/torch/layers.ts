// The framework's layers as calls of PyTorch's.
import * as nn from '../nn';
import type { Apply } from '../nn/apply';
import { call, type Definitions, refused } from './python';

type Form<M extends nn.AnyModule = nn.AnyModule> = (module: M, where: string, definitions: Definitions) => string;
// biome-ignore lint/suspicious/noExplicitAny: classes with any constructors
type Class<M> = abstract new (...args: any[]) => M;

type Table = <M extends nn.AnyModule>(type: Class<M>, form: Form<M>) => void;

/** The classes of layers by name. */
const classes = (): Readonly<Record<string, unknown>> => ({ ...nn });

/** One number where all are equal. */
const sizes = (given: readonly number[]): number | readonly number[] =>
  given.every((n) => n === given[0]) ? (given[0] ?? 0) : given;

interface ConvOptions {
  readonly padding?: unknown;
  readonly [option: string]: unknown;
}

/** Padding on both sides of each axis alike, or a word. */
function padding(given: unknown, dims: number, where: string): unknown {
  if (!Array.isArray(given) || given.length !== 2 * dims || dims === 1) {
    if (Array.isArray(given) && given.length === 2 && dims === 1 && given[0] === given[1]) return given[0];
    if (!Array.isArray(given) || given.length === dims) return given;
  }
  const sides = given as number[];
  const pairs = Array.from({ length: dims }, (_, d) => [sides[2 * d], sides[2 * d + 1]]);
  if (pairs.some(([before, after]) => before !== after))
    throw refused(`${where} has another padding before than after, which PyTorch's convolutions have not`);
  return pairs.map(([before]) => before);
}

/** The class of a batch norm that applies ReLU as well. */
export const normWithReLU = (name: string): string => `
class ${name}ReLU(nn.${name}):
    """Batch norm, then ReLU."""

    def forward(self, x):
        return F.relu(super().forward(x))
`;

const sizesOf = (shape: readonly number[]) => (shape.length === 1 ? shape[0] : shape);

/** Layers that show their arguments: names as PyTorch has them, values in order. */
const shown =
  (name: string, ...names: readonly (string | null)[]): Form<Apply> =>
  ({ text }) => {
    const values = text
      ? text.split(', ').map((part) => {
          const value = part.replace(/^\w+=/, '');
          return Number.isNaN(Number(value)) ? value : Number(value);
        })
      : [];
    const named = values.flatMap((value, i) => (names[i] ? [[names[i], value] as const] : []));
    return call(
      `nn.${name}`,
      values.filter((_, i) => !names[i]),
      Object.fromEntries(named),
    );
  };

/** What stands as JSON in the parentheses of a printed layer. */
const listed = ({ text }: Apply): unknown[] => JSON.parse(`[${text}]`) as unknown[];

/** PyTorch's name of an option, where it is another one than in snake case. */
const WINDOW: Readonly<Record<string, string>> = { kernel: 'kernelSize' };

/** Convolutions of lines, images and volumes. */
function convolutions(has: Table): void {
  for (const [name, type] of Object.entries({
    Conv1d: nn.Conv1d,
    Conv2d: nn.Conv2d,
    Conv3d: nn.Conv3d,
    ConvTranspose1d: nn.ConvTranspose1d,
    ConvTranspose2d: nn.ConvTranspose2d,
    ConvTranspose3d: nn.ConvTranspose3d,
  }))
    has(type as Class<nn.Conv2d>, (module, where) => {
      const { inChannels, outChannels, kernelSize, bias, paddingMode } = module;
      const { padding: given, ...options } = module.options as ConvOptions;
      return call(`nn.${name}`, [inChannels, outChannels, sizes(kernelSize)], {
        ...options,
        padding: padding(given, kernelSize.length, where),
        bias: bias ? undefined : false,
        paddingMode: paddingMode === 'zeros' ? undefined : paddingMode,
      });
    });
}

/** Linear layers, tables, dropout. */
function linear(has: Table): void {
  has(nn.Linear, ({ inFeatures, outFeatures, bias }) =>
    call('nn.Linear', [inFeatures, outFeatures], { bias: bias ? undefined : false }),
  );
  has(nn.Bilinear, ({ in1Features, in2Features, outFeatures, bias }) =>
    call('nn.Bilinear', [in1Features, in2Features, outFeatures], { bias: bias ? undefined : false }),
  );
  has(nn.Embedding, ({ count, width, options }) => call('nn.Embedding', [count, width], { ...options }));
  has(nn.EmbeddingBag, ({ count, width, options }) => call('nn.EmbeddingBag', [count, width], { ...options }));
  has(nn.Dropout, ({ p }) => call('nn.Dropout', [p]));
}

/** Normalisation. */
function norms(has: Table): void {
  for (const [name, type] of Object.entries({
    BatchNorm1d: nn.BatchNorm1d,
    BatchNorm2d: nn.BatchNorm2d,
    BatchNorm3d: nn.BatchNorm3d,
  }))
    has(type, ({ channels, options: { activation, ...options } }, _, definitions) => {
      if (!activation) return call(`nn.${name}`, [channels], options);
      definitions.add(normWithReLU(name));
      return call(`${name}ReLU`, [channels], options);
    });
  for (const [name, type] of Object.entries({
    InstanceNorm1d: nn.InstanceNorm1d,
    InstanceNorm2d: nn.InstanceNorm2d,
    InstanceNorm3d: nn.InstanceNorm3d,
  }))
    has(type as Class<nn.InstanceNorm2d>, ({ channels, options }) => call(`nn.${name}`, [channels], { ...options }));
  has(nn.GroupNorm, ({ groups, channels, options }) => call('nn.GroupNorm', [groups, channels], { ...options }));
  has(nn.LayerNorm, ({ normalizedShape, options: { affine, elementwiseAffine = affine, ...options } }) =>
    call('nn.LayerNorm', [sizesOf(normalizedShape)], { ...options, elementwiseAffine }),
  );
  has(nn.RMSNorm, ({ normalizedShape, options }) => call('nn.RMSNorm', [sizesOf(normalizedShape)], { ...options }));
}

/** Recurrent layers and attention. */
function sequences(has: Table): void {
  for (const [name, type] of Object.entries({ RNN: nn.RNN, GRU: nn.GRU, LSTM: nn.LSTM }))
    has(type as Class<nn.LSTM>, ({ inputSize, hiddenSize, options }) =>
      call(`nn.${name}`, [inputSize, hiddenSize], { ...options }),
    );
  for (const [name, type] of Object.entries({ RNNCell: nn.RNNCell, GRUCell: nn.GRUCell, LSTMCell: nn.LSTMCell }))
    has(type as Class<nn.LSTMCell>, ({ inputSize, hiddenSize, options }) =>
      call(`nn.${name}`, [inputSize, hiddenSize], { ...options }),
    );
  has(nn.MultiheadAttention, ({ embedDim, numHeads, options }) =>
    call('nn.MultiheadAttention', [embedDim, numHeads], { ...options }),
  );
  for (const [name, type] of Object.entries({
    TransformerEncoderLayer: nn.TransformerEncoderLayer,
    TransformerDecoderLayer: nn.TransformerDecoderLayer,
  }))
    has(type as Class<nn.TransformerEncoderLayer>, ({ dModel, nhead, options }, where) => {
      if (typeof options.activation === 'function')
        throw refused(`${where} has a function of your own as its activation, which has no form in PyTorch here`);
      return call(`nn.${name}`, [dModel, nhead], { ...options });
    });
}

/** Functions of each element, and of shapes. */
function activations(has: Table): void {
  has(nn.PReLU, ({ count, initial }) => call('nn.PReLU', [count, initial]));
  has(nn.RReLU, ({ lower, upper }) => call('nn.RReLU', [lower, upper]));

  const all = classes();
  for (const name of [
    ...['ReLU', 'SiLU', 'Tanh', 'Sigmoid', 'ReLU6', 'SELU', 'Mish', 'Softsign', 'LogSigmoid', 'Hardswish'],
    ...['Hardsigmoid', 'Tanhshrink', 'LeakyReLU', 'ELU', 'CELU', 'Softplus', 'Hardtanh', 'Threshold', 'Hardshrink'],
    ...['Softshrink', 'GLU', 'Identity', 'PixelShuffle', 'PixelUnshuffle', 'ChannelShuffle'],
  ] as const)
    has(all[name] as Class<Apply>, shown(name));
  has(nn.GELU as Class<Apply>, shown('GELU', 'approximate'));
  for (const name of ['Softmax', 'LogSoftmax', 'Softmin'] as const) has(all[name] as Class<Apply>, shown(name, 'dim'));
  has(nn.Flatten as Class<Apply>, shown('Flatten'));

  has(nn.Unflatten as Class<Apply>, (module) => {
    const [dim, shape] = listed(module);
    return call('nn.Unflatten', [dim, shape]);
  });
}

/** Pooling, padding, resizing. */
function windows(has: Table): void {
  const all = classes();
  for (const dims of [1, 2, 3] as const)
    for (const kind of ['Max', 'Avg'] as const) {
      const name = `${kind}Pool${dims}d` as const;
      has(all[name] as Class<Apply>, (module, where) => {
        const given = listed(module).map((part) =>
          typeof part === 'number' || Array.isArray(part) ? { kernel: part } : (part as Record<string, unknown>),
        );
        const options = Object.fromEntries(
          given.flatMap((part) => Object.entries(part).map(([key, value]) => [WINDOW[key] ?? key, value])),
        );
        return call(`nn.${name}`, [], { ...options, padding: padding(options.padding, dims, where) });
      });
      const adaptive = `Adaptive${kind}Pool${dims}d` as const;
      has(all[adaptive] as Class<Apply>, (module) => call(`nn.${adaptive}`, listed(module)));
    }
  has(nn.GlobalAvgPool2d as Class<Apply>, (_, __, definitions) => {
    definitions.add(`
  class GlobalAvgPool2d(nn.Module):
      def forward(self, x):
          return x.mean((2, 3))
  `);
    return 'GlobalAvgPool2d()';
  });
  has(nn.Upsample as Class<Apply>, (module) => {
    const [options] = listed(module) as [Record<string, unknown>];
    return call('nn.Upsample', [], options);
  });
  for (const kind of ['Zero', 'Reflection', 'Replication', 'Circular', 'Constant'] as const)
    for (const dims of [1, 2, 3] as const) {
      const name = `${kind}Pad${dims}d` as const;
      has(all[name] as Class<Apply>, (module) => call(`nn.${name}`, listed(module)));
    }
}

let forms: Map<unknown, Form> | null = null;

function table(): Map<unknown, Form> {
  const made = new Map<unknown, Form>();
  const has: Table = (type, form) => void made.set(type, form as Form);
  for (const part of [convolutions, linear, norms, sequences, activations, windows]) part(has);
  return made;
}

/** The call that makes the same layer in PyTorch; null for a module that is none of the framework's layers. */
export function layer(module: nn.AnyModule, where: string, definitions: Definitions): string | null {
  forms ??= table();
  return forms.get(module.constructor)?.(module, where, definitions) ?? null;
}
