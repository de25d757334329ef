// The pass that lets convolutions read through a batch norm: y = act(x · scale + shift) is not written where every reader can apply it to x as
// it loads (shaders/conv2d-load.ts).
import type { Kernel } from '../../shaders/kernel';
import type { Binding, Block } from './blocks';
import { isFree, overlap } from './fuse';
import type { Launch } from './trace';

const writes = ({ kernel, bindings }: Launch, hit: (b: Binding) => boolean): boolean =>
  bindings.some((b, i) => kernel.access[i] !== 'r' && hit(b));

/** `reader` with the norm of `x` in its loads instead of `y`; null when it cannot. */
function throughNorm(reader: Launch, norm: Launch, x: Binding, stats: Binding, y: Binding): Launch | null {
  const { onLoad } = reader.kernel;
  const { plane, relu } = norm.kernel.normalizes!;
  const [first, ...rest] = reader.bindings;
  if (!onLoad || onLoad.plane !== plane || 16 * onLoad.channels !== stats.bytes) return null;
  if (first.block !== y.block || first.offset !== y.offset || first.bytes !== y.bytes) return null;
  if (rest.some((b) => b.block === y.block)) return null;
  if (writes(reader, (b) => b.block === x.block || b.block === stats.block)) return null;
  return { ...reader, kernel: onLoad.kernel(relu), bindings: [x, ...rest, stats] };
}

/**
 * Moves batch norms into the loads of the convolutions behind them. It needs that all readers of y are such, that nobody sees y outside of
 * the step, and that x and the rows of `stats` are still there when the last of them reads. The bits stay the same.
 */
export function normOnLoad(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const out: (Launch | null)[] = [...launches];
  launches.forEach((norm, at) => {
    const { normalizes } = norm.kernel;
    if (!normalizes) return;
    const y = norm.bindings[norm.bindings.length - 1];
    const [x, stats] = [norm.bindings[normalizes.x], norm.bindings[normalizes.stats]];
    if (!isFree(y, pinned)) return;
    const users = [...out.keys()].filter((i) => i !== at && out[i]?.bindings.some((b) => b.block === y.block));
    const fused = users.map((i) => (i > at ? throughNorm(out[i]!, norm, x, stats, y) : null));
    if (fused.includes(null)) return;
    const until = out.slice(at + 1, (users[users.length - 1] ?? at) + 1);
    if (until.some((l) => l && writes(l, (b) => overlap(b, x) || overlap(b, stats)))) return;
    users.forEach((i, k) => {
      out[i] = fused[k];
    });
    const kernel: Kernel | undefined = normalizes.withoutResult;
    out[at] = kernel ? { ...norm, kernel, bindings: norm.bindings.slice(0, -1) } : null;
  });
  return out.filter((launch) => launch !== null);
}
