// Passes over the launches of a traced step: fewer launches for the same result.
import { at, fromEnd, valueAt } from '../../shaders/checked';
import { foldWorkgroups, gridOf, type Kernel } from '../../shaders/kernel';
import type { Segment } from '../../shaders/segments';
import { type Binding, type Block, overlap } from './blocks';
import { sameConstant } from './constants';
import { repeats } from './flow';
import type { Launch } from './trace';
import { partsOf, VirtualBlock } from './trace';

/** Joined ranges stay below the smallest limit on a binding that WebGPU guarantees. */
const MOST = 2 ** 27;

const aligned = (bytes: number, align: number): number => Math.ceil(bytes / align) * align;

/** Whether a block may be given a place beside others: it has no memory yet, and nobody looks for it afterwards. */
export const isMovable = (block: Block, pinned: ReadonlySet<Block>): boolean =>
  block instanceof VirtualBlock && !block.place && !pinned.has(block);

/** The bytes of each block that launches bind, counted from its start: what moves with it. */
function extents(launches: readonly Launch[]): Map<Block, number> {
  const ends = new Map<Block, number>();
  for (const { bindings } of launches)
    for (const { block, offset, bytes } of bindings) ends.set(block, Math.max(ends.get(block) ?? 0, offset + bytes));
  return ends;
}

const operand = ({ bindings }: Launch, i: number): Binding => at(bindings, i);

/** The bytes that a binding takes where others lie behind it. */
const span = (b: Binding, align: number): number => aligned(b.bytes, align);

/** Whether `next` can go on where `last` ends: neighbours in one block, or blocks that can be made neighbours. */
function follows(
  last: Launch,
  next: Launch,
  pinned: ReadonlySet<Block>,
  ends: ReadonlyMap<Block, number>,
  align: number,
): boolean {
  const { kernel, constants } = last;
  if (!kernel.flat || next.kernel !== kernel || next.constants.length !== constants.length) return false;
  if (!constants.every((c, i) => i === 0 || sameConstant(c, at(next.constants, i)))) return false;
  // All of a block moves, so all of it must be what the launch works on.
  const isFree = (b: Binding) => isMovable(b.block, pinned) && b.offset === 0 && ends.get(b.block) === b.bytes;
  return last.bindings.every((a, i) => {
    const b = at(next.bindings, i);
    if (a.bytes !== 4 * (constants[0] as number) || b.bytes !== 4 * (next.constants[0] as number)) return false;
    if (a.block !== b.block) return isFree(a) && isFree(b);
    // The joined launch writes what lies between them too.
    return b.offset === a.offset + span(a, align) && (kernel.access[i] === 'r' || !!a.whole);
  });
}

/** Where each block that was joined with others now lies. */
type Moves = Map<Block, { block: Block; offset: number }>;

/** Ranges after the moves. */
const movedRanges = (bindings: readonly Binding[], moves: Moves): Binding[] =>
  bindings.map((b) => {
    const to = moves.get(b.block);
    return to ? { ...b, block: to.block, offset: b.offset + to.offset } : b;
  });

/** A launch after the moves; null when it would bind a buffer both read and written, or overlapping. */
function moved(launch: Launch, moves: Moves): Launch | null {
  if (!launch.bindings.some((b) => moves.has(b.block))) return launch;
  const bindings = movedRanges(launch.bindings, moves);
  const { access } = launch.kernel;
  const clash = bindings.some(
    (a, i) => access[i] !== 'r' && bindings.some((b, j) => j !== i && a.block === b.block && access[j] === 'r'),
  );
  if (clash) return null;
  const parts = partsOf(launch).map((part) => ({ ...part, bindings: movedRanges(part.bindings, moves) }));
  return { ...launch, bindings, parts };
}

/**
 * Joins launches of one flat kernel over neighbouring ranges, with the same numbers, into one: an optimizer's updates of all parameters
 * that lie side by side. The gradients, which lie apart, are placed side by side for it.
 */
