// Rows of a table by their number, alone or combined in bags.
import { at, tuple } from '../../shaders/checked';
import { noGrad, record, sumOfAll, withoutHistory } from '../autograd/tape';
import { checked, is, type OptionTable, word } from '../gpu/options';
import { inputError, requireIntegers } from '../tensor/context';
import { full, tensor } from '../tensor/create';
import { sameShape } from '../tensor/shape';
import { requireFloats, Tensor } from '../tensor/tensor';
import { filled } from '../tensor/views';
import { assign_ } from './assign';
import { choose } from './choose';
import { add, cast, div, eq, gt, logicalAnd, maximum, mul, reciprocal, sub } from './elementwise';
import { checkIndex } from './index-checks';
import { selected } from './index-select';
import { mixed } from './mixed';
import { norm } from './reduce';
import { indexReduce, sumsAt } from './scatter';
import { addAt } from './scatter-at';
import { searched } from './search';
import { expand, narrow, reshape, unsqueeze } from './views';

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** The row that gets no gradient; negative from the end. */
  paddingIdx?: number | null;
  /** Rows that are looked up and longer are scaled to this length first, in the table itself. */
  maxNorm?: number | null;
  /** Which norm that is; 2 by default. */
  normType?: number;
  /** Gradients of rows are divided by how often the index names them. */
  scaleGradByFreq?: boolean;
}

const nullable = { what: 'a number or null', fits: (x: unknown) => x === null || is.number.fits(x) };
/** The options of `embedding`, for modules too. */
export const EMBEDDING: OptionTable<EmbeddingOptions> = {
  paddingIdx: nullable,
  maxNorm: nullable,
  normType: is.number,
  scaleGradByFreq: is.flag,
};

/** How often each of n numbers stands in a vector of positions: float32 [n]. */
const frequencies = (positions: Tensor, n: number): Tensor =>
  addAt(null, [n], 0, positions, expand(full([1], 1), positions.shape));

/** The row that `paddingIdx` names. */
export function paddingRow(op: string, weight: Tensor, paddingIdx: number | null | undefined): number | null {
  if (paddingIdx === null || paddingIdx === undefined) return null;
  requireIntegers(op, { paddingIdx });
  const rows = at(weight.shape, 0);
  const row = paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
  if (row < 0 || row >= rows)
    throw inputError(op, `paddingIdx is ${paddingIdx}`, { weight }, `Use ${-rows} … ${rows - 1}.`);
  return row;
}

/** The table, whose gradient is scaled row by row: nothing for the padding, less for frequent rows. */
function scaledGradient(weight: Tensor, positions: Tensor, padding: number | null, byFrequency: boolean): Tensor {
  if (padding === null && !byFrequency) return weight;
  const scale = () => {
    const n = at(weight.shape, 0);
    const factor = byFrequency
      ? reciprocal(maximum(frequencies(positions, n), 1))
      : filled('embedding', [n], 1, 'float32');
    if (padding === null) return unsqueeze(factor, 1);
    return unsqueeze(choose(eq(tensor(Int32Array.from({ length: n }, (_, i) => i)), padding), 0, factor), 1);
  };
  const rule = (g: Tensor) => [mul(g, scale())];
  return record('embedding', [weight], withoutHistory(weight), [positions], rule, {
    push: (t) => sumOfAll(t),
    differentiable: rule,
  });
}

/** Scales the rows that are looked up and too long, in place. */
function renormalize(weight: Tensor, positions: Tensor, maxNorm: number, p: number): void {
  noGrad(() => {
    const length = norm(weight, p, 1);
    const long = logicalAnd(gt(length, maxNorm), gt(frequencies(positions, at(weight.shape, 0)), 0));
    const factor = choose(long, div(maxNorm, add(length, 1e-7)), 1);
    assign_(weight, mul(weight, unsqueeze(factor, 1)));
  });
}

/** The rows of a table [V, D] for a vector of positions. */
function rowsOf(op: string, weight: Tensor, positions: Tensor, options: EmbeddingOptions): Tensor {
  const { paddingIdx, maxNorm, normType = 2, scaleGradByFreq = false } = options;
  const padding = paddingRow(op, weight, paddingIdx);
  if (maxNorm !== null && maxNorm !== undefined) renormalize(weight, positions, maxNorm, normType);
  return selected(op, scaledGradient(weight, positions, padding, scaleGradByFreq), 0, positions);
}

function checkTable(op: string, weight: Tensor, index: Tensor): void {
  requireFloats(op, { weight });
  checkIndex(op, index);
  if (weight.ndim !== 2) throw inputError(op, 'the weight is no table', { weight, index }, 'It is [V, D].');
}

