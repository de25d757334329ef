// Sums of products in Einstein's notation, by permuting, reshaping and matrix products.

import { at, valueAt } from '../../shaders/checked';
import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { requireTensors } from '../tensor/tensor';
import { mul } from './elementwise';
import { requireFactors } from './integer-product';
import { matmul } from './matmul';
import { mixed } from './mixed';
import { sum } from './reduce';
import { permute, reshape, slice, squeeze, transpose, unsqueeze } from './views';

interface Labelled {
  x: Tensor;
  labels: string;
}

const wrong = (problem: string, tensors: readonly Tensor[]) =>
  inputError(
    'einsum',
    problem,
    Object.fromEntries(tensors.map((t, i) => [`operand ${i}`, t])),
    "As in 'bij,bjk->bik': a letter a dimension, '...' for any others; without an arrow, '...' and the letters that appear once.",
  );

/** The dimensions of an ellipsis as letters: `count` of the last ones, so that operands line up from the right. */
const unnamed = (count: number): string =>
  Array.from({ length: count }, (_, i) => String.fromCharCode(0xe000 + count - 1 - i)).join('');

const ELLIPSIS = /^([a-zA-Z]*)(\.\.\.)?([a-zA-Z]*)$/;

/** Splits an equation into the letters of the operands and of the result. */
function parse(equation: string, tensors: readonly Tensor[]): { inputs: string[]; output: string } {
  const [left = '', right, ...more] = equation.replace(/\s/g, '').split('->');
  const given = left.split(',');
  const valid = [...given, right ?? ''].every((labels) => ELLIPSIS.test(labels));
  if (more.length || given.length !== tensors.length || !valid)
    throw wrong(`the equation '${equation}' does not fit ${tensors.length} operands`, tensors);
  let most = 0;
  const inputs = given.map((labels, k) => {
    const named = labels.replace('...', '').length;
    const others = at(tensors, k).ndim - named;
    if (labels.includes('...') ? others < 0 : others !== 0)
      throw wrong(`'${labels}' in '${equation}' is for ${named} dimensions`, tensors);
    most = Math.max(most, others);
    return labels.replace('...', unnamed(others));
  });
  const letters = inputs.join('').replace(/[^a-zA-Z]/g, '');
  const once = [...letters].filter((c) => letters.indexOf(c) === letters.lastIndexOf(c));
  const output = right === undefined ? unnamed(most) + once.sort().join('') : right.replace('...', unnamed(most));
  const known = [...output].every((c) => inputs.some((labels) => labels.includes(c)));
  if (!known || new Set(output).size !== output.length)
    throw wrong(`the equation '${equation}' does not fit ${tensors.length} operands`, tensors);
  return { inputs, output };
}

/** The diagonal over every letter that an operand has twice. */
function diagonal({ x, labels }: Labelled): Labelled {
  const twice = [...labels].find((c, i) => labels.indexOf(c) !== i);
  if (twice === undefined) return { x, labels };
  const first = labels.indexOf(twice);
  const pair = [first, labels.lastIndexOf(twice)];
  const rest = x.shape.map((_, i) => i).filter((i) => !pair.includes(i));
  const [lead, n] = [rest.map((i) => at(x.shape, i)), at(x.shape, first)];
  const flat = reshape(permute(x, [...rest, ...pair]), [...lead, n * n]);
  const on = slice(flat, [...lead.map(() => null), { step: n + 1 }]);
  return diagonal({ x: on, labels: rest.map((i) => labels.charAt(i)).join('') + twice });
}

/** Without the dimensions of size 1 that stand for larger ones. */
function unrepeated({ x, labels }: Labelled, sizes: ReadonlyMap<string, number>): Labelled {
  const kept = [...labels].map((_, i) => i).filter((i) => x.shape[i] === sizes.get(labels.charAt(i)));
  return {
    x: reshape(
      x,
      kept.map((i) => at(x.shape, i)),
    ),
    labels: kept.map((i) => labels.charAt(i)).join(''),
  };
}

/** Σ over letters that stand in one operand only and are not wanted. */
function sumAlone({ x, labels }: Labelled, wanted: string): Labelled {
  const alone = [...labels].map((_, i) => i).filter((i) => !wanted.includes(labels.charAt(i)));
  if (!alone.length) return { x, labels };
  return { x: sum(x, alone), labels: [...labels].filter((c) => wanted.includes(c)).join('') };
}

