// Who owns GPU memory, without `dispose` in user code.
//
// - What only the engine holds is released at once: temporaries of a backward pass or of an optimizer's step when it ends, the inside of
//   modules when the outermost call ends or, where the tape has saved it, when its node has finished.
// - What was handed to the program lives as long as the program can reach it (`held.ts`): what is computed outside of modules, what a module
//   returns, shows to a hook or leaves in its fields.
// - `keep()`-ed tensors, parameters and module states live until `dispose()`, or until they are garbage-collected.
// - A factory's tensor (`tensor(data)`, `zeros`, `randn` …) has a recipe: its GPU copy comes and goes.
import { there } from '../../shaders/checked';
import type { Storage } from '../gpu';
import { device, ReleasedError } from '../gpu';
import type { Graph, Held } from './held';
import { allocated, clock, forget, list, parkSmall, register, relieve, tick } from './held';
import { type Shape, showShape } from './shape';

/** The memory behind one tensor and all its views. */
export class Memory {
  #storage: Storage | null;
  #held: Held | null = null;
  /** Why it is gone. */
  #end = '';
  /** Lives until dropped. */
  kept = false;
  /** Handed to the program: no engine pass and no module releases it. */
  escaped = false;
  /** Left over by a module or a pass that has ended: only nodes of the tape hold it. */
  inner = false;
  /** Unfinished nodes that saved it. */
  pins = 0;
  /** The graph that saved it last. */
  graph: Graph | null = null;
  /** Computed and used by operations whose backward pass is over, and never detached. */
  consumed = false;
  detached = false;
  /** Gradients waiting in a running backward pass. */
  holds = 0;
  /** Counts in-place writes, so that backward can refuse a saved tensor that was overwritten. */
  version = 0;
  /** Makes the content again: of a factory's tensor, or of one that is parked. */
  recipe: (() => Storage) | null = null;
  /** The allocation before its last use. */
  lastUse = clock;
  /** For messages. */
  shape: Shape | null = null;
  /** Host memory that tells the collector of its size. */
  ballast: ArrayBuffer | null = null;

  constructor(
    storage: Storage,
    /** The operation that computed it. */
    readonly what: string,
  ) {
    this.#storage = storage;
    if (traced) {
      traced.made.push(this);
      traced.seen.add(this);
    }
  }

