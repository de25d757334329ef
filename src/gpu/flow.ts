// The self-check of rewrites. A pass over the launches of a step is used only when this proves that it computes the same: every traced launch
// that is left reads, element by element, what it read as traced, and the memory that is seen afterwards holds the same. What an element
// holds is told by who wrote it. The same check proves that the memory which virtual blocks are given is not overwritten too early.
import { at, fromEnd, tuple, valueAt } from '../../shaders/checked';
import { gridOf, type Kernel } from '../../shaders/kernel';
import type { Binding, Block } from './blocks';
import { bindingSize } from './commands';
import { sameConstant } from './constants';
import type { Launch, Part } from './trace';
import { partsOf, VirtualBlock } from './trace';

/** Bytes [from, to) hold what `writer` wrote to the bytes [from − base, to − base) of its binding. */
interface Piece {
  readonly from: number;
  readonly to: number;
  readonly writer: number;
  readonly base: number;
}

/** Nobody has written it, or nobody's memory: what it holds makes no difference. */
const NOTHING = 0;
/** Equal to no writer, itself included. */
const GARBAGE = Number.NaN;
const writerOf = (launch: number, binding: number): number => 1 + 16 * launch + binding;

/** The block whose memory it is. */
const real = (block: Block): Block => (block instanceof VirtualBlock && block.place) || block;

const sameRange = (a: Binding, b: Binding): boolean =>
  real(a.block) === real(b.block) && a.offset === b.offset && a.bytes === b.bytes;

/** Who wrote what, block by block, while a list of launches is walked. Pieces are in order, without holes, the last one endless. */
class Contents {
  readonly #blocks = new Map<Block, Piece[]>();

  #of(block: Block): Piece[] {
    let pieces = this.#blocks.get(block);
    if (!pieces) {
      // What was there before has one writer for each block. Virtual blocks start with nothing.
      const writer = block instanceof VirtualBlock ? NOTHING : -1 - block.id;
      this.#blocks.set(block, (pieces = [{ from: 0, to: Infinity, writer, base: 0 }]));
    }
    return pieces;
  }

  /** The pieces of a range, counted from its start. */
  read({ block, offset, bytes }: Binding): Piece[] {
    const pieces = this.#of(real(block));
    const end = offset + bytes;
    const out: Piece[] = [];
    let piece: Piece | undefined;
    for (let i = indexAt(pieces, offset); (piece = pieces[i]) && piece.from < end; i++) {
      const { from, to, writer, base } = piece;
      out.push({ from: Math.max(from, offset) - offset, to: Math.min(to, end) - offset, writer, base: base - offset });
    }
    return out;
  }

  write({ block, offset, bytes }: Pick<Binding, 'block' | 'offset' | 'bytes'>, writer: number): void {
    if (!bytes) return;
    const pieces = this.#of(real(block));
    const end = offset + bytes;
    const first = indexAt(pieces, offset);
    let last = first;
    while (at(pieces, last).to < end) last++;
    const [head, tail] = [at(pieces, first), at(pieces, last)];
    const next: Piece[] = [{ from: offset, to: end, writer, base: offset }];
    if (head.from < offset) next.unshift({ ...head, to: offset });
    if (tail.to > end) next.push({ ...tail, from: end });
    pieces.splice(first, last - first + 1, ...next);
  }
}

