// Tensors side by side: packing several into one block of memory, and rows of such tensors that are exchanged as a whole.
import { at } from '../../shaders/checked';
import { ANY } from '../../shaders/elements';
import { permuteRows } from '../../shaders/particles';
import type { TypedBinding } from '../gpu';
import { device, InputError } from '../gpu';
import { byteSize } from './dtype';
import { bind } from './elementwise';
import { sameShape, showShape } from './shape';
import type { Tensor } from './tensor';

/** Bytes of a tensor's elements, in whole words. */
export const bytesIn = ({ dtype, size }: Tensor): number => byteSize('tensor', dtype, size);

/** Bytes that a tensor takes in a block: the next one starts where the adapter lets a binding start. */
function span(tensor: Tensor): number {
  const align = device().limits.minStorageBufferOffsetAlignment;
  return Math.ceil(bytesIn(tensor) / align) * align;
}

/** Most bytes packed into one block: below every adapter's limit on a binding. */
const MOST = 2 ** 26;

/** True when the tensor is alone in its memory and covers all of it. */
export const isWhole = (tensor: Tensor): boolean =>
  tensor.isContiguous && tensor.offset === 0 && tensor.storage.bytes === bytesIn(tensor);

/**
 * Moves tensors side by side into blocks of at most 64 MiB, in their order, so that one launch can serve neighbours. Tensors keep their
 * identity. Those that share their memory with others stay where they are.
 */
export function pack(what: string, tensors: readonly Tensor[]): void {
  for (const [from, to] of runs(tensors, MOST)) packBlock(what, tensors.slice(from, to).filter(isWhole));
}

/** Cuts a list into runs that take at most `most` bytes each, or consist of one tensor that takes more. */
function* runs(tensors: readonly Tensor[], most: number): Iterable<[from: number, to: number]> {
  let from = 0;
  while (from < tensors.length) {
    let bytes = 0;
    let to = from;
    while (to < tensors.length && (to === from || bytes + span(at(tensors, to)) <= most))
      bytes += span(at(tensors, to++));
    yield [from, to];
    from = to;
  }
}

function packBlock(what: string, tensors: readonly Tensor[]): void {
  const bytes = tensors.reduce((sum, tensor) => sum + span(tensor), 0);
  if (bytes === 0) return;
  const storage = device().allocate(bytes, what);
  // Gaps between tensors are moved and updated along with them: they start as zeros.
  device().write(storage, new Uint32Array(bytes / 4));
  let next = 0;
  for (const tensor of tensors) {
    const place = storage.slice(next, bytesIn(tensor));
    device().copy(bind(tensor), place);
    tensor.memory.rehome(place);
    next += span(tensor);
  }
  storage.release();
}

/** Where rows of tensors lie, if they lie side by side in one block; null otherwise. */
function layoutOf(rows: readonly (readonly Tensor[])[]): TypedBinding | null {
  const tensors = rows.flat();
  const { block, offset } = bind(at(tensors, 0));
  let next = offset;
  for (const tensor of tensors) {
    const place = bind(tensor);
    if (place.block !== block || place.offset !== next) return null;
    next += span(tensor);
  }
  return { block, offset, bytes: next - offset, element: ANY };
}

/** Row r becomes what was row order[r]; `order` [rows] is a uint32 tensor, a permutation or with repetitions. All rows hold tensors alike. */
export function permuteTensors(what: string, rows: readonly (readonly Tensor[])[], order: Tensor): void {
  const first = at(rows, 0);
  if (first.length === 0) return;
  rows.forEach((row, i) =>
    row.forEach((tensor, k) => {
      const like = at(first, k);
      if (row.length !== first.length || !sameShape(tensor.shape, like.shape) || tensor.dtype !== like.dtype)
        throw new InputError(
          `${what}: all must have the same tensors, but tensor ${k} of ${i} is ${showShape(tensor.shape)} and that of 0 ${showShape(like.shape)}`,
        );
    }),
  );
  // One launch where all rows fit into a block, else one for every few tensors of each row.
  for (const [from, to] of runs(first, MOST / rows.length)) {
    const part = rows.map((row) => row.slice(from, to));
    let layout = layoutOf(part);
    if (!layout) {
      packBlock(what, part.flat().filter(isWhole));
      layout = layoutOf(part);
    }
    if (!layout)
      throw new InputError(`${what}: the tensors share memory with others, so they cannot be exchanged in one go`);
    permuteBlock(layout, rows.length, layout.bytes / 4 / rows.length, order);
  }
  for (const row of rows) for (const tensor of row) tensor.memory.written();
}

/** The same for the elements along the first axis of one bindable tensor. */
export function permuteFirstAxis(x: Tensor, order: Tensor): void {
  const n = at(x.shape, 0);
  permuteBlock(bind(x), n, x.size / n, order);
  x.memory.written();
}

function permuteBlock(data: TypedBinding, n: number, columns: number, order: Tensor): void {
  device().launch(permuteRows(n, columns), [data, bind(order)]);
}
