// Rows: tensors that are moved together. The tensors of each row are packed side by side into one [rows, columns] block of memory, so that
// a single launch can exchange whole rows.
import { PERMUTE_TILE, permuteRows } from '../../shaders/particles';
import type { Storage } from '../gpu';
import { InputError, device } from '../gpu';
import { bind, gridFor } from './elementwise';
import { sameShape, showShape } from './shape';
import type { Tensor } from './tensor';

export class Rows {
  /** Words of a row. Every tensor in it starts where the adapter lets a binding start. */
  readonly columns: number;
  readonly storage: Storage;

  /** Moves the tensors into a block. Each must be alone in its memory; `rows[i][k]` has the same shape and type for all i. */
  constructor(
    what: string,
    readonly rows: readonly (readonly Tensor[])[],
  ) {
    const { limits } = device();
    const align = limits.minStorageBufferOffsetAlignment;
    let bytes = 0;
    const offsets = rows[0].map((tensor) => {
      const at = bytes;
      bytes += Math.ceil((4 * tensor.size) / align) * align;
      return at;
    });
    this.columns = bytes / 4;
    this.storage = device().allocate(rows.length * bytes, what);
    // Gaps between tensors are moved as well: give them a defined content.
    device().write(this.storage, new Uint32Array(rows.length * this.columns));
    rows.forEach((row, i) =>
      row.forEach((tensor, k) => {
        const like = rows[0][k];
        if (row.length !== rows[0].length || !sameShape(tensor.shape, like.shape) || tensor.dtype !== like.dtype)
          throw new InputError(`${what}: all must have the same tensors, but tensor ${k} of ${i} is ${showShape(tensor.shape)} and that of 0 ${showShape(like.shape)}`);
        const from = bind(tensor);
        if (from.bytes !== tensor.storage.bytes) throw new InputError(`${what}: tensor ${k} of ${i} shares its memory with another tensor`);
        const to = this.storage.slice(i * bytes + offsets[k], 4 * tensor.size);
        device().copy(from, to);
        tensor.memory.rehome(to);
      }),
    );
  }

  /** True while these tensors still lie in this block. */
  holds(rows: readonly (readonly Tensor[])[]): boolean {
    return rows.every((row, i) => row.every((tensor, k) => tensor === this.rows[i][k]));
  }

  /** Row r becomes what was row order[r]. `order` is a uint32 tensor that holds a permutation. */
  permute(order: Tensor): void {
    permuteBlock(this.storage, this.rows.length, this.columns, order);
    for (const row of this.rows) for (const tensor of row) tensor.memory.written();
  }
}

/** The same for the elements along the first axis of one bindable tensor. */
export function permuteFirstAxis(x: Tensor, order: Tensor): void {
  permuteBlock(bind(x), x.shape[0], x.size / x.shape[0], order);
  x.memory.written();
}

function permuteBlock(data: ReturnType<typeof bind>, n: number, columns: number, order: Tensor): void {
  device().launch(permuteRows(n), [data, bind(order)], [columns], gridFor(columns, PERMUTE_TILE));
}