/** The piece that holds a byte. */
function indexAt(pieces: readonly Piece[], offset: number): number {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(pieces, middle).to > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Whether `got` holds what `want` holds, wherever that matters. Both lists are in order and without holes. */
function agree(want: readonly Piece[], got: readonly Piece[]): boolean {
  let k = 0;
  let piece: Piece | undefined;
  for (const { from, to, writer, base } of want) {
    if (writer === NOTHING) continue;
    while ((piece = got[k]) && piece.to <= from) k++;
    for (let i = k; (piece = got[i]) && piece.from < to; i++)
      if (piece.writer !== writer || piece.base !== base) return false;
  }
  return true;
}

const isWritten = ({ kernel }: Launch, i: number): boolean => kernel.access[i] !== 'r';
/** One that was joined of flat launches side by side. */
const isFlat = ({ kernel, parts }: Launch): boolean => !!kernel.flat && !!parts && parts.length > 1;
const isRead = ({ kernel }: Launch, i: number): boolean => kernel.access[i] !== 'w';

/** Whether two launches do the same to operands of the same lengths; those with these `letters` must lie at the same places. */
export const repeats = (a: Launch, b: Launch, letters = ''): boolean =>
  a.kernel === b.kernel &&
  a.constants.length === b.constants.length &&
  a.constants.every((c, i) => sameConstant(c, at(b.constants, i))) &&
  a.grid.every((n, i) => n === b.grid[i]) &&
  a.bindings.every((own, i) => {
    const other = at(b.bindings, i);
    return letters.includes(a.kernel.access.charAt(i)) ? sameRange(own, other) : own.bytes === other.bytes;
  });

/** What flows between the launches of a traced step. */
export class Flow {
  /** Of each traced launch, what its bindings read. */
  readonly #reads = new Map<Launch, { index: number; pieces: (readonly Piece[])[] }>();
  /** What is seen when the step is done. */
  readonly #seen: { range: Binding; pieces: readonly Piece[] }[] = [];
  readonly #blocks = new Set<Block>();
  readonly #written = new Set<Block>();

  /** `pinned`: blocks whose content is seen afterwards, beside those that were there before. `align`: where bindings may start. */
  constructor(
    traced: readonly Launch[],
    pinned: ReadonlySet<Block>,
    readonly align: number,
  ) {
    const contents = new Contents();
    const gaps = gapsOf(traced, align);
    const clear = (block: Block, from: number, to: number) => {
      for (const gap of gaps.get(block)?.values() ?? [])
        if (gap.offset >= from && gap.offset < to) contents.write(gap, NOTHING);
    };
    for (const block of gaps.keys()) clear(block, 0, Infinity);
    const ends = new Map<Block, number>();
    const alike = new Map<Kernel, Launch[]>();
    traced.forEach((launch, place) => {
      const pieces = launch.bindings.map((b, i) => (isRead(launch, i) ? contents.read(b) : []));
      // Launches that compute the same of the same are one writer.
      const others = alike.get(launch.kernel) ?? [];
      alike.set(launch.kernel, [...others, launch]);
      const read = (l: Launch) => valueAt(this.#reads, l);
      const twin = others.find(
        (l) =>
          repeats(launch, l) &&
          pieces.every((p, i) => agree(p, at(read(l).pieces, i)) && agree(at(read(l).pieces, i), p)),
      );
      const index = twin ? read(twin).index : place;
      this.#reads.set(launch, { index, pieces });
      launch.bindings.forEach((b, i) => {
        const block = real(b.block);
        this.#blocks.add(b.block);
        ends.set(block, Math.max(ends.get(block) ?? 0, b.offset + b.bytes));
        if (!isWritten(launch, i)) return;
        contents.write(b, writerOf(index, i));
        clear(block, b.offset, b.offset + b.bytes);
        this.#written.add(block);
      });
    });
    const pins = new Set([...pinned].map(real));
    for (const [block, end] of ends) {
      if (block instanceof VirtualBlock && !pins.has(block)) continue;
      const range = { block, offset: 0, bytes: block instanceof VirtualBlock ? end : block.size };
      this.#seen.push({ range, pieces: contents.read(range) });
    }
  }

  /** What a rewritten list, or one whose blocks were given memory, does otherwise than the traced one; null when it computes the same. */
  fault(launches: readonly Launch[]): string | null {
    const contents = new Contents();
    for (const launch of launches) {
      const fault = this.#misbound(launch) ?? this.#misjoined(launch) ?? this.#misread(launch, contents);
      if (fault) return `${launch.kernel.name} ${fault}`;
      // A flat launch writes the gaps between its parts as well.
      if (isFlat(launch)) launch.bindings.forEach((b, i) => isWritten(launch, i) && contents.write(b, GARBAGE));
      for (const part of partsOf(launch)) {
        const { index } = valueAt(this.#reads, part.launch);
        part.bindings.forEach((b, i) => {
          // What a fused launch keeps in registers is written nowhere.
          if (isWritten(part.launch, i) && launch.bindings.some((range) => within(b, range)))
            contents.write(b, writerOf(index, i));
        });
      }
      for (const part of launch.parts ?? []) {
        const { index } = valueAt(this.#reads, part.launch);
        const lost = part.bindings.findIndex((b, i) => {
          if (!isWritten(part.launch, i) || !launch.bindings.some((range) => within(b, range))) return false;
          const whole = { from: 0, to: b.bytes, writer: writerOf(index, i), base: 0 };
          return !agree([whole], contents.read(b));
        });
        if (lost >= 0) return `${launch.kernel.name} has two parts that write to one place`;
      }
    }
    const wrong = this.#seen.find(({ range, pieces }) => !agree(pieces, contents.read(range)));
    return wrong ? `what the step leaves in ${nameOf(wrong.range.block)} would be other` : null;
  }

  /** Ranges beyond a buffer's end or off the places where bindings start, and buffers both read and written. */
  #misbound({ kernel, bindings }: Launch): string | null {
    if (bindings.length !== kernel.access.length) return `has ${bindings.length} bindings`;
    for (const [i, a] of bindings.entries()) {
      const block = real(a.block);
      if (a.offset % this.align || a.offset < 0 || a.offset + bindingSize(a) > block.size)
        return `binds bytes ${a.offset} to ${a.offset + a.bytes} of ${nameOf(a.block)}, which has ${block.size}`;
      if (kernel.access[i] === 'r') continue;
      if (!(a.block instanceof VirtualBlock) && !this.#written.has(block))
        return `writes to ${nameOf(a.block)}, which the step does not`;
      const shares = (b: Binding, j: number) =>
        j !== i && real(b.block) === block && (kernel.access[j] === 'r' || meet(a, b));
      if (bindings.some(shares)) return `binds ${nameOf(a.block)} twice and writes to it`;
    }
    return null;
  }

  /** A launch that does not do what its parts say. */
  #misjoined(launch: Launch): string | null {
    const { kernel, bindings, constants, grid } = launch;
    const parts = partsOf(launch);
    if (!parts.every((part) => this.#reads.has(part.launch))) return 'comes from nowhere';
    if (launch.table) return misplacedInTable(launch, launch.table, parts);
    if (parts.length === 1) {
      const { launch: own, bindings: ranges } = at(parts, 0);
      const same =
        kernel === own.kernel && constants === own.constants && grid === own.grid && bindings.length === ranges.length;
      return same && ranges.every((b, i) => sameRange(b, at(bindings, i))) ? null : 'is no longer what was traced';
    }
    return isFlat(launch) ? misplacedSideBySide(launch, parts) : misfused(launch, parts);
  }

  /** Parts that would not read what they read as traced. */
  #misread(launch: Launch, contents: Contents): string | null {
    const parts = partsOf(launch);
    const fused = parts.length > 1 && !launch.table && !isFlat(launch);
    if (launch.table) {
      const table = fromEnd(launch.bindings, 1);
      const own = table.block instanceof VirtualBlock && !this.#blocks.has(table.block);
      const kept = contents.read(table).every(({ writer }) => writer <= NOTHING);
      if (!own || !kept) return 'would find its table overwritten';
    }
    for (const [k, { launch: own, bindings }] of parts.entries()) {
      const { pieces } = valueAt(this.#reads, own);
      for (const [i, b] of bindings.entries()) {
        if (!isRead(own, i)) continue;
        let got = contents.read(b);
        const link = fused ? linkOf(parts.slice(0, k), b) : null;
        if (link) {
          // A fused launch hands on what an earlier part computes, whole and in registers, to the first operand of a later one, or to the one that is added.
          const { adds } = own.kernel;
          const handed = adds === 'step' ? i === 1 : i === 0 || (i === 1 && adds === 'sum');
          if (!handed || !sameRange(link.range, b)) return `would read a part of what it has just computed`;
          const { index } = valueAt(this.#reads, link.launch);
          got = [{ from: 0, to: b.bytes, writer: writerOf(index, link.i), base: 0 }];
        } else if (!launch.bindings.some((range) => within(b, range)))
          return `does not bind what ${own.kernel.name} reads`;
        if (!agree(at(pieces, i), got)) return `would read something else at binding ${i} of ${own.kernel.name}`;
      }
    }
    return null;
  }
}

/** What lies between the end of a tensor's memory and the next place where a binding may start: nobody's. By block and start. */
function gapsOf(launches: readonly Launch[], align: number) {
  const gaps = new Map<Block, Map<number, Binding>>();
  for (const { bindings } of launches)
    for (const b of bindings) {
      const block = real(b.block);
      const offset = b.offset + b.bytes;
      const bytes = Math.ceil(offset / align) * align - offset;
      if (!b.whole || !bytes) continue;
      const own = gaps.get(block) ?? new Map<number, Binding>();
      gaps.set(block, own.set(offset, { block, offset, bytes }));
    }
  return gaps;
}

const nameOf = (block: Block): string => (block instanceof VirtualBlock ? block.what : `buffer ${block.id}`);

const meet = (a: Binding, b: Binding): boolean => a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

const within = (b: Binding, range: Binding): boolean =>
  real(b.block) === real(range.block) && b.offset >= range.offset && b.offset + b.bytes <= range.offset + range.bytes;

/** The earlier part that writes where `b` reads, the last such. */
function linkOf(earlier: readonly Part[], b: Binding) {
  for (const { launch, bindings } of earlier.toReversed())
    for (const [i, range] of bindings.entries())
      if (isWritten(launch, i) && real(range.block) === real(b.block) && meet(range, b)) return { launch, i, range };
  return null;
}

/**
 * A fused launch is a convolution, perhaps behind a norm or a norm's gradient, perhaps with a residual connection and the sums that the next norm
 * needs (fuse-norm.ts).
 */
function misfused({ bindings, constants, grid }: Launch, parts: readonly Part[]): string | null {
  const rest = [...parts];
  const take = (is: (kernel: Kernel) => unknown) => (rest[0] && is(rest[0].launch.kernel) ? rest.shift() : undefined);
  const norm = take((kernel) => kernel.normalizes);
  const gradient = take((kernel) => kernel.differentiates);
  const main = rest.shift();
  const add = take((kernel) => kernel.adds);
  const sums = take((kernel) => kernel.sums);
  const whole = main && { ...main.launch, ...(add && { constants: add.launch.constants }) };
  if (!main || !whole || rest.length || constants !== whole.constants || grid !== whole.grid)
    return 'fuses other launches';
  const [weights, result] = tuple(main.bindings.slice(1), 2);
  const others = add?.bindings.slice(0, -1).filter((b) => !sameRange(b, result)) ?? [];
  const want = [
    at((norm ?? gradient ?? main).bindings, 0),
    weights,
    add ? fromEnd(add.bindings, 1) : result,
    ...(norm ? [at(norm.bindings, 1)] : []),
    ...(gradient ? gradient.bindings.slice(1) : []),
    ...others,
    ...(add?.launch.kernel.adds === 'step' ? [result] : []),
    ...(sums ? sums.bindings.slice(1) : []),
  ];
  const same = want.length === bindings.length && want.every((b, i) => sameRange(b, at(bindings, i)));
  return same ? null : 'does not bind what it is made of';
}

/** A flat launch treats the elements of all bindings alike: each part must lie at one place of all of them. */
function misplacedSideBySide({ kernel, bindings, constants, grid }: Launch, parts: readonly Part[]): string | null {
  const n = constants[0] as number;
  const [x, y, z] = gridOf(kernel, n) ?? [Infinity, 1, 1];
  if (grid[0] * grid[1] * grid[2] < x * y * z) return 'has too few workgroups';
  if (bindings.some(({ bytes }) => bytes !== 4 * n)) return 'binds ranges of other lengths';
  for (const { launch, bindings: ranges } of parts) {
    const like =
      launch.kernel === kernel &&
      launch.constants.length === constants.length &&
      constants.every((c, i) => i === 0 || sameConstant(c, at(launch.constants, i)));
    const shift = at(ranges, 0).offset - at(bindings, 0).offset;
    const aside = ranges.every(
      (b, i) => b.bytes === 4 * (launch.constants[0] as number) && b.offset - at(bindings, i).offset === shift,
    );
    if (!like || !aside || !ranges.every((b, i) => within(b, at(bindings, i))))
      return 'joins what does not lie side by side';
  }
  return null;
}

/** The table of a joined launch must say where the operands of each part start, and give each its workgroups. */
function misplacedInTable(
  { bindings, constants, grid }: Launch,
  table: Uint32Array,
  parts: readonly Part[],
): string | null {
  const [count, records] = tuple(constants as readonly number[], 2);
  if (count !== records || grid[0] * grid[1] * grid[2] < count) return 'has too few workgroups';
  let group = 0;
  let next = records;
  for (const [k, { launch, bindings: ranges }] of parts.entries()) {
    const { segment } = launch.kernel;
    if (!segment) return 'joins what has no segments';
    const want = [...ranges.map((b, i) => (b.offset - at(bindings, i).offset) / 4), group, ...segment.words];
    if (ranges.length !== bindings.length - 1 || !ranges.every((b, i) => within(b, at(bindings, i))))
      return 'joins what it does not bind';
    if (!want.every((word, i) => table[next + i] === word)) return 'has another table';
    for (let i = 0; i < segment.groups; i++) if (table[group++] !== k) return 'has another table';
    next += want.length;
  }
  return group === count ? null : 'has another table';
}
