// What the program may still hold: computed tensors that were handed to it live as long as it can reach them.
//
// The garbage collector decides, and it is told when: in Node it is asked where the held bytes have grown by half or by 64 MiB (even inside a
// synchronous loop); in browsers every large tensor carries ballast, host memory that the collector sees. On the way nothing is lost:
// - GPU copies of factories' tensors that were not used lately are released; their recipe makes them again.
// - Small tensors that were not used lately are parked: copied into a slab, and back on their next use.
// Only then is something evicted, and it says so when it is used: where no collector answers, the inside of used graphs beyond 64 MiB and,
// beyond 1 GiB, what was not used for longest and is not proved reachable; with `init({ memoryLimit })` whatever lies beyond that limit.
import type { Device, Storage } from '../gpu';
import { DeviceLostError, device, formatBytes, onShutdown, setHeldMemory } from '../gpu';
import { provider } from '../gpu/provider';
import { callSite } from './call-site';

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** Growth of the held bytes after which the collector is asked; most bytes of used graphs where there is none. */
const BUDGET = 64 * MIB;
/** Most bytes that may be held where nobody tells what is still in use. */
const UNPROVED = 1024 * MIB;
/** Held tensors after which the collector is asked, however small they are. */
const COUNT = 16384;
/** Up to here tensors are parked, many in one buffer. */
const SMALL = 4 * KIB;
const SLAB = 256 * KIB;
/** Small tensors that may wait for the end of a step. */
const WAITING = 64;
/** From here on tensors carry ballast, a quarter of their bytes. */
const LARGE = 64 * KIB;
/** Allocations after which something counts as not used lately. */
const LATELY = 1024;

/** What the lists ask of a memory and do with it (`memory.ts`). */
interface Holdable {
  readonly what: string;
  readonly storage: Storage;
  readonly recipe: (() => Storage) | null;
  readonly lastUse: number;
  readonly pins: number;
  readonly consumed: boolean;
  readonly graph: Graph | null;
  ballast: ArrayBuffer | null;
  dropCopy(): void;
  park(recipe: () => Storage): void;
  release(why: string): void;
}

/** What the lists know of a held memory: all but the memory itself, so that it can be collected. */
export class Held {
  readonly memory: WeakRef<Holdable>;
  storage: Storage | null = null;
  /** Where its content is parked. */
  slab: Slab | null = null;
  /** Whether its bytes are counted. */
  counted = false;
  /** Whether a collection has shown that the program can reach it. */
  proved = false;
  /** The line that made it, where it may be evicted. */
  readonly site: string;

  constructor(
    memory: Holdable,
    readonly bytes: number,
  ) {
    this.memory = new WeakRef(memory);
    const limited = limit !== null;
    this.site = bytes > (limited ? SMALL : 4 * LARGE) && (limited || !collector()) ? callSite() : '';
  }
}

/** A buffer for many parked tensors. Filled once, released when none of them is left. */
class Slab {
  used = 0;
  parked = 0;

  constructor(
    readonly home: Device,
    readonly storage: Storage,
  ) {}

  leave(): void {
    if (--this.parked === 0 && this !== slab) this.storage.release();
  }
}

/** Collects garbage at once; null where nothing can. */
const collector = (): (() => void) | null =>
  collect === undefined ? (collect = provider().collector?.() ?? null) : collect;
let collect: (() => void) | null | undefined;

/** Everything that is held and not kept. */
const all = new Set<Held>();
/** Those of them that a recipe can make again, while they have memory. */
const copies = new Set<Held>();
/** Small ones that were not parked yet. */
const small = new Set<Held>();
let slab: Slab | null = null;
let heldBytes = 0;
/** `init({ memoryLimit })`. */
let limit: number | null = null;
/** Held bytes and tensors at which something has to be done. */
let threshold = BUDGET;
let mostHeld = COUNT;
/** Allocations and ticks so far: the clock of what was used lately. */
export let clock = 0;
let [oneTickAgo, twoTicksAgo] = [0, 0];

