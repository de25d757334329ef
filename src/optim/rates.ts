// What schedulers have made of the learning rates of groups. It lies between optimizers and schedulers, who both change it.
export interface Rate {
  /** The rate that the schedulers' factors multiply. */
  initial: number;
  /** What they have made of it: another rate was set by hand. */
  scheduled: number;
  factors: Map<object, number>;
}

/** The rate of each group that has schedulers. */
export const rates = new WeakMap<object, Rate>();

export function rateOf(group: { readonly lr: number }): Rate {
  let rate = rates.get(group);
  if (!rate) rates.set(group, (rate = { initial: group.lr, scheduled: group.lr, factors: new Map() }));
  return rate;
}
