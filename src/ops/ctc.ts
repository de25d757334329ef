// Connectionist temporal classification: how likely a network that speaks at every time gives a sequence of labels.
import { fromEnd, tuple } from '../../shaders/checked';
import { ctcForward, ctcGradient, ctcShares } from '../../shaders/ctc';
import { record } from '../autograd/tape';
import { device } from '../gpu';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError } from '../tensor/context';
import { tensor } from '../tensor/create';
import { bind, contiguous, evaluate } from '../tensor/elementwise';
import { empty, requireFloats, strided, Tensor } from '../tensor/tensor';
import { cast } from './elementwise';
import { checkIndex } from './index-checks';
import { stack } from './join';
import type { LossReduction, Reduced } from './loss';
import { reducedLosses } from './losses';
import { mixed } from './mixed';
import { expression } from './operands';
import { cumsum } from './scan';
import { reshape, unsqueeze } from './views';

/** Lengths of sequences: numbers, or int32 [N]. */
export type Lengths = Tensor | readonly number[] | number;

/** Options of `ctcLoss`. */
export interface CtcOptions extends Reduced {
  /** The class that stands for no label; 0 by default. */
  blank?: number;
  /** 'mean', the default, divides each loss by the length of its target first. */
  reduction?: LossReduction;
  /** Infinite losses, of targets too long for their input, are 0 and have no gradient. */
  zeroInfinity?: boolean;
}

/** The options of `ctcLoss`. */
export const ctcOptions: OptionTable<CtcOptions> = {
  blank: is.number,
  reduction: word('none', 'mean', 'sum'),
  zeroInfinity: is.flag,
};

/** Lengths as an int32 tensor [N], checked where they are on the host. */
function lengthsOf(
  name: string,
  given: Lengths,
  samples: number,
  most: number,
  shapes: Record<string, Tensor>,
): Tensor {
  const op = 'ctcLoss';
  if (given instanceof Tensor) {
    checkIndex(op, given);
    if (given.size !== samples || given.ndim > 1)
      throw inputError(op, `${name} must be [${samples}]`, { ...shapes, [name]: given });
    return reshape(cast(given, 'int32'), [samples]);
  }
  const list = typeof given === 'number' ? [given] : [...given];
  if (list.length !== samples)
    throw inputError(op, `${name} has ${list.length} numbers for ${samples} samples`, shapes);
  const odd = list.find((n) => !Number.isInteger(n) || n < 0 || n > most);
  if (odd !== undefined) throw inputError(op, `${name} holds ${odd}`, shapes, `Use whole numbers in 0 … ${most}.`);
  return tensor(Int32Array.from(list));
}

/**
 * CTC loss, as `torch.nn.functional.ctc_loss`: log-probabilities [T, N, C] (or [T, C]), targets [N, S] or those of all samples one after the other
 * (int32), and the lengths of both. The gradient is that by the log-probabilities, −Σ of the shares of a class; PyTorch's has the probability
 * added, which `logSoftmax` before it takes out again. A length or a label that cannot be makes a sample's loss and gradient NaN.
 */
export const ctcLoss = mixed(
  'ctcLoss',
  function ctcLoss(
    logProbs: Tensor,
    targets: Tensor,
    inputLengths: Lengths,
    targetLengths: Lengths,
    options: CtcOptions = {},
  ): Tensor {
    const op = 'ctcLoss';
    const { blank = 0, reduction, zeroInfinity = false } = checked(op, options, ctcOptions);
    requireFloats(op, { logProbs });
    checkIndex(op, targets);
    const shapes = { logProbs, targets };
    if (logProbs.ndim !== 2 && logProbs.ndim !== 3)
      throw inputError(op, `${logProbs.ndim} dimensions`, shapes, 'Log-probabilities are [T, N, C] or [T, C].');
    const lp = logProbs.ndim === 2 ? unsqueeze(logProbs, 1) : logProbs;
    const [times, samples, classes] = tuple(lp.shape, 3);
    if (!Number.isInteger(blank) || blank < 0 || blank >= classes)
      throw inputError(op, `blank is ${blank}`, shapes, `It is one of the classes 0 … ${classes - 1}.`);
    const rows = targets.ndim === 2;
    if (targets.ndim > 2 || targets.ndim === 0 || (rows && targets.shape[0] !== samples))
      throw inputError(op, 'the targets do not fit', shapes, 'They are [N, S], or those of all samples in a row.');
    const most = fromEnd(targets.shape, 1);
    const counts = lengthsOf('targetLengths', targetLengths, samples, most, shapes);
    const inputs = lengthsOf('inputLengths', inputLengths, samples, times, shapes);
    if (!rows && typeof targetLengths !== 'number' && !(targetLengths instanceof Tensor)) {
      const total = targetLengths.reduce((sum, n) => sum + n, 0);
      if (total > most) throw inputError(op, `the lengths of targets add up to ${total}`, shapes);
    }
    const begin = rows
      ? tensor(Int32Array.from({ length: samples }, (_, n) => n * most))
      : cumsum(counts, 0, { exclusive: true });
    const losses = sequences(
      lp,
      contiguous(cast(targets, 'int32')),
      stack([inputs, counts, begin]),
      blank,
      zeroInfinity,
    );
    const finite = zeroInfinity ? expression(op, 'select(a, 0.0, isInf(a))', { a: losses }) : losses;
    if (reduction !== undefined && reduction !== 'mean')
      return reducedLosses(logProbs.ndim === 2 ? reshape(finite, []) : finite, reduction);
    return reducedLosses(expression(op, 'a / maxOf(b, 1.0)', { a: finite, b: counts }));
  },
);

/** The loss of each sample. `lengths` [3, N] are those of inputs and targets, and where the targets begin. */
function sequences(lp: Tensor, targets: Tensor, lengths: Tensor, blank: number, zeroInfinity: boolean): Tensor {
  const op = 'ctcLoss';
  const [times, samples, classes] = tuple(lp.shape, 3);
  const longest = fromEnd(targets.shape, 1);
  const states = 2 * longest + 1;
  const constants = [samples * times * states, times, samples, classes, states, longest, blank, Number(zeroInfinity)];
  const [alpha, losses] = [empty(op, [samples, times, states]), empty(op, [samples])];
  const reads = [contiguous(lp), targets, lengths];
  device().launch(ctcForward(), [...reads, alpha, losses].map(bind), constants, samples);
  return record(op, [lp], losses, [lp, targets, lengths, alpha, losses], (g) => {
    const [beta, shares] = [empty(op, [samples, 2, states]), empty(op, [samples, times, states])];
    const again = [contiguous(lp), targets, lengths];
    device().launch(ctcShares(), [...again, alpha, losses, beta, shares].map(bind), constants, samples);
    // Zero where a class does not occur, NaN where there is no gradient.
    const dlp = evaluate({
      name: `${op} gradient`,
      expression: `select(0.0, nan(), isNan(a) || (isInf(a) && s == 0.0))`,
      operands: { a: strided(losses, [1, samples, 1], [0, 1, 0]) },
      scalars: [Number(zeroInfinity)],
      shape: lp.shape,
    });
    const buffers = [targets, lengths, losses, shares, contiguous(g), dlp];
    device().launch(ctcGradient(), buffers.map(bind), constants, shares.size);
    dlp.memory.written();
    return [dlp];
  });
}
