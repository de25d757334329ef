// Which modules a step has asked for their training mode: a plan is valid only while the answers stay the same.

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