/** The program can no longer reach it. Never called within a synchronous loop. */
const unreachable = new FinalizationRegistry<Held>(drop);

function drop(held: Held): void {
  forget(held);
  held.storage?.release();
  held.storage = null;
}

/** Takes a memory off the lists, because it was released, evicted or kept. */
export function forget(held: Held): void {
  uncount(held);
  all.delete(held);
  small.delete(held);
  unpark(held);
}

function uncount(held: Held): void {
  if (held.counted) heldBytes -= held.bytes;
  held.counted = false;
  copies.delete(held);
}

/** What is parked is no longer the content. */
export function unpark(held: Held): void {
  held.slab?.leave();
  held.slab = null;
}

/** Bytes of computed tensors and factories' tensors that the program may hold, kept ones left out. */
setHeldMemory({
  bytes: () => heldBytes,
  limit(bytes) {
    limit = bytes;
    threshold = Math.min(BUDGET, bytes ?? BUDGET);
  },
});

/** Ties the storage of a memory to its life; kept ones are on no list. */
export function register(memory: Holdable, storage: Storage): Held {
  const held = new Held(memory, storage.bytes);
  held.storage = storage;
  unreachable.register(memory, held);
  return held;
}

/** Puts a registered memory on the lists, or again when it has memory again. */
export function list(held: Held, memory: Holdable): void {
  if (held.counted) return;
  held.counted = true;
  heldBytes += held.bytes;
  all.add(held);
  if (memory.recipe) copies.add(held);
  else if (held.bytes <= SMALL) small.add(held);
  if (collector()) return;
  if (held.bytes > LARGE) memory.ballast ??= ballast(held.bytes / 4);
  if (!watched) watch();
}

function ballast(bytes: number): ArrayBuffer | null {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    return null; // the host is short of memory itself
  }
}

/** Whether an object waits to be collected: when it is, what is older was looked at too, and what is not reported by the next turn is reachable. */
let watched = false;
const collected = new FinalizationRegistry<ReadonlySet<Held>>((older) => {
  watched = false;
  setTimeout(() => {
    for (const held of older) held.proved = true;
  });
});

function watch(): void {
  watched = true;
  collected.register({}, new Set(all));
}

/** Counts an allocation. */
export const allocated = (): void => void clock++;

/**
 * Time goes on: small things that were not used since the tick before the last one leave their buffers, and are back on their next use. Large
 * copies of factories' tensors go at the end of a step only.
 */
export function tick(endOfStep: boolean): void {
  const before = twoTicksAgo;
  clock++;
  [oneTickAgo, twoTicksAgo] = [clock, oneTickAgo];
  if (small.size === 0 && copies.size === 0) return;
  if (device().tracing) return;
  for (const held of copies) if (endOfStep || held.bytes <= LARGE) dropCopy(held, before);
  for (const held of small) {
    const memory = held.memory.deref();
    if (memory && memory.lastUse < before) park(held, memory);
  }
}

function dropCopy(held: Held, before: number): void {
  const memory = held.memory.deref();
  if (!memory || memory.lastUse >= before) return;
  uncount(held);
  memory.dropCopy();
}

/** Parks a memory that is small enough. */
export function parkSmall(held: Held, memory: Holdable): boolean {
  if (held.bytes <= SMALL) park(held, memory);
  return held.bytes <= SMALL;
}

function park(held: Held, memory: Holdable): void {
  const { bytes } = held;
  const home = device();
  if (!slab || slab.home !== home || slab.used + bytes > SLAB) {
    ask(); // most of what is parked may be garbage
    if (slab?.parked === 0) slab.used = 0;
    else slab = new Slab(home, home.allocate(SLAB, 'small tensors'));
  }
  if (!held.counted) return; // it was garbage
  const { storage, used } = slab;
  const here = slab;
  const at = { block: storage.block, offset: storage.offset + used, bytes };
  here.used += bytes;
  here.parked++;
  home.copyNow(memory.storage, at);
  held.slab = here;
  small.delete(held);
  uncount(held);
  memory.park(() => {
    if (here.home !== device()) throw new DeviceLostError(`the result of '${memory.what}' was lost with its device`);
    const back = device().allocateNow(bytes, memory.what);
    device().copyNow(at, back);
    return back;
  });
}

