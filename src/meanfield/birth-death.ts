// Birth and death of particles (Lu et al. 2020, Section 6.2, after Rotskoff et al. 2019): beside moving, particles vanish where they harm and
// multiply where they help, their number fixed. The mass of a particle is its step Δ_l, its share of ρ:
//
//   ∂_s ρ = −α (V − V̄) ρ      V_l = δE/δρ(θ_l, τ_l) = ⟨∂E/∂X^{l+1}, f_l⟩      V̄ = Σ Δ_l V_l / Σ Δ_l
//
// which conserves the mass: what dies gives its time to all in proportion to theirs, what is born takes its own likewise. The effect V_l is what
// the loss gains when l gets more time. It costs nothing, since ∂E/∂τ_l = V_l − V_{l+1}: V is the sum of the times' gradients from l on.

import type { Rng } from '../../datasets/random';
import { at, fromEnd, tuple } from '../../shaders/checked';
import { scopedNoGrad } from '../autograd/tape';
import { device, InputError } from '../gpu';
import { cumsum } from '../ops/scan';
import { copyInto, evaluate } from '../tensor/elementwise';
import type { Placed, Stage } from './stage';

/** Adds the particles' effects on the loss of this step: call it between `backward()` and `optimizer.step()`. Nothing is read back. */
export function countEffects(stage: Stage): void {
  const { grad, size } = stage.tau;
  if (!grad) throw new InputError('birth–death: effects come from the gradient of the times; train the times');
  const sum = stage.effects;
  // Where intervals start at the times, ∂E/∂τ_l = V_{l−1} − V_l: then V is minus the sum up to l.
  const starts = stage.end !== null;
  scopedNoGrad(() => {
    const operands = { a: sum, b: cumsum(grad, 0, { reverse: !starts }) };
    copyInto(
      sum,
      evaluate({ name: 'effects', expression: starts ? 'a - b' : 'a + b', operands, shape: [size], result: 'float32' }),
    );
  });
}

/** Ids of a particle that went, of the one that was copied, and of the copy. */
export type Turnover = {
  /** Id of the particle that dies. */
  killed: number;
  /** Id of the particle that is copied. */
  parent: number;
  /** Id of the copy. */
  child: number;
};

/**
 * Which positions vanish and which ones are doubled, equally many (Rotskoff et al. 2019, Algorithm 1): one with an effect above the mean by mass
 * vanishes with probability 1 − exp(−rate·(V − V̄)), one below is doubled likewise; others drawn at random make up the difference. Particles
 * with a negative step have no mass: they neither vanish nor are doubled. `uniform` draws from [0, 1): once for every particle, then for the rest.
 */
export function chooseTurnover(
  effects: readonly number[],
  steps: readonly number[],
  rate: number,
  uniform: () => number,
): { killed: number[]; parents: number[] } {
  const massOf = (i: number) => Math.max(at(steps, i), 0);
  const positions = effects.map((_, i) => i);
  const total = positions.reduce((sum, i) => sum + massOf(i), 0);
  const mean = positions.reduce((sum, i) => sum + massOf(i) * at(effects, i), 0) / total;
  const killed: number[] = [];
  const parents: number[] = [];
  const able = positions.filter((i) => at(steps, i) >= 0);
  for (const [i, v] of effects.entries()) {
    const drawn = uniform() < 1 - Math.exp(-rate * Math.abs(v - mean));
    if (drawn && at(steps, i) >= 0) (v > mean ? killed : parents).push(i);
  }
  const any = (list: readonly number[]) => at(list, Math.floor(uniform() * list.length));
  while (parents.length < killed.length) parents.push(any(able.filter((i) => !killed.includes(i))));
  while (killed.length < parents.length) {
    const free = able.filter((i) => !killed.includes(i) && !parents.includes(i));
    if (free.length) killed.push(any(free));
    else parents.splice(Math.floor(uniform() * parents.length), 1);
  }
  return { killed, parents };
}

/** The particles after a round: what each is a copy of, whether it is the new one, and its step. The sum of the steps is that of before. */
export function conserveMass(
  steps: readonly number[],
  { killed, parents }: { killed: readonly number[]; parents: readonly number[] },
): { source: number; born: boolean; step: number }[] {
  const placed = steps.flatMap((step, source) => {
    const copies = killed.includes(source) ? 0 : 1 + parents.filter((q) => q === source).length;
    return Array.from({ length: copies }, (_, c) => ({ source, born: c < copies - 1, step }));
  });
  const massOf = (list: readonly { step: number }[]) => list.reduce((sum, { step }) => sum + Math.max(step, 0), 0);
  const [before, after] = [massOf(steps.map((step) => ({ step }))), massOf(placed)];
  const living = placed.filter(({ step }) => step >= 0);
  // Where all that have time die, the others share it.
  for (const particle of living) particle.step = after > 0 ? (particle.step * before) / after : before / living.length;
  return placed;
}

/**
 * One round of deaths and births from the effects summed since the last one, which begin again: `rate` is per step and unit of effect. It ends
 * where all effects are equal, so where the times stand still, since all V are 0 there. A copy stands in front of its parent, with its weights,
 * states, momenta, and a new id: `firstId` and on.
 */
export async function birthDeath(
  stage: Stage,
  { rate, rng, firstId }: { rate: number; rng: Rng; firstId: number },
): Promise<Turnover[]> {
  if (stage.options.sort === false)
    throw new InputError('birth–death: particles that are never sorted have no intervals of their own to give away');
  const sum = stage.effects;
  const read = await Promise.all([sum, stage.tau, stage.ids].map(async (x) => [...(await x.data())]));
  const [effects, tau, ids] = tuple(read, 3);
  device().write(sum.storage, new Float32Array(sum.size));
  sum.memory.written();
  const { end } = stage;
  const starts = end !== null;
  const steps = tau.map((t, l) => (starts ? (tau[l + 1] ?? end) - t : t - (tau[l - 1] ?? 0)));
  const turnover = chooseTurnover(effects, steps, rate, () => rng.uniform());
  if (!turnover.killed.length) return [];
  const events: Turnover[] = [];
  const placed: Placed[] = [];
  let time = starts ? at(tau, 0) : 0;
  for (const { source, born, step } of conserveMass(steps, turnover)) {
    const id = born ? firstId + events.length : at(ids, source);
    if (born) events.push({ killed: at(ids, at(turnover.killed, events.length)), parent: at(ids, source), child: id });
    const after = time + step;
    placed.push({ source, time: starts ? time : after, id });
    time = after;
  }
  // Time ends where it ended, to the last bit.
  const last = fromEnd(tau, 1);
  if (!starts) for (const p of placed) p.time = Math.min(p.time, last);
  if (!starts) fromEnd(placed, 1).time = last;
  stage.placeParticles(placed);
  return events;
}
