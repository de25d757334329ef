// Tensors as text, in PyTorch's form: four decimals, or exponents where magnitudes differ much; the middle of large tensors left out.

import { at } from '../../shaders/checked';
import { scopedNoGrad } from '../autograd/tape';
import { hostValues } from '../tensor/create';
import { isFloat } from '../tensor/dtype';
import { size } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { concat } from './join';
import { narrow } from './views';

const THRESHOLD = 1000; // elements, above which only the edges are shown
const EDGE = 3;
const LINE = 80;
const INDENT = 'tensor('.length;

/** One way of writing for all elements, all of one width. */
function formatter(
  values: readonly number[],
  dtype: Tensor['dtype'],
): { width: number; format: (x: number) => string } {
  let write = (x: number): string => (dtype === 'bool' ? String(x !== 0) : String(x));
  if (isFloat(dtype)) {
    const finite = values.filter((x) => Number.isFinite(x) && x !== 0).map(Math.abs);
    const [least, most] = [Math.min(...finite), Math.max(...finite)];
    const exponents = finite.length > 0 && (most / least > 1000 || most > 1e8 || least < 1e-4);
    const whole = finite.every(Number.isInteger);
    write = (x) => {
      if (!Number.isFinite(x)) return Number.isNaN(x) ? 'nan' : x > 0 ? 'inf' : '-inf';
      if (exponents) return x.toExponential(4).replace(/e([+-])(\d)$/, 'e$10$2');
      return whole ? `${x}.` : x.toFixed(4);
    };
  }
  // As in PyTorch, infinities and NaN do not widen the columns.
  const counted = isFloat(dtype) ? values.filter((x) => Number.isFinite(x) && x !== 0) : values;
  const width = Math.max(1, ...counted.map((x) => write(x).length));
  return { width, format: (x) => write(x).padStart(width) };
}

/** The first and last elements of every long dimension. */
function edges(x: Tensor): Tensor {
  return x.shape.reduce(
    (y, n, axis) => (n > 2 * EDGE ? concat([narrow(y, axis, 0, EDGE), narrow(y, axis, n - EDGE, EDGE)], axis) : y),
    x,
  );
}

/**
 * The tensor as PyTorch prints it. Waits for the GPU.
 *
 *     tensor([[1., 2.],
 *             [3., 4.]], requiresGrad=true)
 */
export async function show(x: Tensor): Promise<string> {
  const shown = x.size > THRESHOLD ? scopedNoGrad(() => edges(x)) : x;
  return written(x, shown, [...(await shown.data())]);
}

/** A tensor by the values of what is shown of it. */
function written(x: Tensor, shown: Tensor, values: readonly number[]): string {
  const short = x.size > THRESHOLD;
  const { width, format } = formatter(values, x.dtype);

  const nest = (axis: number, start: number, indent: number): string => {
    if (axis === x.ndim) return format(at(values, start));
    const inner = size(shown.shape.slice(axis + 1));
    const items = Array.from({ length: at(shown.shape, axis) }, (_, i) =>
      nest(axis + 1, start + i * inner, indent + 1),
    );
    const gap = short && at(x.shape, axis) > 2 * EDGE;
    if (gap) items.splice(EDGE, 0, axis === x.ndim - 1 ? ' ...' : '...');
    if (axis < x.ndim - 1) return `[${items.join(`,${'\n'.repeat(x.ndim - 1 - axis)}${' '.repeat(indent + 1)}`)}]`;
    const perLine = Math.max(1, Math.floor((LINE - indent) / (width + 2)));
    const lines = Array.from({ length: Math.ceil(items.length / perLine) }, (_, i) =>
      items.slice(i * perLine, (i + 1) * perLine).join(', '),
    );
    return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`;
  };

  const notes: string[] = [];
  if (x.size === 0 && x.ndim !== 1) notes.push(`shape=[${x.shape.join(', ')}]`);
  if (x.dtype.endsWith('int32') || x.dtype === 'float16' || (x.size === 0 && x.dtype !== 'float32'))
    notes.push(`dtype=${x.dtype}`);
  if (x.gradNode) notes.push(`gradNode=<${x.gradNode.name}>`);
  else if (x.requiresGrad) notes.push('requiresGrad=true');
  let text = `tensor(${x.size === 0 ? '[]' : nest(0, 0, INDENT)}`;
  for (const note of notes) {
    const full = text.length - text.lastIndexOf('\n') + note.length + 1 > LINE;
    text += full ? `,\n${' '.repeat(INDENT)}${note}` : `, ${note}`;
  }
  return `${text})`;
}

/** Writes the tensor to the console as PyTorch prints it. */
export async function print(x: Tensor): Promise<void> {
  console.log(await show(x));
}

/**
 * What `console.log(x)` shows in Node, which cannot wait for the GPU: the values where the program has given them and nothing has written into the
 * tensor since, else shape and type.
 */
export function inspect(x: Tensor): string {
  const values = x.dtype !== 'float16' && x.size <= THRESHOLD && x.isContiguous ? hostValues(x) : null;
  if (values?.length === x.size) return written(x, x, [...values]);
  const history = x.gradNode ? `, gradNode=<${x.gradNode.name}>` : x.requiresGrad ? ', requiresGrad=true' : '';
  return `Tensor([${x.shape.join(', ')}], ${x.dtype}${history}; values: await x.print())`;
}

/** Shape and type, which are known without waiting for the GPU: `Tensor([2, 3], float32)`. */
export const describe = (x: Tensor): string => `Tensor([${x.shape.join(', ')}], ${x.dtype})`;
