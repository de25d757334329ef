// Mixed precision in a Trainer: its forward passes run in autocast, and a GradScaler stands between loss and optimizer.
import { autocast } from '../autograd/autocast';
import { GradScaler } from '../optim/grad-scaler';
import { requireHalf } from '../tensor/half';
import { Tensor } from '../tensor/tensor';
import type { TrainerHook } from './hooks';
import type { Task } from './task';

const PREFIX = 'amp.';

/** The scaler of a run, which does nothing without `amp`. Throws AdapterError where the adapter has no 'shader-f16'. */
export function scalerFor(amp: boolean): GradScaler {
  if (amp) requireHalf('Trainer: amp');
  return new GradScaler({ enabled: amp });
}

/** A task whose forward passes, in training and evaluation, run in autocast. */
export const inAutocast = <B>(task: Task<B>): Task<B> => ({
  ...task,
  run: (batch) => autocast(() => task.run(batch)),
});

/** Keeps the scaler's state in the checkpoints. */
export const scalerHook = (scaler: GradScaler): TrainerHook => ({
  name: 'amp',
  stateDict: () => Object.fromEntries(Object.entries(scaler.stateDict()).map(([key, x]) => [PREFIX + key, x])),
  loadStateDict(state) {
    const own = Object.entries(state).filter(([key, x]) => key.startsWith(PREFIX) && x instanceof Tensor);
    if (own.length)
      scaler.loadStateDict(Object.fromEntries(own.map(([key, x]) => [key.slice(PREFIX.length), x as Tensor])));
  },
});
