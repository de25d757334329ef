// Losses, similarities and distances under PyTorch's names. Tensors that PyTorch takes by keyword are options here too.
import { ctcLoss } from '../../../src/ops/ctc';
import * as distance from '../../../src/ops/distance';
import { sub } from '../../../src/ops/elementwise';
import * as loss from '../../../src/ops/loss';
import * as losses from '../../../src/ops/losses';
import * as margins from '../../../src/ops/margin-loss';
import { logSoftmax } from '../../../src/ops/softmax';
import type { Operation } from './operations';

const all = { ...loss, ...losses, ...margins } as unknown as Record<string, (...args: unknown[]) => unknown>;
const pairs = ['klDiv', 'smoothL1Loss', 'huberLoss', 'mseLoss', 'l1Loss', 'marginRankingLoss', 'hingeEmbeddingLoss', 'cosineEmbeddingLoss',
  'poissonNllLoss', 'multiMarginLoss', 'multilabelSoftMarginLoss', 'multilabelMarginLoss', 'softMarginLoss', 'tripletMarginLoss', 'crossEntropy', 'nllLoss',
  'binaryCrossEntropy', 'binaryCrossEntropyWithLogits'] as const; // biome-ignore format: one list
const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

export const lossOperations: Record<string, Operation> = {
  ...Object.fromEntries(
    pairs.map((name): [string, Operation] => [`F.${snake(name)}`, (inputs, o) => all[name](...inputs, o)]),
  ),
  'F.log_softmax': ([x], { dim }) => logSoftmax(x, dim),
  'F.gaussian_nll_loss': ([x, target, variance], { var: given, ...o }) =>
    losses.gaussianNllLoss(x, target, variance ?? given, o),
  'F.ctc_loss': ([lp, targets, a, b], { inputLengths = a, targetLengths = b, ...o }) =>
    ctcLoss(lp, targets, inputLengths, targetLengths, o),
  'F.cosine_similarity': ([a, b], o) => distance.cosineSimilarity(a, b, o),
  'F.pairwise_distance': ([a, b], { keepdim: keepDims, ...o }) => distance.pairwiseDistance(a, b, { ...o, keepDims }),
  'F.normalize': ([x], o) => distance.normalize(x, o),
  'F.pdist': ([x], o) => distance.pdist(x, o),
  'torch.cdist': ([a, b], o) => distance.cdist(a, b, o),
  'torch.rsub': ([x, y], { other = y, alpha = 1 }) => sub(other, alpha === 1 ? x : x.mul(alpha)),
};
