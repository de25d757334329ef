// The rule of an optimizer as data: scalars, state, and WGSL that makes a step of them. One kernel runs it on four numbers of a parameter at a
// time; a compiled step joins the launches of all parameters that share their scalars.
import { cached } from '../../shaders/build';
import type { Kernel } from '../../shaders/kernel';
import { TAKEN, updateKernel } from '../../shaders/optimizer';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import type { Parameter } from '../nn/parameter';

/** A method's type, so that an optimizer with more options passes for `Optimizer<{ lr: number }>`. */
type ScalarOf<O> = { of(options: Readonly<O>, step: number, own: number): number }['of'];

/** What an optimizer does to a parameter, under the options of its group. */
export interface Rule<O> {
  /**
   * Numbers that follow from the group's options and from `step` = 1, 2, …, which counts the updates of the parameter, the one about to be made
   * included. Options that are numbers need no entry. They are taken again before every step, and every replay of a compiled one.
   */
  readonly scalars?: Readonly<Record<string, ScalarOf<O>>>;
  /** Tensors of the parameter's shape, float32, each with the number that fills it at the start. A name here hides the option of that name. */
  readonly state?: Readonly<Record<string, number>>;
  /** Weights shrink by 1 − lr·weightDecay before the step, instead of weightDecay·x joining the gradient. */
  readonly decoupled?: boolean;
  /** A number of each parameter's own, the third argument of the scalars. 1 if absent. */
  readonly perParameter?: (parameter: Parameter) => number;
  /**
   * WGSL statements on vec4f, for four numbers of a parameter at a time. `d` is the gradient, with weight decay where the options have
   * `weightDecay`; `x`, the weight, and the state are changed in place; scalars are f32. `maxOf4(a, b)` and `signOf4(a)` are `max` and `sign` that keep NaN. Where the options have
   * `maximize: true`, the gradient has the other sign.
   */
  readonly code: string;
}

/** A rule that was checked, with the kernel that runs it. */
export interface ReadyRule<O> {
  readonly kernel: Kernel;
  /** The same with one more binding [1] of uint32: nothing changes where it is not 0. */
  readonly guarded: Kernel;
  readonly state: Readonly<Record<string, number>>;
  /** The scalars of the kernel, in its order. */
  readonly names: readonly string[];
  own(parameter: Parameter): number;
  /** The values of `names`. Throws InputError where one is no number. */
  numbers(options: O, step: number, own: number): number[];
}

/** Checks a rule and makes its kernel. `op` names the optimizer. Throws InputError for names that there are not, or that mean two things. */
export function ready<O extends object>(op: string, rule: Rule<O>, options: O): ReadyRule<O> {
  const { scalars = {}, state = {}, perParameter = () => 1 } = rule;
  const numeric = Object.entries(options).flatMap(([name, value]) => (typeof value === 'number' ? [name] : []));
  const { decoupled = false, code } = rule;
  const maximize = (options as { maximize?: unknown }).maximize === true;
  const key = [op, code, decoupled, maximize, Object.keys(state), Object.keys(scalars), numeric];
  const { kernel, guarded, names } = cached(['rule', ...key], () => make(op, rule, numeric, maximize));
  const numbers = (group: O, step: number, own: number) =>
    names.map((name) => {
      const value = scalars[name] ? scalars[name](group, step, own) : (group as Record<string, unknown>)[name];
      if (typeof value === 'number' && !Number.isNaN(value)) return value;
      throw new InputError(`${op}: the scalar ${name} is ${value} at step ${step}, it must be a number`);
    });
  return { kernel, guarded, state, names, own: perParameter, numbers };
}

function make<O>(
  op: string,
  rule: Rule<O>,
  numeric: readonly string[],
  maximize: boolean,
): { kernel: Kernel; guarded: Kernel; names: string[] } {
  const kinds = { scalars: is.object, state: is.object, decoupled: is.flag, perParameter: is.func, code: is.text };
  checked(`${op}.rule`, rule, kinds);
  const { scalars = {}, state = {}, decoupled = false, code } = rule;
  if (typeof code !== 'string') throw new InputError(`${op}.rule: 'code' is missing: WGSL that changes x`);
  const kept = Object.keys(state);
  const used = wordsOf(code);
  const clash = numeric.filter((name) => TAKEN.includes(name) && used.includes(name));
  for (const name of [...Object.keys(scalars), ...kept, ...clash])
    if (!/^[A-Za-z]\w*$/.test(name) || name.includes('__') || TAKEN.includes(name))
      throw new InputError(
        `${op}.rule: '${name}' cannot be a name here: use letters and digits, and not ${TAKEN.join(', ')}`,
      );
  const both = kept.find((name) => Object.hasOwn(scalars, name));
  if (both) throw new InputError(`${op}.rule: '${both}' is both a scalar and state: rename one`);
  const odd = Object.entries(state).find(([, initial]) => !Number.isFinite(initial));
  if (odd) throw new InputError(`${op}.rule: state ${odd[0]} starts as ${odd[1]}, it must be a number`);
  const known = [...new Set([...numeric, ...Object.keys(scalars)])].filter((name) => !kept.includes(name));
  const decays = known.includes('weightDecay');
  if (decoupled && !(decays && known.includes('lr')))
    throw new InputError(`${op}.rule: decoupled needs the options lr and weightDecay`);
  const stranger = used.find((name) => !['x', 'd', ...known, ...kept].includes(name));
  if (stranger)
    throw new InputError(
      `${op}.rule: the code names '${stranger}', which is no option, scalar, state or variable of it; there are ${['x', 'd', ...known, ...kept].join(', ')}`,
    );
  if (!/\bx(\.\w+|\[[^\]]*\])?\s*[-+*/%]?=(?!=)/.test(code))
    throw new InputError(`${op}.rule: the code never changes x, the weight: end it with x -= lr * …`);
  const first = [...(decoupled ? ['lr'] : []), ...(decays ? ['weightDecay'] : [])];
  const names = [...new Set([...first, ...known.filter((name) => used.includes(name))])];
  const decay = decoupled ? 'weight' : decays ? 'gradient' : 'none';
  const update = { name: op, scalars: names, state: kept, decay, maximize, code } as const;
  return { kernel: updateKernel(update), guarded: updateKernel({ ...update, guarded: true }), names };
}

const WGSL_WORDS =
  /^(let|var|const|if|else|for|while|loop|break|continue|continuing|return|switch|case|default|true|false|[fiu](16|32)|bool|vec[234]\w?|mat\w+|array|ptr)$/;

/** The names in WGSL statements that they do not declare themselves, without functions, fields and what belongs to the language. */
function wordsOf(code: string): string[] {
  const plain = code.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '');
  const declared = new Set([...plain.matchAll(/\b(?:let|var|const)\s+(\w+)/g)].map(([, name]) => name));
  const words = [...plain.matchAll(/(?<![.\w])[A-Za-z_]\w*\b(?!\s*\()/g)].map(([word]) => word);
  return [...new Set(words)].filter((word) => !WGSL_WORDS.test(word) && !declared.has(word));
}
