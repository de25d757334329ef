// Launches of the norms over rows that a team holds in registers (shaders/norm/rows.ts): layer, group and root-mean-square norm. Not recorded.
import { fitsRows, rowsBackward, rowsForward, rowsOfGroup } from '../../shaders/norm/rows';
import { device, f32 } from '../gpu';
import type { DType } from '../tensor/dtype';
import { contiguous, launchOn } from '../tensor/elementwise';
import { reduce } from '../tensor/reduce';
import type { Shape } from '../tensor/shape';
import { contiguousStrides, size } from '../tensor/shape';
import { empty, strided, type Tensor } from '../tensor/tensor';

export interface RowNorm {
  /**
   * y, in the shape of x and of the type `result`, by default that of x, and `stats` [rows, 4]: mean, 1/√(variance + eps) and two for the launches of
   * longer rows. Weight and bias have n elements.
   */
  forward(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, result?: DType): { y: Tensor; stats: Tensor };
  /** The gradients that are wanted, in the shapes of x and of the weight; those of weight and bias in the types given. */
  backward(
    gradient: Tensor,
    x: Tensor,
    stats: Tensor,
    wanted: { dx?: boolean; dWeight?: DType | false; dBias?: DType | false },
    weight?: Tensor | null,
    onto?: Tensor | null,
  ): { dx?: Tensor; dWeight?: Tensor; dBias?: Tensor };
}

/** The norm of `rows` rows, whose elements have the shape `of`; null where the rows are too long for a team, or there is nothing to normalise. */
export function rowNorm(name: string, rows: number, of: Shape, centered: boolean, eps: number): RowNorm | null {
  const { target } = device();
  const n = size(of);
  if (!rows || !fitsRows(target, n)) return null;
  const shape = { target, n, centered };
  const split = (sums: boolean) => {
    const each = rowsOfGroup(target, rows, sums);
    return { groups: Math.ceil(rows / each), constants: [rows, each, f32(eps)] };
  };
  return {
    forward(x, weight, bias, result = x.dtype) {
      const { groups, constants } = split(false);
      const [y, stats] = [empty(name, x.shape, result), empty(name, [rows, 4])];
      const kernel = rowsForward({ ...shape, weight: !!weight, bias: !!bias });
      const reads = [x, weight, bias].filter((t) => !!t).map(contiguous);
      launchOn(kernel, [...reads, y, stats], constants, groups);
      return { y, stats };
    },
    backward(gradient, x, stats, { dx = false, dWeight = false, dBias = false }, weight, onto = null) {
      if (!dx && !dWeight && !dBias) return {};
      const { groups, constants } = split(!!dWeight || !!dBias);
      const kernel = rowsBackward({
        ...shape,
        weight: !!weight,
        dx,
        onto: dx && !!onto,
        dWeight: !!dWeight,
        dBias: !!dBias,
      });
      const partial = (wanted: DType | false) => (wanted ? empty(name, [groups, n]) : undefined);
      const out = dx ? empty(name, x.shape, x.dtype) : undefined;
      const sums = [partial(dWeight), partial(dBias)];
      const more = [weight && dx ? weight : null, dx ? onto : null].filter((t) => !!t).map(contiguous);
      const reads = [contiguous(gradient), contiguous(x), stats, ...more];
      const writes = [out, ...sums].filter((t) => !!t);
      launchOn(kernel, [...reads, ...writes], constants, groups);
      const added = (partials: Tensor | undefined, result: DType | false) => {
        if (!partials || !result) return undefined;
        const e = { name: `${name} gradient`, reduction: 'sum', map: 'a', shape: partials.shape, axes: [0] } as const;
        const sum = reduce({ ...e, operands: { a: partials }, result });
        partials.dispose();
        return strided(sum, of, contiguousStrides(of));
      };
      const [first, second] = sums;
      return { dx: out, dWeight: added(first, dWeight), dBias: added(second, dBias) };
    },
  };
}
