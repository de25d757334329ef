// Sums of products in Einstein's notation, by permuting, reshaping and matrix products.

import { inputError } from '../tensor/context';
import type { Tensor } from '../tensor/tensor';
import { requireFloats, requireTensors } from '../tensor/tensor';
import { matmul } from './matmul';
import { sum } from './reduce';
import { permute, reshape } from './views';

interface Labelled {
  x: Tensor;
  labels: string;
}

const wrong = (problem: string, tensors: readonly Tensor[]) =>
  inputError(
    'einsum',
    problem,
    Object.fromEntries(tensors.map((t, i) => [`operand ${i}`, t])),
    "As in 'bij,bjk->bik': one letter a dimension, no letter twice in an operand; without an arrow, letters that appear once.",
  );

/** Splits an equation into the letters of the operands and of the result. */
function parse(equation: string, tensors: readonly Tensor[]): { inputs: string[]; output: string } {
  const [left, right, ...more] = equation.replaceAll(' ', '').split('->');
  const inputs = left.split(',');
  const letters = [...left.replaceAll(',', '')];
  const once = [...new Set(letters)].filter((c) => letters.indexOf(c) === letters.lastIndexOf(c));
  const output = right ?? once.sort().join('');
  const distinct = (labels: string) => new Set(labels).size === labels.length && /^[a-zA-Z]*$/.test(labels);
  const known = [...output].every((c) => letters.includes(c));
  if (more.length || inputs.length !== tensors.length || !inputs.every(distinct) || !distinct(output) || !known)
    throw wrong(`the equation '${equation}' does not fit ${tensors.length} operands`, tensors);
  return { inputs, output };
}

/** Σ over letters that stand in one operand only and are not wanted. */
function sumAlone({ x, labels }: Labelled, wanted: string): Labelled {
  const alone = [...labels].map((_, i) => i).filter((i) => !wanted.includes(labels[i]));
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
  const y = matmul(arranged(a, batch, rows, inner), arranged(b, batch, inner, columns));
  const labels = batch + rows + columns;
  return { x: reshape(y, [...labels].map(size)), labels };
}

/**
 * Multiplies tensors and sums over the letters that the result does not name: `einsum('bij,bjk->bik', a, b)` is a batched matrix product,
 * `einsum('ij->ji', a)` a transpose, `einsum('i,j->ij', a, b)` an outer product. Operands are taken from left to right.
 */
export function einsum(equation: string, ...tensors: Tensor[]): Tensor {
  const operandNames = tensors.map((x, i) => [`operand ${i}`, x]);
  (tensors.length > 1 ? requireFloats : requireTensors)('einsum', Object.fromEntries(operandNames));
  const { inputs, output } = parse(equation, tensors);
  const sizes = new Map<string, number>();
  tensors.forEach((x, k) => {
    if (x.ndim !== inputs[k].length)
      throw wrong(`'${inputs[k]}' in '${equation}' is for ${inputs[k].length} dimensions`, tensors);
    [...inputs[k]].forEach((c, i) => {
      if (sizes.has(c) && sizes.get(c) !== x.shape[i])
        throw wrong(`'${c}' in '${equation}' is both ${sizes.get(c)} and ${x.shape[i]}`, tensors);
      sizes.set(c, x.shape[i]);
    });
  });
  const size = (labels: string) => [...labels].reduce((product, c) => product * sizes.get(c)!, 1);
  const operands = tensors.map((x, k) => ({ x, labels: inputs[k] }));
  const product = operands
    .slice(1)
    .reduce((a, b, k) => contract(a, b, output + inputs.slice(k + 2).join(''), size), operands[0]);
  return inOrder(sumAlone(product, output), output);
}