function inOrder({ x, labels }: Labelled, order: string): Tensor {
  const axes = [...order].map((c) => labels.indexOf(c));
  return permute(x, axes);
}

/** The product of two operands, summed over the letters of both that are not wanted. */
function contract(first: Labelled, second: Labelled, wanted: string, size: (labels: string) => number): Labelled {
  const a = sumAlone(first, wanted + second.labels);
  const b = sumAlone(second, wanted + first.labels);
  const both = [...a.labels].filter((c) => b.labels.includes(c));
  const batch = both.filter((c) => wanted.includes(c)).join('');
  const inner = both.filter((c) => !wanted.includes(c)).join('');
  const rows = [...a.labels].filter((c) => !b.labels.includes(c)).join('');
  const columns = [...b.labels].filter((c) => !a.labels.includes(c)).join('');
  const arranged = (operand: Labelled, ...groups: string[]) =>
    reshape(inOrder(operand, groups.join('')), groups.map(size));
  const y = product(arranged(a, batch, rows, inner), arranged(b, batch, columns, inner), inner === '');
  const labels = batch + rows + columns;
  return { x: reshape(y, [...labels].map(size)), labels };
}

/** Refuses operands that are summed over together and differ in type, before anything is launched. */
function requireSummable(named: Readonly<Record<string, Tensor>>, inputs: readonly string[], output: string): void {
  for (const letter of new Set(inputs.join(''))) {
    const having = Object.entries(named).filter((_, k) => inputs[k]?.includes(letter));
    if (having.length > 1 && !output.includes(letter)) requireFactors('einsum', Object.fromEntries(having));
  }
}

/** Σ over the last dimension of a [batch, m, k] and b [batch, n, k]: [batch, m, n]; `plain`: k is 1. */
function product(a: Tensor, b: Tensor, plain: boolean): Tensor {
  return plain ? squeeze(mul(unsqueeze(a, 2), unsqueeze(b, 1)), 3) : matmul(a, transpose(b));
}

/**
 * Multiplies tensors and sums over the letters that the result does not name, as `torch.einsum`: `einsum('bij,bjk->bik', a, b)` is a batched matrix product,
 * `einsum('ij->ji', a)` a transpose, `einsum('i,j->ij', a, b)` an outer product, `einsum('ii->i', a)` a diagonal, and '...' stands for dimensions without a
 * name. Dimensions of size 1 broadcast. Operands are taken from left to right; what is summed over two of them is of one type, float or int32.
 */
export const einsum = mixed('einsum', function einsum(equation: string, ...tensors: Tensor[]): Tensor {
  const named = Object.fromEntries(tensors.map((x, i) => [`operand ${i}`, x]));
  requireTensors('einsum', named);
  const { inputs, output } = parse(equation, tensors);
  requireSummable(named, inputs, output);
  const sizes = new Map<string, number>();
  tensors.forEach((x, k) => {
    const labels = at(inputs, k);
    [...labels].forEach((c, i) => {
      const [known = 1, n] = [sizes.get(c), at(x.shape, i)];
      const own = at(x.shape, labels.indexOf(c));
      const what = c < '\ue000' ? `'${c}'` : "a dimension of '...'";
      if (own !== n) throw wrong(`${what} in '${equation}' is both ${own} and ${n}`, tensors);
      if (known !== n && known !== 1 && n !== 1)
        throw wrong(`${what} in '${equation}' is both ${known} and ${n}`, tensors);
      sizes.set(c, known === 1 ? n : known);
    });
  });
  // Every letter has a size: those of the result stand in an operand.
  const size = (labels: string) => [...labels].reduce((product, c) => product * valueAt(sizes, c), 1);
  const operands = tensors.map((x, k) => unrepeated(diagonal({ x, labels: at(inputs, k) }), sizes));
  const rest = (k: number) =>
    operands
      .slice(k)
      .map((o) => o.labels)
      .join('');
  const all = operands.slice(1).reduce((a, b, k) => contract(a, b, output + rest(k + 2), size), at(operands, 0));
  return inOrder(sumAlone(all, output), output);
});
