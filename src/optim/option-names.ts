// Options of optimizers: their kinds, and names that they had before they took PyTorch's, which programs and saved states may still use.
import { checked, either, is, numbers, type OptionTable, word } from '../gpu/options';

/** Former names of options by their present ones. */
export const FORMER: Readonly<Record<string, string>> = {
  decoupled: 'decoupledWeightDecay',
  initialAccumulator: 'initialAccumulatorValue',
};

/** Options by former names, which are still taken. */
export interface FormerOptions {
  /** @deprecated `decoupledWeightDecay` */
  decoupled?: boolean;
  /** @deprecated `initialAccumulatorValue` */
  initialAccumulator?: number;
}

/** Checks options given by present or former names; those left undefined are not given. */
export function checkedOptions<O extends object>(op: string, given: O, table: OptionTable<O>): O {
  const present = (name: string) => {
    const now = FORMER[name];
    return now !== undefined && now in table ? now : name;
  };
  const old = given && typeof given === 'object' && Object.keys(given).some((name) => present(name) !== name);
  const renamed = () => Object.fromEntries(Object.entries(given).map(([name, value]) => [present(name), value])) as O;
  const options = checked(op, old ? renamed() : given, table);
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as O;
}

/** The kinds of an optimizer's options, as their defaults have them. */
export function tableOf<O>(defaults: Partial<O>): OptionTable<Partial<O>> {
  const kindOf = (x: unknown) => {
    if (x === null || typeof x === 'string') return either(is.text, word(null));
    return Array.isArray(x) ? numbers(x.length) : typeof x === 'boolean' ? is.flag : is.number;
  };
  const kinds = Object.entries({ lr: 0, ...defaults }).map(([name, value]) => [name, kindOf(value)]);
  return Object.fromEntries(kinds) as OptionTable<Partial<O>>;
}
