// What a traced step took for granted, such as the training modes of its modules: its plan is valid only while all of it still holds. And
// whether a forward pass is computed once more for its gradient.

interface Moded {
  readonly training: boolean;
}

let assumed: Map<object, () => boolean> | null = null;

/** Tells a step that is being traced what it takes for granted: a plan is replayed only where `holds()` is true before the call. */
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
