// PyTorch's lists of autocast (ATen/autocast_mode.h of 2.13, for CUDA): the type that an operation runs in.

/**
 * 'float16', 'float32': float operands are converted to it; 'widest': to the widest float type among them; 'error': refused under autocast. What
 * is not listed runs in the types that it is given, which promote.
 */
export type AutocastRule = 'float16' | 'float32' | 'widest' | 'error';

const LISTS: Record<AutocastRule, string> = {
  float16:
    'conv1d conv2d conv3d convTbc convTranspose1d convTranspose2d convTranspose3d prelu addmm addmv addr matmul einsum mm mv vecdot linear addbmm ' +
    'baddbmm bmm chainMatmul multiDot lstmCell gruCell rnnTanhCell rnnReluCell recurrence scaledDotProductAttention',
  float32:
    'acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow softplus layerNorm rmsNorm groupNorm cosineSimilarity ' +
    'crossEntropy poissonNllLoss cosineEmbeddingLoss nllLoss hingeEmbeddingLoss klDiv l1Loss smoothL1Loss huberLoss mseLoss marginRankingLoss ' +
    'multilabelMarginLoss softMarginLoss tripletMarginLoss multiMarginLoss binaryCrossEntropyWithLogits bceWithLogits dist pdist cdist renorm ' +
    'logsumexp interpolate prod softmax softmin logSoftmax cumprod cumsum vectorNorm matrixNorm nuclearNorm norm normalize sum',
  widest: 'addcdiv addcmul atan2 bilinear cross dot vdot gridSample indexPut maskedIndexPut tensordot scatterAdd',
  error: 'binaryCrossEntropy',
};

const rules = new Map<string, AutocastRule>(
  Object.entries(LISTS).flatMap(([rule, names]) =>
    names.split(' ').map((name): [string, AutocastRule] => [name, rule as AutocastRule]),
  ),
);

/** The rule of an operation by its name in `F`; null where it runs in the types that it is given. */
export const autocastRule = (name: string): AutocastRule | null => rules.get(name) ?? null;
