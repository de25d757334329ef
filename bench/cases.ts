// What `npm run bench` measures: names, shapes, and the work that rates are counted in.
import { NETS, type Net, RESNEXT29, survey } from './net';

/** Images of a batch, but for the memory of a step: 32, or what `--batch` says, which reaches the measuring processes by their environment. */
export const BATCH = Number(process.env.BENCH_BATCH ?? 32);
export const MEMORY_BATCH = 128;

export type Case =
  | { kind: 'ceiling' }
  | { kind: 'matmul'; n: number; half?: boolean }
  | { kind: 'conv' | 'batchnorm'; channels: number; size: number; half?: boolean }
  | { kind: 'layernorm'; rows: number; width: number }
  | { kind: 'train' | 'infer' | 'memory' | 'first-step'; net: Net; half?: boolean }
  | { kind: 'attention'; length: number; width: number; half?: boolean }
  | { kind: 'lstm'; model: LanguageModel }
  | { kind: 'gpt'; model: Decoder }
  | { kind: 'eager-op' }
  | { kind: 'eager-step'; net: Net };

/** Embedding, LSTM layers of so many units, a linear layer and cross-entropy: a training step on `times` tokens of each sequence of a batch. */
export interface LanguageModel {
  readonly hidden: number;
  readonly layers: number;
  readonly times: number;
  readonly tokens: number;
}

/** A GPT on pieces of `times` tokens. */
export interface Decoder {
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly times: number;
  readonly tokens: number;
}

/** Operations, one after the other, whose gradient is taken at once in `eager-op`; elements of their tensors. */
export const CHAIN = { operations: 50, elements: 16 };

/** Heads of all samples together in the cases of attention. */
export const ATTENTION_HEADS = 16;

const languageModel = (hidden: number, layers: number): Case => ({
  kind: 'lstm',
  model: { hidden, layers, times: 35, tokens: 256 },
});

const image = (kind: 'conv' | 'batchnorm', channels: number, size: number): [string, Case] => [
  `${kind}-${channels}x${size}x${size}`,
  { kind, channels, size },
];

export const CASES: ReadonlyMap<string, Case> = new Map<string, Case>([
  ['ceiling', { kind: 'ceiling' }],
  ['matmul-512', { kind: 'matmul', n: 512 }],
  image('conv', 16, 32),
  image('conv', 32, 16),
  image('conv', 64, 8),
  image('batchnorm', 16, 32),
  ['layernorm-4096x256', { kind: 'layernorm', rows: 4096, width: 256 }],
  ...Object.entries(NETS).map(([name, net]): [string, Case] => [`train-${name}`, { kind: 'train', net }]),
  ['train-resnet20-half', { kind: 'train', net: NETS.resnet20, half: true }],
  ['infer-resnet20', { kind: 'infer', net: NETS.resnet20 }],
  ['attention-512x64', { kind: 'attention', length: 512, width: 64 }],
  ['lstm-128x2', languageModel(128, 2)],
  ['gpt-small', { kind: 'gpt', model: { layers: 4, heads: 4, width: 128, times: 128, tokens: 65 } }],
  ['eager-op', { kind: 'eager-op' }],
  ['eager-resnet20', { kind: 'eager-step', net: NETS.resnet20 }],
  ['memory-resnet20', { kind: 'memory', net: NETS.resnet20 }],
  ['first-step-resnet20', { kind: 'first-step', net: NETS.resnet20 }],
]);

/** What also runs in float16: operands of kernels, and training steps under autocast. */
const HALVES: readonly string[] = ['matmul', 'conv', 'attention', 'train'];

/**
 * Cases with other sizes than those of the list, such as `matmul-64`, `conv-16x8x8`, `layernorm-64x768`, `attention-1024x32`, `lstm-512x1`,
 * `train-resnet8` or `train-resnext29-8x64d`, and `-half` behind some for float16; undefined where the name says nothing.
 */
