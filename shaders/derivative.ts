// Derivatives of WGSL expressions as text: what makes a gradient rule of the table differentiable itself, to any order.
//
// The expressions are those of elementwise operations: numbers, names, + − * /, comparisons, and calls of WGSL's functions or the library's. A
// derivative that is zero is null, so that no term 0 · ∞ arises.
import { at, tuple } from './checked';

/** A parsed expression: its WGSL, safe to be put into any other, and its derivative. */
interface Term {
  readonly code: string;
  /** By the name of a variable; null where it does not depend on it. */
  derivative(name: string): string | null;
}

const constant = (code: string): Term => ({ code, derivative: () => null });

/** Partial derivatives of functions by their arguments, in WGSL; null where it is zero. */
export type Derivatives = Readonly<Record<string, (...x: string[]) => (string | null)[]>>;

/** Those of the functions that every expression may call. What is not here has no derivative. */
const common: Derivatives = {
  abs: (x) => [`signOf(${x})`],
  clampTo: (x, low, high) => [`select(0.0, 1.0, ${x} >= ${low} && ${x} <= ${high})`, null, null],
  erf: (x) => [`(${2 / Math.sqrt(Math.PI)} * gaussian(${x}, 1.0))`],
  erfc: (x) => [`(${-2 / Math.sqrt(Math.PI)} * gaussian(${x}, 1.0))`],
  exp: (x) => [`exp(${x})`],
  exp2: (x) => [`(${Math.LN2} * exp2(${x}))`],
  expm1: (x) => [`exp(${x})`],
  fmod: (a, b) => ['1.0', `(-trunc(over(${a}, ${b})))`],
  gaussian: (x, s) => [`(-2.0 * ${s} * ${x} * gaussian(${x}, ${s}))`, null],
  inverseSqrt: (x) => [`over(-0.5 * inverseSqrt(${x}), ${x})`],
  log: (x) => [`over(1.0, ${x})`],
  log10: (x) => [`over(${Math.LOG10E}, ${x})`],
  log1p: (x) => [`over(1.0, 1.0 + ${x})`],
  log2: (x) => [`over(${Math.LOG2E}, ${x})`],
  maxOf: (a, b) => [
    `(1.0 - f32(${a} < ${b}) - 0.5 * f32(${a} == ${b}))`,
    `(1.0 - f32(${b} < ${a}) - 0.5 * f32(${a} == ${b}))`,
  ],
  minOf: (a, b) => [
    `(1.0 - f32(${a} > ${b}) - 0.5 * f32(${a} == ${b}))`,
    `(1.0 - f32(${b} > ${a}) - 0.5 * f32(${a} == ${b}))`,
  ],
  normal: (x) => [`(${1 / Math.sqrt(2 * Math.PI)} * gaussian(${x}, 0.5))`],
  over: (a, b) => [`over(1.0, ${b})`, `over(-over(${a}, ${b}), ${b})`],
  power: (a, b) => [
    `select(${b} * power(${a}, ${b} - 1.0), 0.0, ${b} == 0.0)`,
    `select(power(${a}, ${b}) * log(${a}), 0.0, ${a} == 0.0 && ${b} >= 0.0)`,
  ],
  relu: (x) => [`select(1.0, 0.0, ${x} <= 0.0)`],
  remainder: (a, b) => ['1.0', `(-floorDivide(${a}, ${b}))`],
  sech2: (x) => [`(-2.0 * tanh(${x}) * sech2(${x}))`],
  sigmoid: (x) => [`(sigmoid(${x}) * sigmoid(-${x}))`],
  softplus: (x) => [`sigmoid(${x})`],
  sqrt: (x) => [`(0.5 * inverseSqrt(${x}))`],
  tanh: (x) => [`sech2(${x})`],
};

/** Functions that are constant wherever they have a derivative. */
const STEPS =
  /^(bool|ceil|f32|floor|floorDivide|i32|isFinite|isInf|isNan|isNegative|round|sign|signOf|trunc|u32|infinity|nan)$/;

const times = (a: string, b: string): string => (a === '1.0' ? b : b === '1.0' ? a : `(${a} * ${b})`);
const plus = (a: string | null, b: string | null): string | null => (a && b ? `(${a} + ${b})` : (a ?? b));
const minus = (a: string | null): string | null => a && `(-${a})`;

