// Options are checked in one place, before anything else happens: a name that there is not, a value of the wrong kind, and something else
// where the object belongs (`F.dropout(x, 0.9)`) are refused. A function states its options as a table beside its signature.
import { at, fromEnd } from '../../shaders/checked';
import { InputError } from './errors';

/** What the value of an option may be. */
export interface Kind {
  readonly what: string;
  fits(value: unknown): boolean;
}

/** A kind for every option of O: the compiler holds it complete. */
export type OptionTable<O> = { readonly [K in keyof Required<O>]: Kind };

const isNumber = (x: unknown): boolean => typeof x === 'number' && !Number.isNaN(x);
const isNumbers = (x: unknown): boolean => Array.isArray(x) && x.every(isNumber);

/** The kinds, as in `{ p: is.number, training: is.flag }`. */
export const is = {
  number: { what: 'a number', fits: isNumber },
  numbers: { what: 'an array of numbers', fits: isNumbers },
  size: { what: 'a number or an array of numbers', fits: (x) => isNumber(x) || isNumbers(x) },
  flag: { what: 'true or false', fits: (x) => typeof x === 'boolean' },
  text: { what: 'a string', fits: (x) => typeof x === 'string' },
  func: { what: 'a function', fits: (x) => typeof x === 'function' },
  object: { what: 'an object', fits: (x) => typeof x === 'object' && x !== null },
  tensor: {
    what: 'a tensor',
    fits: (x) => x === null || (typeof x === 'object' && 'memory' in x && 'strides' in x),
  },
  anything: { what: 'anything', fits: () => true },
} satisfies Record<string, Kind>;

/** So many numbers, such as the two of `betas`. */
export const numbers = (count: number): Kind => ({
  what: `an array of ${count} numbers`,
  fits: (x) => isNumbers(x) && (x as readonly number[]).length === count,
});

/** One of some words. */
export const word = (...words: readonly (string | null)[]): Kind => ({
  what: words
    .map((w) => (w === null ? 'null' : `'${w}'`))
    .join(', ')
    .replace(/, ([^,]*)$/, ' or $1'),
  fits: (x) => words.includes(x as string),
});

export const either = (...kinds: readonly Kind[]): Kind => ({
  what: kinds.map(({ what }) => what).join(' or '),
  fits: (x) => kinds.some((kind) => kind.fits(x)),
});

/** The options, once they are known to be what the table says. `op` names the function or class in errors. */
export function checked<O extends object>(op: string, options: O | undefined, table: OptionTable<O>): O {
  if (options === undefined) return {} as O;
  const kinds = table as Readonly<Record<string, Kind>>;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw misplaced(op, options, kinds);
  for (const name in options) {
    if (!Object.hasOwn(options, name)) continue;
    const value = options[name] as unknown;
    if (value === undefined) continue; // as if it were left out
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (!kind) throw unknown(op, options, name, kinds);
    if (!kind.fits(value)) throw new InputError(`${op}: ${name} ${show(value)} must be ${kind.what}`);
  }
  return options;
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return `(${value.constructor?.name})`;
  return Array.isArray(value) ? `[${value.map(String).join(', ')}]` : String(value);
}

const names = (kinds: Readonly<Record<string, Kind>>): string => Object.keys(kinds).join(', ');

function misplaced(op: string, value: unknown, kinds: Readonly<Record<string, Kind>>): InputError {
  const fitting = Object.entries(kinds).find(([, kind]) => kind.fits(value))?.[0];
  const hint = fitting && typeof value !== 'object' ? `, such as { ${fitting}: ${show(value)} }` : '';
  return new InputError(`${op}: options are an object { ${names(kinds)} }${hint}; given was ${show(value)}`);
}

function unknown(op: string, options: object, name: string, kinds: Readonly<Record<string, Kind>>): InputError {
  if (![null, Object.prototype].includes(Object.getPrototypeOf(options))) return misplaced(op, options, kinds);
  const bare = (text: string) => text.replaceAll('_', '').toLowerCase();
  const near = Object.keys(kinds)
    .map((known) => ({ known, distance: distance(bare(known), bare(name)) }))
    .sort((a, b) => a.distance - b.distance)
    .find((candidate) => candidate.distance <= Math.min(2, candidate.known.length / 3));
  const hint = near ? `did you mean ${near.known}?` : names(kinds) ? `there are ${names(kinds)}` : 'it takes none';
  return new InputError(`${op}: there is no option '${name}': ${hint}`);
}

/** How many letters have to be put in, left out or exchanged. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return fromEnd(row, 1);
}