export function joinFlat(launches: readonly Launch[], pinned: ReadonlySet<Block>, align: number): Launch[] {
  let out = [...launches];
  let ends = extents(out);
  for (let from = 0; from < out.length; from++) {
    const first = at(out, from);
    if (!first.kernel.flat) continue;
    let to = from + 1;
    let bytes = span(operand(first, 0), align);
    while (
      to < out.length &&
      follows(at(out, to - 1), at(out, to), pinned, ends, align) &&
      bytes + span(operand(at(out, to), 0), align) <= MOST
    )
      bytes += span(operand(at(out, to++), 0), align);
    if (to - from < 2) continue;
    const run = out.slice(from, to);
    const second = at(run, 1);
    // Operands that two launches share cannot lie beside both.
    const moving = first.bindings.flatMap(({ block }, i) =>
      operand(second, i).block === block ? [] : run.map((launch) => operand(launch, i).block),
    );
    if (new Set(moving).size !== moving.length) {
      from = to - 1;
      continue;
    }
    const last = operand(fromEnd(run, 1), 0);
    bytes -= span(last, align) - last.bytes;
    const moves: Moves = new Map();
    const bindings = first.bindings.map((range, i): Binding => {
      if (operand(second, i).block === range.block) return { ...range, bytes };
      const joined = new VirtualBlock(bytes, `${first.kernel.name}, joined`);
      let offset = 0;
      for (const launch of run) {
        const own = operand(launch, i);
        moves.set(own.block, { block: joined, offset });
        offset += span(own, align);
      }
      return { block: joined, offset: 0, bytes };
    });
    const n = bytes / 4;
    const grid = gridOf(first.kernel, n);
    const rest = [...out.slice(0, from), ...out.slice(to)].map((launch) => moved(launch, moves));
    if (!grid || rest.includes(null)) {
      from = to - 1;
      continue;
    }
    const whole: Launch = {
      ...first,
      bindings,
      constants: [n, ...first.constants.slice(1)],
      grid,
      parts: run.flatMap(partsOf).map((part) => ({ ...part, bindings: movedRanges(part.bindings, moves) })),
    };
    out = [...(rest.slice(0, from) as Launch[]), whole, ...(rest.slice(from) as Launch[])];
    ends = extents(out);
  }
  return out;
}

/**
 * Leaves out what was computed before of the same: the sums for the statistics of two norms of one tensor. Readers get the first results. Never timed on a
 * GPU, only counted.
 */
export function dropRepeats(launches: readonly Launch[], pinned: ReadonlySet<Block>): Launch[] {
  const written = ({ kernel, bindings }: Launch) => bindings.filter((_, i) => kernel.access[i] !== 'r');
  const writers = new Map<Block, number>();
  for (const { block } of launches.flatMap(written)) writers.set(block, (writers.get(block) ?? 0) + 1);
  const isFinal = ({ block, offset }: Binding) => offset === 0 && writers.get(block) === 1;
  // What an optimizer reads has to be able to lie beside the rest: one gradient of two parameters could not.
  const flat = new Set(launches.flatMap((l) => (l.kernel.flat ? l.bindings.map((b) => b.block) : [])));
  const moves: Moves = new Map();
  const out: Launch[] = [];
  for (const traced of launches) {
    const launch = moved(traced, moves) ?? traced;
    const first = out.findLastIndex((l) => repeats(l, launch, 'r'));
    const twin = out[first];
    const [mine, its] = [written(launch), twin ? written(twin) : []];
    const stays = (b: Binding) => !out.slice(first + 1).some((l) => written(l).some((w) => overlap(w, b)));
    const free = mine.every((b) => isFinal(b) && isMovable(b.block, pinned) && !flat.has(b.block));
    if (free && twin?.bindings.every(stays) && its.every(isFinal))
      mine.forEach((b, i) => moves.set(b.block, { block: at(its, i).block, offset: 0 }));
    else out.push(launch);
  }
  return out;
}

/** Whether two launches may change places: neither writes what the other touches. */
export function commute(a: Launch, b: Launch): boolean {
  return !a.bindings.some((x, i) =>
    b.bindings.some((y, j) => (a.kernel.access[i] !== 'r' || b.kernel.access[j] !== 'r') && overlap(x, y)),
  );
}

/**
 * A range over all of these: their blocks, if they are several, go side by side into a new one, each as long as anybody binds it. Null when
 * they cannot.
 */
function gather(
  ranges: readonly Binding[],
  pinned: ReadonlySet<Block>,
  ends: ReadonlyMap<Block, number>,
  align: number,
  moves: Moves,
  what: string,
): Binding | null {
  const { block } = at(ranges, 0);
  if (ranges.every((r) => r.block === block)) {
    const low = Math.min(...ranges.map((r) => r.offset));
    const high = Math.max(...ranges.map((r) => r.offset + r.bytes));
    return { block, offset: low, bytes: high - low };
  }
  const blocks = ranges.map((r) => r.block);
  const free = blocks.every((b) => isMovable(b, pinned) && !moves.has(b));
  if (!free || new Set(blocks).size !== blocks.length) return null;
  const length = (b: Block) => aligned(valueAt(ends, b), align);
  const bytes = blocks.reduce((sum, b) => sum + length(b), 0);
  const joined = new VirtualBlock(bytes, what);
  let offset = 0;
  for (const b of blocks) {
    moves.set(b, { block: joined, offset });
    offset += length(b);
  }
  return { block: joined, offset: 0, bytes };
}

