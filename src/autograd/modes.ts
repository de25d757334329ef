// Modes of a running step: which modules it has asked for their training mode (a plan is valid only while the answers stay the same), and
// whether a forward pass is computed once more for its gradient.

interface Moded {
  readonly training: boolean;
}

let consulted: Map<Moded, boolean> | null = null;

/** Called where `module.training` is read. */
export function consult(module: Moded, value: boolean): void {
  consulted?.set(module, value);
}

/** Runs `body` and returns a check whether every module that was asked still answers the same. */
export function consultedModes(body: () => void): { unchanged: () => boolean } {
  const mine = new Map<Moded, boolean>();
  consulted = mine;
  try {
    body();
  } finally {
    consulted = null;
  }
  return {
    unchanged: () => {
      for (const [module, value] of mine) if (module.training !== value) return false;
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
