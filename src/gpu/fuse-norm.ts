// Passes that let convolutions do the work of the batch norms and residual connections around them (tests/gpu/fuse-norm.test.ts):
// - normOnLoad: y = act(x · scale + shift) is not written where every reader can apply it to x as it loads (shaders/conv/norm-load.ts);
// - addOnStore: a residual connection is added where its branch is computed (shaders/conv/epilogue.ts);
// - sumsOnStore: what a norm sums up of a tensor, forward or for its gradient, is summed where that is written (shaders/conv/norm-sums.ts);
// - gradientOnLoad: a norm's gradient is applied, and written, where the convolution in front of it loads it (shaders/conv/norm-load.ts).
// Of addOnStore and gradientOnLoad only counts and bits are known: neither was timed on a GPU. docs/performance.md says what they are expected to gain.
import { at, fromEnd, tuple } from '../../shaders/checked';
import type { Operation } from '../../shaders/kernel';
import { lowerAgain } from '../../shaders/lower';
import { type Binding, type Block, overlap } from './blocks';
import { commute, isMovable } from './fuse';
import type { Launch, Part } from './trace';
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

/** The launch at `from` with the kernel of `change` and its own bindings changed; null where a buffer would be both read and written, or bound twice. */
function changed(writer: Launch, change: Partial<Operation>, bindings: readonly Binding[], parts: readonly Part[]) {
  const { operation } = writer.kernel;
  const kernel = operation && lowerAgain({ ...operation, ...change });
  const clash = (a: Binding, i: number) =>
    kernel?.access[i] !== 'r' && bindings.some((b, j) => j !== i && b.block === a.block);
  return !kernel || bindings.some(clash) ? null : { ...writer, kernel, bindings: [...bindings], parts };
}

/** Who writes `tensor` before `place`, if it could sum it up in an epilogue and nothing in between minds that `user` does its work there. */
function storing(out: readonly (Launch | null)[], place: number, user: Launch, tensor: Binding) {
  const from = out.findLastIndex((l, i) => i < place && l !== null && writes(l, (b) => overlap(b, tensor)));
  const writer = out[from];
  if (!writer?.kernel.onStore || !same(at(writer.bindings, writer.kernel.access.indexOf('w')), tensor)) return null;
  return out.slice(from + 1, place).some((l) => l && !commute(l, user))
    ? null
    : { from, writer, onStore: writer.kernel.onStore };
}

/**
 * Moves the sum of a residual connection into the convolution that computes its branch, the operand that is written last. The branch itself is
 * written only where the sum says so: nobody else may read it. The bits stay the same.
 */
export function addOnStore(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const out: (Launch | null)[] = [...launches];
  launches.forEach((add, place) => {
    const { adds } = add.kernel;
    if (!adds) return;
    const step = adds === 'step';
    const [y, ...operands] = [fromEnd(add.bindings, 1), ...add.bindings.slice(0, -1)];
    const branches = step ? [at(operands, 1)] : operands;
    const found = branches.map((b) => ({ branch: b, ...storing(out, place, add, b) }));
    const { branch, writer, from } = found.reduce((a, b) => ((b.from ?? -1) > (a.from ?? -1) ? b : a));
    if (!writer || from === undefined || writer.kernel.operation?.adds) return;
    const read = out.some((l, i) => l && i !== place && i !== from && l.bindings.some((b) => b.block === branch.block));
    if (!step && (read || !isMovable(branch.block, pinned))) return;
    const others = operands.filter((b) => !same(b, branch));
    if (others.length !== operands.length - 1) return;
    const bindings = [...writer.bindings.with(2, y), ...others, ...(step ? [branch] : [])];
    const fused = changed(writer, { adds }, bindings, [...partsOf(writer), ...partsOf(add)]);
    if (!fused) return;
    out[from] = { ...fused, constants: add.constants };
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
    const found = storing(out, place, sum, tensor);
    if (!found || found.onStore.plane !== sums.plane) return;
    const { from, writer, onStore } = found;
    if (sum.constants[0] !== onStore.channels || sum.constants[1] !== onStore.chunks) return;
    const fused = changed(writer, { sums }, [...writer.bindings, ...others], [...partsOf(writer), ...partsOf(sum)]);
    if (!fused) return;
    out[from] = fused;
    out[place] = null;
  });
  return out.filter((launch) => launch !== null);
}

/**
 * Moves the last launch of a norm's gradient into the input gradient that is the first to read it: that writes it as it loads, for the weight
 * gradient and the residual connection. It takes up to ten storage buffers, where an adapter has so many (`most`). The bits stay the same.
 */
export function gradientOnLoad(
  launches: readonly Launch[],
  _pinned: ReadonlySet<Block>,
  _align: number,
  most: number,
): Launch[] {
  const out: (Launch | null)[] = [...launches];
  launches.forEach((apply, place) => {
    const { differentiates } = apply.kernel;
    if (!differentiates) return;
    const dx = fromEnd(apply.bindings, 1);
    const to = out.findIndex((l, i) => i > place && l?.bindings.some((b) => b.block === dx.block));
    const reader = out[to];
    const { onGradient } = reader?.kernel ?? {};
    if (!reader || !onGradient || !same(at(reader.bindings, 0), dx)) return;
    const { plane, ...gradient } = differentiates;
    if (plane !== onGradient.plane || 32 * onGradient.channels !== at(apply.bindings, 2).bytes) return;
    if (out.slice(place + 1, to).some((l) => l && !commute(l, apply))) return;
    const [g, ...rest] = apply.bindings as [Binding, ...Binding[]];
    const bindings = [g, ...reader.bindings.slice(1, 3), ...rest, ...reader.bindings.slice(3)];
    if (bindings.length > most) return;
    const fused = changed(reader, { gradient }, bindings, [...partsOf(apply), ...partsOf(reader)]);
    if (!fused) return;
    out[to] = fused;
    out[place] = null;
  });
  return out.filter((launch) => launch !== null);
}
