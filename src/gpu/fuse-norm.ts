// Passes that let convolutions do the work of the batch norms around them (tests/gpu/fuse-norm.test.ts):
// - normOnLoad: y = act(x · scale + shift) is not written where every reader can apply it to x as it loads (shaders/conv/norm-load.ts);
// - sumsOnStore: what a norm sums up of a tensor, forward or for its gradient, is summed where that is written (shaders/conv/norm-sums.ts).
import { at, tuple } from '../../shaders/checked';
import { lowerAgain } from '../../shaders/lower';
import { type Binding, type Block, overlap } from './blocks';
import { commute, isMovable } from './fuse';
import type { Launch } from './trace';
import { partsOf } from './trace';

const writes = ({ kernel, bindings }: Launch, hit: (b: Binding) => boolean): boolean =>
  bindings.some((b, i) => kernel.access[i] !== 'r' && hit(b));

const same = (a: Binding, b: Binding): boolean => a.block === b.block && a.offset === b.offset && a.bytes === b.bytes;

/** `reader` with the norm of `x` in its loads instead of `y`; null when it cannot. */
function throughNorm(reader: Launch, norm: Launch, x: Binding, stats: Binding, y: Binding): Launch | null {
  const { onLoad, operation } = reader.kernel;
  const { normalizes } = norm.kernel;
  const [first, ...rest] = reader.bindings;
  if (!normalizes || !onLoad || !operation) return null;
  if (onLoad.plane !== normalizes.plane || 16 * onLoad.channels !== stats.bytes) return null;
  if (!first || !same(first, y) || rest.some((b) => b.block === y.block)) return null;
  if (writes(reader, (b) => b.block === x.block || b.block === stats.block)) return null;
  const parts = [...partsOf(norm), ...partsOf(reader)];
  return {
    ...reader,
    kernel: lowerAgain({ ...operation, norm: { relu: normalizes.relu } }),
    bindings: [x, ...rest, stats],
    parts,
  };
}

/**
 * Moves batch norms into the loads of the convolutions behind them. It needs that all readers of y are such, that nobody sees y outside of
 * the step, and that x and the rows of `stats` are still there when the last of them reads. The bits stay the same.
 */
export function normOnLoad(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const out: (Launch | null)[] = [...launches];
  launches.forEach((norm, place) => {
    if (!norm.kernel.normalizes) return;
    const [x, stats, y] = tuple(norm.bindings, 3);
    if (!isMovable(y.block, pinned)) return;
    const readers = new Map<number, Launch>();
    for (const [i, user] of out.entries()) {
      if (!user || i === place || !user.bindings.some((b) => b.block === y.block)) continue;
      const fused = i > place ? throughNorm(user, norm, x, stats, y) : null;
      if (!fused) return;
      readers.set(i, fused);
    }
    const until = out.slice(place + 1, Math.max(place, ...readers.keys()) + 1);
    if (until.some((l) => l && writes(l, (b) => overlap(b, x) || overlap(b, stats)))) return;
    for (const [i, fused] of readers) out[i] = fused;
    out[place] = null;
  });
  return out.filter((launch) => launch !== null);
}

/**
 * Moves the sums over a tensor's chunks, for the statistics of a batch norm or for its gradient, into the convolution that writes the tensor.
 * What they are made of besides must be there by then. The bits stay the same.
 */
export function sumsOnStore(launches: readonly Launch[]): Launch[] {
  const out: (Launch | null)[] = [...launches];
  launches.forEach((sum, place) => {
    const { sums } = sum.kernel;
    if (!sums) return;
    const [tensor, ...others] = sum.bindings as [Binding, ...Binding[]];
    const from = out.findLastIndex((l, i) => i < place && l !== null && writes(l, (b) => overlap(b, tensor)));
    const writer = out[from];
    const { onStore, operation } = writer?.kernel ?? {};
    if (!writer || !onStore || !operation || onStore.plane !== sums.plane) return;
    if (sum.constants[0] !== onStore.channels || sum.constants[1] !== onStore.chunks) return;
    if (!same(at(writer.bindings, writer.kernel.access.indexOf('w')), tensor)) return;
    if (out.slice(from + 1, place).some((l) => l && !commute(l, sum))) return;
    const kernel = lowerAgain({ ...operation, sums });
    const bindings = [...writer.bindings, ...others];
    // In one launch, no buffer may be both read and written.
    const clash = bindings.some(
      (a, i) => kernel.access[i] !== 'r' && bindings.some((b, j) => j !== i && b.block === a.block),
    );
    if (clash) return;
    out[from] = { ...writer, kernel, bindings, parts: [...partsOf(writer), ...partsOf(sum)] };
    out[place] = null;
  });
  return out.filter((launch) => launch !== null);
}