/** Releases what is too much: what can be made again, then what the collector finds, then what is used least. */
export function relieve(): void {
  if (small.size >= WAITING) tick(false);
  const isTooMuch = () => heldBytes > threshold || all.size > mostHeld;
  if (!isTooMuch() || device().tracing) return;
  for (const held of copies) dropCopy(held, clock - LATELY);
  if (!isTooMuch()) return;
  const answered = ask();
  evict(answered);
  threshold = heldBytes + (answered ? Math.max(BUDGET, heldBytes / 2) : BUDGET / 4);
  if (limit !== null) threshold = Math.min(threshold, Math.max(limit, heldBytes + limit / 16));
  mostHeld = Math.max(COUNT, 2 * all.size);
}

/** Asks the collector, and drops what the program can no longer reach. False where nothing can be asked. */
function ask(): boolean {
  const collect = collector();
  if (!collect) return false;
  collect();
  for (const held of all)
    if (held.memory.deref()) held.proved = true;
    else drop(held);
  return true;
}

/** Groups of recorded operations that hang together: a graph. */
export class Graph {
  #joined: Graph | null = null;

  root(): Graph {
    let at: Graph = this;
    while (at.#joined) at = at.#joined;
    if (at !== this) this.#joined = at;
    return at;
  }

  join(other: Graph): Graph {
    const [a, b] = [this.root(), other.root()];
    if (a !== b) b.#joined = a;
    return a;
  }
}

let latest: Graph | null = null;

/** The graph of the operation recorded last: it is in use, whatever it holds. */
export function using(graph: Graph): void {
  latest = graph;
}

/** Releases what must go, least recently used first: the inside of used graphs, graphs that wait for `backward`, the rest. */
function evict(answered: boolean): void {
  const found: { held: Held; memory: Holdable; rank: number }[] = [];
  for (const held of all) {
    const memory = held.memory.deref();
    if (!memory || !held.counted || memory.recipe || (limit === null && held.proved)) continue;
    if (memory.pins > 0 && latest && memory.graph?.root() === latest.root()) continue;
    found.push({ held, memory, rank: memory.pins > 0 ? 1 : memory.consumed ? 0 : 2 });
  }
  found.sort((a, b) => a.rank - b.rank || a.memory.lastUse - b.memory.lastUse);
  const sum = (list: typeof found) => list.reduce((total, { held }) => total + held.bytes, 0);
  const most = limit ?? UNPROVED;
  let over = sum(found) - most;
  if (over > 0) over += most / 16; // not again for every tensor
  let inside = answered ? 0 : sum(found.filter(({ rank }) => rank === 0)) - Math.min(BUDGET, most);
  for (const { held, memory, rank } of found) {
    if (!(over > 0 || (rank === 0 && inside > 0))) continue;
    over -= held.bytes;
    inside -= held.bytes;
    const kind = limit === null ? 'held tensors took more than' : 'memoryLimit is';
    memory.release(
      `${kind} ${formatBytes(most)}, and it was not used for longest${held.site ? `. It was made at ${held.site}` : ''}`,
    );
  }
}

// The device goes, and all that lies on it. Factories' tensors are made again on the next one.
onShutdown(() => {
  for (const held of copies) if (!held.slab) held.memory.deref()?.dropCopy();
  for (const held of all) held.counted = false;
  for (const set of [all, copies, small]) set.clear();
  slab = latest = null;
  heldBytes = 0;
  mostHeld = COUNT;
});
