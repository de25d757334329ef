// Birth and death of particles (Lu et al. 2020, Section 6.2, after Rotskoff et al. 2019): beside moving, particles vanish where they harm and
// multiply where they help, their number fixed.
//
// The effect of particle l is V_l = δE/δρ(θ_l, τ_l) = ⟨∂E/∂X^{l+1}, f_l⟩, what the loss gains when l gets more time. It costs nothing, since
// ∂E/∂τ_l = V_l − V_{l+1}: V is the sum of the times' gradients from l on.
import type { Rng } from '../../datasets/random';
import { cumsum } from '../autograd/reduce';
import { noGrad } from '../autograd/tape';
import { device, InputError } from '../gpu';
import { copyInto, evaluate } from '../tensor/elementwise';
import type { MeanField, Placed } from './mean-field';

/** Adds the particles' effects on the loss of this step: call it between `backward()` and `optimizer.step()`. Nothing is read back. */
export function countEffects(stage: MeanField): void {
  const { grad, size } = stage.tau;
  if (!grad) throw new InputError('birth–death: effects come from the gradient of the times; train the times');
  const sum = stage.effects;
  noGrad(() => {
    const operands = { a: sum, b: cumsum(grad, 0, { reverse: true }) };
    copyInto(sum, evaluate({ name: 'effects', expression: 'a + b', operands, shape: [size], result: 'float32' }));
  });
}

/** Ids of a particle that went, of the one that was copied, and of the copy. */
export type Turnover = {
  killed: number;
  parent: number;
  child: number;
};

/** Which positions vanish and which ones are doubled, equally many. `uniform` draws from [0, 1). */
export function chooseTurnover(
  effects: readonly number[],
  rate: number,
  uniform: () => number,
): { killed: number[]; parents: number[] } {
  const mean = effects.reduce((sum, v) => sum + v, 0) / effects.length;
  const killed: number[] = [];
  const parents: number[] = [];
  effects.forEach((v, i) => {
    if (uniform() < 1 - Math.exp(-rate * Math.abs(v - mean))) (v > mean ? killed : parents).push(i);
  });
  const any = (list: readonly number[]) => list[Math.floor(uniform() * list.length)];
  const positions = effects.map((_, i) => i);
  while (parents.length < killed.length) parents.push(any(positions.filter((i) => !killed.includes(i))));
  while (killed.length < parents.length) {
    const free = positions.filter((i) => !killed.includes(i) && !parents.includes(i));
    if (free.length) killed.push(any(free));
    else parents.splice(Math.floor(uniform() * parents.length), 1);
  }
  return { killed, parents };
}

/**
 * One round of deaths and births from the effects summed since the last one, which begin anew. A particle whose sum ΣV is above the mean of its
 * stage (harmful) vanishes with probability 1 − exp(−rate·|ΣV − mean|), one below is doubled with that probability: deaths and births at `rate`
 * per step and unit of effect, which end where the times stand still, since all V are 0 there. Particles drawn at random
 * make up the difference, as in Rotskoff et al. A copy halves the interval of its parent, which leaves ρ as it is; the time of the dead falls to
 * its successor. The copy has its parent's weights, states, momenta, and a new id: `firstId` and on.
 */
export async function birthDeath(
  stage: MeanField,
  { rate, rng, firstId }: { rate: number; rng: Rng; firstId: number },
): Promise<Turnover[]> {
  const sum = stage.effects;
  const { killed, parents } = chooseTurnover([...(await sum.data())], rate, () => rng.uniform());
  device().write(sum.storage, new Float32Array(sum.size));
  sum.memory.written();
  if (!killed.length) return [];
  const [tau, ids] = [await stage.tau.data(), await stage.ids.data()];
  const placed: Placed[] = [];
  const events: Turnover[] = [];
  let begin = 0;
  for (const [p, end] of tau.entries()) {
    if (killed.includes(p)) continue;
    const copies = parents.filter((q) => q === p).length;
    for (let c = 1; c <= copies; c++) {
      const id = firstId + events.length;
      events.push({ killed: ids[killed[events.length]], parent: ids[p], child: id });
      // A first interval may be negative; then the copy has none yet.
      placed.push({ source: p, time: Math.min(begin + ((end - begin) * c) / (copies + 1), end), id });
    }
    placed.push({ source: p, time: end, id: ids[p] });
    begin = end;
  }
  stage.placeParticles(placed);
  return events;
}