/** A launch of a segmented kernel, and the block that it writes. */
interface Segmented {
  readonly launch: Launch;
  readonly segment: Segment;
  readonly target: Block;
}

/** Launches of one family, apart by the block that they write where several write slices of one. */
function families(launches: readonly Launch[]): Segmented[][] {
  const segmented = launches.flatMap((launch): Segmented[] => {
    const { segment, access } = launch.kernel;
    return segment ? [{ launch, segment, target: operand(launch, Math.max(0, access.search(/[wx]/))).block }] : [];
  });
  const writers = new Map<Block, number>();
  for (const { target } of segmented) writers.set(target, (writers.get(target) ?? 0) + 1);
  const groups = new Map<Kernel, Map<Block | null, Segmented[]>>();
  for (const member of segmented) {
    const { family } = member.segment;
    const key = valueAt(writers, member.target) > 1 ? member.target : null;
    const group = groups.get(family) ?? new Map<Block | null, Segmented[]>();
    groups.set(family, group.set(key, [...(group.get(key) ?? []), member]));
  }
  return [...groups.values()].flatMap((group) => [...group.values()]).filter((run) => run.length > 1);
}

/**
 * Joins the launches of each segmented family into one: all weight packings of a step, all second phases of its two-phase sums, the sorts of
 * all stages. They move to the first of them or to the last, past launches that they commute with.
 */
export function joinSegments(launches: readonly Launch[], pinned: ReadonlySet<Block>, align: number): Launch[] {
  let out = [...launches];
  for (const members of families(launches)) {
    // An earlier join may have moved what these launches bind, but not what they come from.
    const traced = new Map(
      members.flatMap(({ launch, segment }) => partsOf(launch).map((part) => [part.launch, segment] as const)),
    );
    const run = out.filter((launch) => !launch.table && partsOf(launch).every((part) => traced.has(part.launch)));
    const first = at(run, 0);
    const { family } = at(members, 0).segment;
    const [start, end] = [out.indexOf(first), out.indexOf(fromEnd(run, 1))];
    const between = (from: number, to: number) => out.slice(from + 1, to).filter((l) => !run.includes(l));
    const early = run.every((l) => between(start, out.indexOf(l)).every((other) => commute(l, other)));
    const late = run.every((l) => between(out.indexOf(l), end).every((other) => commute(l, other)));
    if (!early && !late) continue;
    const moves: Moves = new Map();
    const ends = extents(out);
    const operands = first.bindings.map((_, i) =>
      gather(
        run.map((l) => operand(l, i)),
        pinned,
        ends,
        align,
        moves,
        `operand ${i} of ${family.name}`,
      ),
    );
    if (
      operands.some((o, i) => !o || o.bytes > MOST || operands.some((other, j) => j !== i && other?.block === o.block))
    )
      continue;
    const whole = operands as Binding[];
    const others = out.map((l) => (run.includes(l) ? l : moved(l, moves)));
    if (others.includes(null)) continue;
    const parts = run.flatMap(partsOf).map((part) => ({ ...part, bindings: movedRanges(part.bindings, moves) }));
    const groups: number[] = [];
    const records: number[] = [];
    parts.forEach(({ launch, bindings }, k) => {
      const segment = valueAt(traced, launch);
      records.push(...bindings.map((b, i) => (b.offset - at(whole, i).offset) / 4), groups.length, ...segment.words);
      for (let i = 0; i < segment.groups; i++) groups.push(k);
    });
    const table = Uint32Array.from([...groups, ...records]);
    const block = new VirtualBlock(table.byteLength, `table of ${family.name}`);
    const joined: Launch = {
      kernel: family,
      bindings: [...whole, { block, offset: 0, bytes: table.byteLength }],
      constants: [groups.length, groups.length],
      grid: foldWorkgroups(groups.length),
      path: '',
      parts,
      table,
    };
    const target = early ? start : end;
    out = others.flatMap((l, i) => (i === target ? [joined] : run.includes(at(out, i)) ? [] : [l as Launch]));
  }
  return out;
}