export function findCase(name: string): Case | undefined {
  const full = name.endsWith('-half') ? findCase(name.slice(0, -'-half'.length)) : undefined;
  if (full) return HALVES.includes(full.kind) ? ({ ...full, half: true } as Case) : undefined;
  const matmul = /^matmul-(\d+)$/.exec(name);
  if (matmul) return { kind: 'matmul', n: Number(matmul[1]) };
  const images = /^(conv|batchnorm)-(\d+)x(\d+)x\3$/.exec(name);
  if (images) return { kind: images[1] as 'conv', channels: Number(images[2]), size: Number(images[3]) };
  const rows = /^layernorm-(\d+)x(\d+)$/.exec(name);
  if (rows) return { kind: 'layernorm', rows: Number(rows[1]), width: Number(rows[2]) };
  const attention = /^attention-(\d+)x(\d+)$/.exec(name);
  if (attention) return { kind: 'attention', length: Number(attention[1]), width: Number(attention[2]) };
  const lstm = /^lstm-(\d+)x(\d+)$/.exec(name);
  if (lstm) return languageModel(Number(lstm[1]), Number(lstm[2]));
  const train = /^train-(meanfield-)?resnet(\d+)$/.exec(name);
  const blocks = (Number(train?.[2]) - 2) / 6;
  if (train && blocks >= 1 && Number.isInteger(blocks))
    return { kind: 'train', net: { blocks, particles: train[1] !== undefined } };
  if (name === 'train-resnext29-8x64d') return { kind: 'train', net: RESNEXT29 };
  return CASES.get(name);
}

/** Whether other frameworks are measured as well. */
export const hasPeers = (name: string): boolean => {
  const given = findCase(name)!;
  if ('half' in given && given.half) return false;
  return ['matmul', 'conv', 'batchnorm', 'layernorm', 'train', 'lstm', 'eager-op'].includes(given.kind);
};

/** Whether PyTorch is measured as well, where it is asked for. */
export function hasPytorch(name: string): boolean {
  const given = findCase(name)!;
  if ('half' in given && given.half) return given.kind !== 'train'; // its rows of a training step have autocast
  return hasPeers(name) || ['infer', 'attention', 'gpt'].includes(given.kind);
}

/** Work of one run, in the unit of its rate; of what is timed on the host the seconds of its unit. */
export function workOf(given: Case): { amount: number; unit: string } {
  switch (given.kind) {
    case 'matmul':
      return { amount: (2 * given.n ** 3) / 1e9, unit: 'GFLOP/s' };
    case 'conv':
      return { amount: (2 * BATCH * given.channels ** 2 * 9 * given.size ** 2) / 1e9, unit: 'GFLOP/s' };
    case 'batchnorm':
      // The least that a training step moves: x twice and y forward; x and dy twice and dx backward.
      return { amount: (8 * 4 * BATCH * given.channels * given.size ** 2) / 1e9, unit: 'GB/s' };
    case 'layernorm':
      return { amount: (8 * 4 * given.rows * given.width) / 1e9, unit: 'GB/s' };
    case 'train':
      return { amount: BATCH, unit: 'images/s' };
    case 'infer':
      return { amount: 1, unit: 'images/s' };
    case 'attention':
      // Two products of the half that a causal mask leaves.
      return { amount: (2 * ATTENTION_HEADS * given.length ** 2 * given.width) / 1e9, unit: 'GFLOP/s' };
    case 'lstm':
    case 'gpt':
      return { amount: BATCH * given.model.times, unit: 'tokens/s' };
    case 'eager-op':
      return { amount: 1e-6, unit: 'µs' };
    case 'eager-step':
      return { amount: 1e-3, unit: 'ms' };
    default:
      throw new Error(`${given.kind} has no rate`);
  }
}

/** The most that a device with these ceilings (by unit) can reach; undefined where there is no such limit. */
export function limitOf(name: string, unit: string, ceilings: ReadonlyMap<string, number>): number | undefined {
  const given = findCase(name)!;
  if (given.kind === 'lstm' && unit === 'tokens/s') return (1e9 * ceilings.get('GFLOP/s')!) / flopsOf(given.model);
  if (given.kind === 'gpt' && unit === 'tokens/s')
    return (1e9 * ceilings.get('GFLOP/s')!) / flopsOfDecoder(given.model);
  if (given.kind !== 'train') return given.kind === 'ceiling' ? undefined : ceilings.get(unit);
  return unit === 'images/s' ? (1e9 * ceilings.get('GFLOP/s')!) / survey(given.net).flops : undefined;
}

/** Floating-point operations of one token in a training step: a product forward and two in the gradient, of each weight. */
const flopsOf = ({ hidden, layers, tokens }: LanguageModel): number => 6 * (layers * 8 * hidden ** 2 + hidden * tokens);

/** The same of a decoder, with attention to half of the piece. */
const flopsOfDecoder = ({ layers, width, times, tokens }: Decoder): number =>
  6 * (layers * (12 * width ** 2 + times * width) + width * tokens);
