// Who owns GPU memory, without `dispose` in user code.
//
// - What an operation computes belongs to the *step* it was computed in and is given back when the step after it has ended. A step ends at
//   `optimizer.step()`, after each batch of a data loader, and at the end of a `noGrad` body outside training.
// - `backward()` gives back what the tape held, except what was made or returned outside of modules: logits and losses can be read later.
// - `keep()`-ed tensors, parameters and module states live until `dispose()`, or until they are garbage-collected.
// - A factory's tensor (`tensor(data)`, `zeros`, `randn` …) never expires for the program: its GPU copy is given back when two steps passed
//   without using it, and made again from its host copy or recipe on the next use.
import type { Storage } from '../gpu';
import { onShutdown, ReleasedError } from '../gpu';
import { moduleDepth } from './context';

/** How many outermost `noGrad` bodies a result returned by one of them outlives. */
const NOGRAD_RESULTS = 16;

/** The memory behind one tensor and all its views. */
export class Memory {
  #storage: Storage | null;
  /** Lives until dropped. */
  kept = false;
  /** Made or returned outside of modules: outlives `backward()`. */
  escaped = moduleDepth() === 0;
  /** Gradients waiting in a running backward pass. */
  holds = 0;
  /** Counts in-place writes, so that backward can refuse a saved tensor that was overwritten. */
  version = 0;
  /** Makes the content of a factory's tensor anew. */
  recipe: (() => Storage) | null = null;
  lastUse = 0;
  /** Tensors alive that view it; for the garbage collector's safety net. */
  tensors = 0;

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
    if (traced && !traced.seen.has(this)) capture(this);
    if (this.recipe) {
      this.lastUse = step;
      if (!this.#storage) {
        this.#storage = this.recipe();
        factories.add(this);
      }
    }
    if (this.#storage) return this.#storage;
    throw new ReleasedError(
      `this tensor, made by '${this.what}', was already given back: what is computed in a step lives until the next step has ended ` +
        '(and inside a module until backward()). Call keep(tensor) in time to hold it longer, or read it with `await tensor.data()`.',
    );
  }

  get live(): boolean {
    return this.#storage !== null;
  }

  release(): void {
    this.#storage?.release();
    this.#storage = null;
  }

  /** Holds the memory until dropped, whatever step it came from. */
  keep(): void {
    void this.storage;
    this.kept = true;
  }

  /** Moves to other memory that already holds the same content. */
  rehome(storage: Storage): void {
    this.#storage?.release();
    this.#storage = storage;
    this.recipe = null;
    this.kept = true;
    moves++;
  }

  /** Whether it lies elsewhere now. */
  hasLeft(storage: Storage): boolean {
    return this.#storage !== storage && this.live;
  }

  /** After an in-place write the recipe no longer tells the content. */
  written(): void {
    this.version++;
    if (this.recipe) {
      this.recipe = null;
      this.kept = true;
      factories.delete(this);
    }
  }
}

/** How often memory was moved. */
let moves = 0;
let step = 0;
/** What was computed and is still counted, in one list for the step and one for each `temporaries` that runs, the innermost last. */
let scopes: Memory[][] = [[]];
let previous: Memory[] = [];
let results: Memory[][] = [];
let compactAt = 4096;
const factories = new Set<Memory>();

/** Registers what an operation has computed. */
export function trackComputed(memory: Memory): void {
  const current = scopes[scopes.length - 1];
  current.push(memory);
  if (current.length > compactAt) {
    const live = current.filter((m) => m.live && !m.kept);
    live.forEach((m, i) => (current[i] = m));
    current.length = live.length;
    compactAt = Math.max(4096, 2 * live.length);
  }
}

/** Registers a factory's tensor with the way to make it again. */
export function trackFactory(memory: Memory, recipe: () => Storage): void {
  memory.recipe = recipe;
  memory.lastUse = step;
  factories.add(memory);
}