  get storage(): Storage {
    if (traced && !traced.seen.has(this)) capture(traced, this);
    this.lastUse = clock;
    if (this.#storage) return this.#storage;
    if (!this.recipe) throw new ReleasedError(this.#obituary());
    this.#storage = this.recipe();
    if (!this.#held) this.hold();
    else {
      this.#held.storage = this.#storage;
      if (!this.kept) list(this.#held, this);
    }
    return this.#storage;
  }

  get live(): boolean {
    return this.#storage !== null;
  }

  /** Whether it was released, and nothing can make its content again. */
  get gone(): boolean {
    return this.#storage === null && this.recipe === null;
  }

  #obituary(): string {
    const shape = this.shape ? ` ${showShape(this.shape)}` : '';
    return (
      `this tensor${shape}, made by '${this.what}', was already released: ${this.#end || 'its memory went back to the pool'}. ` +
      'To hold a tensor longer, return it from the module, store it in a field, or call keep(tensor) in time; ' +
      'init({ memoryLimit }) says how many bytes may be held.'
    );
  }

  /** Releases it for good. `why` is told to who uses it all the same. */
  release(why = 'dispose() was called, or what it belonged to is gone'): void {
    this.recipe = null;
    this.#end = why;
    if (this.#held) forget(this.#held);
    this.dropCopy();
  }

  /** Releases what the recipe can make again. */
  dropCopy(): void {
    this.#storage?.release();
    this.#storage = null;
    if (this.#held) this.#held.storage = null;
  }

  /** Releases the memory; from now on the recipe has the content. */
  park(recipe: () => Storage): void {
    this.recipe = recipe;
    this.dropCopy();
  }

  /** The same of what only the tape needs. */
  parkInner(recipe: () => Storage): void {
    this.escaped = false;
    this.inner = true;
    this.park(recipe);
  }

  /** From now on it lives as long as a tensor that views it can be reached. */
  hold(): void {
    if (traced || !this.#storage) return;
    this.#held ??= register(this, this.#storage);
    if (!this.kept) list(this.#held, this);
  }

  /** It was handed to the program. */
  escape(): void {
    this.escaped = true;
    this.inner = false;
  }

  /** Whether an engine pass that made it may release it. */
  get disposable(): boolean {
    return this.#storage !== null && !this.kept && !this.escaped && this.pins === 0;
  }

  /** Holds the memory until dropped, whatever module or pass it came from. */
  keep(): void {
    const { storage } = this;
    this.kept = true;
    this.escape();
    this.#held ??= register(this, storage);
    if (this.#held.slab) this.recipe = null;
    forget(this.#held);
  }

  /** Moves to other memory that already holds the same content. */
  rehome(storage: Storage): void {
    this.dropCopy();
    this.#storage = storage;
    this.recipe = null;
    this.kept = true;
    if (this.#held) {
      forget(this.#held);
      this.#held.storage = storage;
    } else this.#held = register(this, storage);
    moves++;
  }

  /** Exchanges its content with another one of the same size: for a while, until both are exchanged back. */
  exchange(other: Memory): void {
    this.keep();
    other.keep();
    this.recipe = other.recipe = null;
    [this.#storage, other.#storage] = [other.#storage, this.#storage];
    for (const memory of [this, other]) if (memory.#held) memory.#held.storage = memory.#storage;
  }

  /** Whether it lies elsewhere now. */
  hasLeft(storage: Storage): boolean {
    return this.#storage !== storage && this.live;
  }

  /** Moves to memory of its own, because the present one is about to be overwritten. */
  moveOut(): void {
    const from = this.#storage;
    if (!from) return;
    this.hold();
    const held = there(this.#held, `holder of what '${this.what}' made`);
    if (!this.kept && parkSmall(held, this)) return;
    const storage = device().allocateNow(from.bytes, this.what);
    device().copyNow(from, storage);
    this.dropCopy();
    this.#storage = held.storage = storage;
    if (this.kept) moves++; // a compiled step may have captured it
  }

  /** After an in-place write the recipe no longer tells the content. */
  written(): void {
    this.version++;
    if (!this.recipe) return;
    this.recipe = null;
    this.kept = true;
    if (this.#held) forget(this.#held);
  }

  /** What has made it for itself is done with it: from now on only the tape needs it, if anything does. */
  letGo(): void {
    if (this.kept || !this.#storage) return;
    this.escaped = false;
    this.inner = true;
    if (this.pins === 0) this.release(INSIDE);
  }

  /** A saved tensor less for the nodes that are not finished: what only they held goes. */
  unpin(): void {
    if (--this.pins === 0 && this.inner && !this.kept) this.release(INSIDE);
  }
}

/** How often memory was moved. */
let moves = 0;

const INSIDE =
  'it was computed inside a module, which hands only its results, its fields and what hooks see to the program, or it was saved for a backward pass that is over';

/** What is computed belongs to the innermost pass that runs, or, at the level of the program (null), to the program. */
interface Scope {
  readonly made: Memory[];
  /** Whether it is a module's call: modules that it calls belong to it. */
  readonly call: boolean;
}
const scopes: (Scope | null)[] = [];

/** Registers what an operation has computed. */
export function trackComputed(memory: Memory): void {
  allocated();
  const scope = scopes.at(-1);
  if (scope) scope.made.push(memory);
  else {
    memory.escaped = true;
    memory.hold();
  }
}

/** Registers a factory's tensor with the way to make it again. */
export function trackFactory(memory: Memory, recipe: () => Storage): void {
  allocated();
  memory.recipe = recipe;
  memory.hold();
  safePoint();
}

/** Called where no operation is under way, so that no memory is about to be bound: here what is no longer in use may be released. */
export function safePoint(): void {
  if (!scopes.length) relieve();
}

/** Whether a module's call is under way, and no pass or hook inside of it. */
export const insideCall = (): boolean => scopes.at(-1)?.call === true;

/**
 * Runs `body`, which is synchronous, and releases what it computed: at once, or what the tape has saved when its nodes have finished. Left to
 * the caller is what `survivors(result)` lists, to the program what has escaped.
 */
export function owned<T>(
  body: () => T,
  survivors: (result: T, made: readonly Memory[]) => Iterable<Memory>,
  call = false,
): T {
  const scope: Scope = { made: [], call };
  const depth = scopes.push(scope) - 1;
  let returned: ReadonlySet<Memory> | null = null;
  try {
    const result = body();
    returned = new Set(survivors(result, scope.made));
    return result;
  } finally {
    scopes.length = depth;
    settle(scope.made, returned);
    safePoint();
  }
}

function settle(made: readonly Memory[], returned: ReadonlySet<Memory> | null): void {
  const outer = scopes.at(-1)?.made;
  for (const memory of made) {
    if (!memory.live || memory.kept) continue;
    const leaves = memory.escaped || returned?.has(memory);
    if (!leaves && !(memory.pins > 0 && returned)) {
      memory.release(INSIDE);
      continue;
    }
    if (!leaves) memory.inner = true;
    if (outer) outer.push(memory);
    else {
      memory.escaped = leaves === true;
      memory.hold();
    }
  }
}

/** Runs code of the user inside of a pass or a module, such as a hook: what it computes belongs to the program. */
export function asProgram<T>(body: () => T): T {
  const depth = scopes.push(null) - 1;
  try {
    return body();
  } finally {
    scopes.length = depth;
  }
}

/** What was computed while `body` ran inside of `owned`, for a backward pass that frees its temporaries as it goes. */
export function computedDuring<T>(body: () => T): { result: T; made: Memory[] } {
  // biome-ignore lint/style/noNonNullAssertion: only backward passes call it, inside of `owned`, for every node
  const { made } = scopes.at(-1)!;
  const from = made.length;
  const result = body();
  return { result, made: made.slice(from) };
}

let ended = 0;
/** How many steps have ended: tells a data loader whether its loop's body ended one. */
export const stepsEnded = (): number => ended;

/** Ends a step. Nothing is lost: GPU copies that were not used for two steps are released, and come back on their next use. */
export function endStep(): void {
  ended++;
  tick(true);
}

interface TracedMemories {
  /** Memory made in the step. */
  made: Memory[];
  /** Memory from outside that the step uses, and where it lies. */
  used: Map<Memory, Storage>;
  seen: Set<Memory>;
}

let traced: TracedMemories | null = null;

function capture({ seen, used }: TracedMemories, memory: Memory): void {
  seen.add(memory);
  memory.keep();
  used.set(memory, memory.storage);
}

/**
 * Tells which memory a traced step makes, which it uses from outside, and later whether that was moved: by an optimizer made since, for example,
 * which lays its parameters side by side.
 */
export function tracedMemories(body: () => void) {
  const mine: TracedMemories = { made: [], used: new Map(), seen: new Set() };
  traced = mine;
  try {
    body();
  } finally {
    traced = null;
  }
  let checked = moves;
  const inPlace = () => {
    if (checked === moves) return true;
    for (const [memory, storage] of mine.used) if (memory.hasLeft(storage)) return false;
    checked = moves;
    return true;
  };
  return { made: mine.made, used: mine.used, inPlace };
}