function call(name: string, args: readonly Term[], derivatives: Derivatives): Term {
  const code = `${name}(${args.map((x) => x.code).join(', ')})`;
  if (name === 'f32') return { code, derivative: (v) => at(args, 0).derivative(v) };
  if (name === 'select') {
    const [otherwise, chosen, condition] = tuple(args, 3);
    const derivative = (v: string) => {
      const [a, b] = [otherwise.derivative(v), chosen.derivative(v)];
      return a || b ? `select(${a ?? '0.0'}, ${b ?? '0.0'}, ${condition.code})` : null;
    };
    return { code, derivative };
  }
  return {
    code,
    derivative: (v) => {
      const inner = args.map((x) => x.derivative(v));
      if (STEPS.test(name) || inner.every((d) => d === null)) return null;
      const partials = derivatives[name];
      if (!partials) throw new Error(`no derivative of ${name}() is known`);
      const outer = partials(...args.map((x) => x.code));
      return inner.reduce((sum, d, i) => {
        const slope = outer[i];
        return plus(sum, d && slope ? times(slope, d) : null);
      }, null);
    },
  };
}

const binary: Record<string, (a: Term, b: Term, v: string) => string | null> = {
  '+': (a, b, v) => plus(a.derivative(v), b.derivative(v)),
  '-': (a, b, v) => plus(a.derivative(v), minus(b.derivative(v))),
  '*': (a, b, v) => {
    const [da, db] = [a.derivative(v), b.derivative(v)];
    return plus(da && times(da, b.code), db && times(a.code, db));
  },
  '/': (a, b, v) => {
    const [da, db] = [a.derivative(v), b.derivative(v)];
    return plus(da && `(${da} / ${b.code})`, db && `(-${a.code} / ${b.code} / ${b.code} * ${db})`);
  },
};

/** Operators by how strongly they bind, the weakest first. */
const LEVELS = [['||'], ['&&'], ['==', '!=', '<=', '>=', '<', '>'], ['+', '-'], ['*', '/', '%']];

class Parser {
  readonly #tokens: string[];
  #at = 0;

  constructor(
    readonly text: string,
    readonly derivatives: Derivatives,
  ) {
    this.#tokens = text.match(/[0-9.]+(?:e[-+]?\d+)?[fiu]?|\w+|\|\||&&|[=!<>]=|[^\s\w]/g) ?? [];
  }

  parse(): Term {
    const term = this.#level(0);
    if (this.#at < this.#tokens.length) throw this.#problem();
    return term;
  }

  #problem = () =>
    new Error(`'${this.text}' is no expression that can be differentiated, from '${this.#tokens[this.#at]}' on`);

  #take(token: string): boolean {
    const found = this.#tokens[this.#at] === token;
    if (found) this.#at++;
    return found;
  }

  #level(k: number): Term {
    const operators = LEVELS[k];
    if (!operators) return this.#unary();
    let left = this.#level(k + 1);
    for (;;) {
      const operator = operators.find((o) => this.#take(o));
      if (!operator) return left;
      const [a, b] = [left, this.#level(k + 1)];
      const rule = binary[operator];
      left = { code: `(${a.code} ${operator} ${b.code})`, derivative: (v) => (rule ? rule(a, b, v) : null) };
    }
  }

  #unary(): Term {
    if (this.#take('-')) {
      const x = this.#unary();
      return { code: `(-${x.code})`, derivative: (v) => minus(x.derivative(v)) };
    }
    if (this.#take('!')) return constant(`(!${this.#unary().code})`);
    return this.#primary();
  }

  #primary(): Term {
    if (this.#take('(')) {
      const term = this.#level(0);
      if (!this.#take(')')) throw this.#problem();
      return term;
    }
    const token = this.#tokens[this.#at++] ?? '';
    if (/^[0-9.]/.test(token)) return constant(token);
    if (!/^\w+$/.test(token)) throw this.#problem();
    if (!this.#take('(')) return { code: token, derivative: (v) => (v === token ? '1.0' : null) };
    const args: Term[] = [];
    while (!this.#take(')')) {
      args.push(this.#level(0));
      if (!this.#take(',') && this.#tokens[this.#at] !== ')') throw this.#problem();
    }
    return call(token, args, this.derivatives);
  }
}

const parsed = new Map<string, Term>();

/**
 * WGSL of the derivative of an expression by one of its names; null where it is zero. `more`: those of the library that the expression calls. Throws
 * where a function has none that is known.
 */
export function derivative(expression: string, name: string, more: Derivatives = {}): string | null {
  let term = parsed.get(expression);
  if (!term) parsed.set(expression, (term = new Parser(expression, { ...common, ...more }).parse()));
  return term.derivative(name);
}