function releaseAll(list: Iterable<Memory>): void {
  for (const memory of list) if (memory.live && !memory.kept) memory.release();
}

/** Steps ended so far. */
export const stepCount = (): number => step;

let ended = 0;
/** How many steps have ended: tells a data loader whether its loop's body ended one. */
export const stepsEnded = (): number => ended;

/** Ends a step: what the step before it computed is given back. */
export function endStep(): void {
  ended++;
  releaseAll(previous);
  previous = scopes[0].splice(0);
  age();
}

/** One step older: GPU copies of factories' tensors that were not used for two steps are given back. */
function age(): void {
  step++;
  for (const memory of factories)
    if (memory.lastUse < step - 2) {
      factories.delete(memory);
      if (!memory.kept && memory.recipe) memory.release();
    }
}

/**
 * Runs `body` and gives back at once what it computed, except `survivors(result)`. These belong to the step around it or, where `endsStep`
 * says so, outlive a fixed number of further such bodies. `endsStep` is null for a part of a step. Works for async bodies too.
 */
export function temporaries<T>(
  body: () => T,
  survivors: (result: Awaited<T>) => Iterable<Memory>,
  endsStep: (() => boolean) | null,
): T {
  const mine: Memory[] = [];
  scopes.push(mine);
  const finish = (kept: Iterable<Memory>) => {
    const at = scopes.indexOf(mine); // not always the last: async bodies end in any order
    if (at < 0) return; // the device is gone
    scopes.splice(at, 1);
    const dead = new Set(mine);
    const returned: Memory[] = [];
    for (const memory of kept) if (dead.delete(memory)) returned.push(memory);
    releaseAll(dead);
    if (endsStep?.()) {
      results.push(returned);
      if (results.length > NOGRAD_RESULTS) releaseAll(results.shift()!);
    } else for (const memory of returned) scopes[at - 1].push(memory);
    if (endsStep) age();
  };
  let result: T;
  try {
    result = body();
  } catch (error) {
    finish([]);
    throw error;
  }
  if (result instanceof Promise)
    return result.then(
      (value) => (finish(survivors(value)), value),
      (error) => {
        finish([]);
        throw error;
      },
    ) as T;
  finish(survivors(result as Awaited<T>));
  return result;
}

/** What was computed while `body` ran, for a backward pass that frees its own temporaries. */
export function computedDuring<T>(body: () => T): { result: T; made: Memory[] } {
  const current = scopes[scopes.length - 1];
  const from = current.length;
  const nested = compactAt === Infinity;
  compactAt = Infinity; // positions must hold while the body runs
  try {
    const result = body();
    return { result, made: current.slice(from) };
  } finally {
    if (!nested) compactAt = Math.max(4096, 2 * current.length);
  }
}

interface TracedMemories {
  /** Memory made in the step. */
  made: Memory[];
  /** Memory from outside that the step uses, and where it lies. */
  used: Map<Memory, Storage>;
  seen: Set<Memory>;
}

let traced: TracedMemories | null = null;

function capture(memory: Memory): void {
  traced!.seen.add(memory);
  memory.kept = true;
  traced!.used.set(memory, memory.storage);
}

/**
 * Tells which memory a traced step makes, which it uses from outside, and later whether that was moved: by an optimizer made since, for example,
 * which lays its parameters side by side.
 */
export function tracedMemories(body: () => void): { made: Memory[]; used: Iterable<Storage>; inPlace: () => boolean } {
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
  return { made: mine.made, used: mine.used.values(), inPlace };
}

// The device goes, and all that lies on it. Factories' tensors are made anew on the next one.
onShutdown(() => {
  scopes = [[]];
  previous = [];
  results = [];
  for (const memory of factories) if (!memory.kept) memory.release();
  factories.clear();
});

/** Gives memory back that no tensor reaches any more. A safety net: it never runs inside a synchronous loop. */
export const unreachable = new FinalizationRegistry<Memory>((memory) => {
  if (--memory.tensors === 0 && memory.live) memory.release();
});
