// Modes: what holds while a body runs. A mode belongs to its body alone, also where the body awaits: other functions that run in the meantime do
// not see it. What a traced step took for granted, such as the training modes of its modules, goes with its graph, which is valid only while all
// of it holds. And a forward pass may be computed once more for its gradient.
import { type AsyncContext, provider } from '../gpu/provider';
import { inputError } from '../tensor/context';

const AsyncFunction = (async () => undefined).constructor;

/** A value that holds while a body runs: of the innermost body, synchronous ones first. */
export class Mode<T> {
  #value: T | undefined;
  #context: AsyncContext<T> | undefined;
  /** Async bodies that have not settled. */
  #pending = 0;

  constructor(readonly outside: T) {}

  get(): T {
    if (this.#value !== undefined) return this.#value;
    return (this.#pending > 0 ? this.#context?.get() : undefined) ?? this.outside;
  }

  /** Runs `body`, which is synchronous or an async function, for the public function `op`. */
  run<R>(op: string, value: T, body: () => R): R {
    const outer = this.#value;
    try {
      if (body instanceof AsyncFunction) return this.#follow(op, value, body);
      this.#value = value;
      const result = body();
      if (!(result instanceof Promise)) return result;
      result.catch(() => undefined); // what it says is not the cause
      throw inputError(
        op,
        'the body has returned a promise: what it does after its first await would run outside',
        {},
        `Give an async function that awaits it: ${op}(async () => { … }), or await before.`,
      );
    } finally {
      this.#value = outer;
    }
  }

  #follow<R>(op: string, value: T, body: () => R): R {
    this.#context ??= provider().asyncContext?.<T>();
    if (!this.#context)
      throw inputError(
        op,
        'an async body cannot be told from other code that runs while it waits, in this browser',
        {},
        `Await outside: const y = ${op}(() => model.forward(x)); await y.data().`,
      );
    this.#value = undefined;
    this.#pending++;
    const settled = () => void this.#pending--;
    const result = this.#context.run(value, body);
    (result as Promise<unknown>).then(settled, settled);
    return result;
  }
}

interface Moded {
  readonly training: boolean;
}

let assumed: Map<object, () => boolean> | null = null;

/** Tells a step that is being traced what it takes for granted: a graph is replayed only where `holds()` is true before the call. */
export function assume(subject: object, holds: () => boolean): void {
  assumed?.set(subject, holds);
}

/** Called where `module.training` is read. */
export function consult(module: Moded, value: boolean): void {
  assumed?.set(module, () => module.training === value);
}

/** Runs `body` and returns a check whether all that it took for granted still holds. */
export function consultedModes(body: () => void): { unchanged: () => boolean } {
  const mine = new Map<object, () => boolean>();
  assumed = mine;
  try {
    body();
  } finally {
    assumed = null;
  }
  return {
    unchanged: () => {
      for (const holds of mine.values()) if (!holds()) return false;
      return true;
    },
  };
}

let repeats = 0;

/**
 * Whether a forward pass is being repeated for its gradient, by `checkpoint` or an adjoint: what it changes beside its result, such as running
 * statistics, must stay as it is.
 */
export const isRecomputing = (): boolean => repeats > 0;

/** Runs `body` as such a repetition. */
export function recomputing<T>(body: () => T): T {
  repeats++;
  try {
    return body();
  } finally {
    repeats--;
  }
}
