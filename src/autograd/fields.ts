// The fields of tensors that a traced step reads and changes: `grad` and `requiresGrad`. A plan holds while it finds them as the trace did,
// and a replay leaves them as the trace left them.
import type { Memory } from '../tensor/memory';
import { type Tensor, type Watcher, watchWith } from '../tensor/tensor';

/** What a trace found in one field of one tensor, whether that was asked for before it was written, and whether it was written. */
export interface Use<V> {
  readonly found: V;
  readonly asked: boolean;
  written: boolean;
}

/** The accesses of one trace. */
export class Fields implements Watcher {
  readonly grad = new Map<Tensor, Use<Tensor | null>>();
  readonly requiresGrad = new Map<Tensor, Use<boolean>>();
  /** What was a gradient in the step, if only for a while. Unlike other memory that is kept it ends with the step, unless it is left. */
  readonly gradients = new Set<Memory>();
  readonly #made = new WeakSet<Tensor>();

  made(tensor: Tensor): void {
    this.#made.add(tensor);
  }

  /** Whether the step has made the tensor itself. */
  has(tensor: Tensor): boolean {
    return this.#made.has(tensor);
  }

  /** `value` is that before the access. */
  use<N extends 'grad' | 'requiresGrad'>(name: N, tensor: Tensor, value: Tensor[N], writes: boolean): void {
    if (this.#made.has(tensor)) return;
    const uses = this[name] as Map<Tensor, Use<Tensor[N]>>;
    const use = uses.get(tensor);
    if (!use) uses.set(tensor, { found: value, asked: !writes, written: writes });
    else if (writes) use.written = true;
  }
}

/** Set while a step is traced. */
export let watching: Fields | null = null;

/** Watches the fields of tensors while `body` runs. What it changed is undone when it throws. */
export function watchFields(body: () => void): Fields {
  const fields = new Fields();
  watchWith((watching = fields));
  try {
    body();
  } catch (error) {
    watchWith((watching = null));
    for (const [tensor, { found, written }] of fields.requiresGrad) if (written) tensor.requiresGrad = found;
    for (const [tensor, { found, written }] of fields.grad)
      if (written) tensor.grad = found?.memory.gone ? null : found;
    throw error;
  } finally {
    watchWith((watching = null));
  }
  return fields;
}