const rowsFor = mixed(
  'embedding',
  function rowsFor(weight: Tensor, index: Tensor, options: EmbeddingOptions = {}): Tensor {
    checked('embedding', options, EMBEDDING);
    checkTable('embedding', weight, index);
    const rows = rowsOf('embedding', weight, reshape(index, [index.size]), options);
    return reshape(rows, [...index.shape, at(weight.shape, 1)]);
  },
);

/** Rows of weight [V, D] for an index of any shape, as `torch.nn.functional.embedding`: [..., D]. */
export function embedding(weight: Tensor, index: Tensor, options: EmbeddingOptions = {}): Tensor {
  if (weight instanceof Tensor && weight.dtype === 'float16' && typeof options.maxNorm === 'number')
    throw inputError(
      'embedding',
      'maxNorm changes the weight, which is float16',
      { weight },
      'Use a weight of float32.',
    );
  return rowsFor(weight, index, options);
}

/** Options of `embeddingBag`. */
export interface EmbeddingBagOptions extends EmbeddingOptions {
  /** Where each bag begins in an index [N]: int32, ascending from 0. */
  offsets?: Tensor | null;
  /** How the rows of a bag are combined; an empty bag gives zeros. */
  mode?: 'sum' | 'mean' | 'max';
  /** Factors of the rows, of the shape of the index; for `sum` only. */
  perSampleWeights?: Tensor | null;
  /** Whether the last offset is the end of the last bag. */
  includeLastOffset?: boolean;
}

const BAG: OptionTable<EmbeddingBagOptions> = {
  ...EMBEDDING,
  offsets: is.tensor,
  mode: word('sum', 'mean', 'max'),
  perSampleWeights: is.tensor,
  includeLastOffset: is.flag,
};

/** The number of bags, and the bag of each element. */
function bagsOf(op: string, index: Tensor, offsets: Tensor | null | undefined, last: boolean): [number, Tensor] {
  const counted = (value: (i: number) => number) => tensor(Int32Array.from({ length: index.size }, (_, i) => value(i)));
  if (index.ndim === 2 && !offsets) {
    const [bags, length] = tuple(index.shape, 2);
    return [bags, counted((i) => Math.floor(i / length))];
  }
  if (index.ndim !== 1 || !offsets || offsets.ndim !== 1)
    throw inputError(
      op,
      'the bags are not given',
      { index, ...(offsets && { offsets }) },
      'An index [bags, length] has them in its rows; an index [N] needs offsets, a vector.',
    );
  checkIndex(op, offsets);
  const place = searched(
    offsets,
    offsets.dtype === 'int32'
      ? counted((i) => i)
      : cast(
          counted((i) => i),
          'uint32',
        ),
    true,
  );
  return [offsets.size - Number(last), sub(place, 1)];
}

/**
 * Sums, means or largest values over bags of rows of weight [V, D], as `torch.nn.functional.embedding_bag`: [bags, D]. The bags are the rows of an index [bags,
 * length], or begin at `offsets` in an index [N]. Rows of `paddingIdx` take no part.
 */
export const embeddingBag = mixed(
  'embeddingBag',
  function embeddingBag(weight: Tensor, index: Tensor, options: EmbeddingBagOptions = {}): Tensor {
    const op = 'embeddingBag';
    const { offsets, mode = 'mean', perSampleWeights, includeLastOffset = false, ...o } = checked(op, options, BAG);
    checkTable(op, weight, index);
    const [bags, place] = bagsOf(op, index, offsets, includeLastOffset);
    if (perSampleWeights && (mode !== 'sum' || !sameShape(perSampleWeights.shape, index.shape)))
      throw inputError(
        op,
        mode === 'sum' ? 'perSampleWeights do not have the shape of the index' : `perSampleWeights for mode '${mode}'`,
        { index, perSampleWeights },
        "They are factors for mode 'sum'.",
      );
    const positions = reshape(index, [index.size]);
    const rows = rowsOf(op, weight, positions, o);
    const padding = paddingRow(op, weight, o.paddingIdx);
    // What takes no part goes to one bag more.
    const bag = padding === null ? place : choose(eq(positions, padding), bags, place);
    const zeros = filled(op, [bags + 1, at(weight.shape, 1)], 0, 'float32');
    if (mode === 'max') return narrow(indexReduce(zeros, 0, bag, rows, 'amax', { includeSelf: false }), 0, 0, bags);
    const factors = perSampleWeights && reshape(perSampleWeights, [index.size, 1]);
    const sums = narrow(sumsAt(op, zeros, bag, factors ? mul(rows, factors) : rows), 0, 0, bags);
    if (mode === 'sum') return sums;
    return div(sums, unsqueeze(maximum(narrow(frequencies(bag, bags + 1), 0, 0, bags), 1), 1));
  },
);
