// The numbers of Adam's family that follow from β₁, β₂ and the count of steps.
import { InputError, Scalar } from '../gpu';

const NAMES = ['beta1', 'beta2', 'rest1', 'rest2', 'correction1', 'correction2'] as const;
type Values = Record<(typeof NAMES)[number], Scalar>;

/** Scalars of each group, computed in double precision before every step so that compiled steps read them anew. */
export class Moments<G extends { betas: readonly [number, number] }> {
  readonly #byGroup = new Map<G, Values>();

  static check(optimizer: object, betas: readonly [number, number]): void {
    if (!betas.every((beta) => beta >= 0 && beta < 1))
      throw new InputError(`${optimizer.constructor.name}: betas [${betas.join(', ')}] must be in 0 ≤ β < 1`);
  }

  of(group: G): Values {
    let values = this.#byGroup.get(group);
    if (!values) {
      values = Object.fromEntries(NAMES.map((name) => [name, new Scalar(0)])) as Values;
      this.#byGroup.set(group, values);
    }
    return values;
  }

  /** Sets the scalars for step t = 1, 2, … */
  prepare(groups: readonly G[], t: number): void {
    for (const group of groups) {
      const [beta1, beta2] = group.betas;
      const values = [beta1, beta2, 1 - beta1, 1 - beta2, 1 - beta1 ** t, 1 - beta2 ** t];
      const scalars = this.of(group);
      for (const [i, name] of NAMES.entries()) scalars[name].value = values[i];
    }
  }
}
