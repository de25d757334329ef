// Special functions, which ONNX has not: by the series that the kernels sum (shaders/special.ts), in both branches at once.
import { ERFC_TAIL } from '../../../shaders/elementary';
import { SERIES } from '../../../shaders/special';
import type { Draft } from '../draft';

type Value = string | number;

/** Nodes for formulas of float32, written as calls. */
class Calculator {
  constructor(private readonly e: Draft) {}

  readonly #of = (x: Value): string => (typeof x === 'number' ? this.e.number(x) : x);
  readonly #node = (op: string, ...inputs: Value[]): string => this.e.node(op, inputs.map(this.#of));

  add = (a: Value, b: Value): string => this.#node('Add', a, b);
  sub = (a: Value, b: Value): string => this.#node('Sub', a, b);
  mul = (a: Value, b: Value): string => this.#node('Mul', a, b);
  div = (a: Value, b: Value): string => this.#node('Div', a, b);
  min = (a: Value, b: Value): string => this.#node('Min', a, b);
  max = (a: Value, b: Value): string => this.#node('Max', a, b);
  less = (a: Value, b: Value): string => this.#node('Less', a, b);
  equal = (a: Value, b: Value): string => this.#node('Equal', a, b);
  where = (condition: string, a: Value, b: Value): string => this.#node('Where', condition, a, b);
  abs = (a: Value): string => this.#node('Abs', a);
  neg = (a: Value): string => this.#node('Neg', a);
  sign = (a: Value): string => this.#node('Sign', a);
  log = (a: Value): string => this.#node('Log', a);
  exp = (a: Value): string => this.#node('Exp', a);
  sin = (a: Value): string => this.#node('Sin', a);
  cos = (a: Value): string => this.#node('Cos', a);
  sqrt = (a: Value): string => this.#node('Sqrt', a);
  erf = (a: Value): string => this.#node('Erf', a);
  round = (a: Value): string => this.#node('Round', a);
  square = (a: Value): string => this.mul(a, a);

  /** c₀ + c₁·x + c₂·x² + … */
  series(x: Value, coefficients: readonly number[]): string {
    const [first = 0, ...rest] = [...coefficients].reverse();
    return this.#of(rest.reduce<Value>((sum, c) => this.add(this.mul(sum, x), c), first));
  }
}

export type Special = (c: Calculator, x: string) => string;

const erfinvNear: Special = (c, x) => c.mul(x, c.series(c.square(x), SERIES.erfinvNear));

/** From √w, w = −log(1 − x²). */
function erfinvTail(c: Calculator, w: string): string {
  const s = c.sqrt(w);
  const at = (middle: number, coefficients: readonly number[]) => c.series(c.sub(s, middle), coefficients);
  const far = c.where(c.less(s, 4.1), at(3, SERIES.erfinvTail2), at(7, SERIES.erfinvTail3));
  return c.where(c.less(s, 2.2), at(1.25, SERIES.erfinvTail1), far);
}

const erfinv: Special = (c, x) => {
  const m = c.abs(x);
  const tail = c.mul(c.sign(x), erfinvTail(c, c.neg(c.log(c.mul(c.sub(1, m), c.add(1, m))))));
  const inside = c.where(c.less(m, 0.5), erfinvNear(c, x), tail);
  return c.where(c.equal(m, 1), c.mul(x, Infinity), inside);
};

const ndtri: Special = (c, p) => {
  const q = c.min(p, c.sub(1, p));
  const w = c.neg(c.add(c.add(c.log(q), c.log(c.sub(1, q))), 2 * Math.LN2));
  const side = c.sign(c.sub(p, 0.5));
  const near = erfinvNear(c, c.sub(c.mul(2, p), 1));
  const y = c.mul(Math.SQRT2, c.where(c.less(0.25, q), near, c.mul(side, erfinvTail(c, w))));
  return c.where(c.equal(q, 0), c.mul(side, Infinity), y);
};

const logNdtr: Special = (c, x) => {
  const m = c.mul(Math.SQRT1_2, c.abs(x));
  const t = c.div(1, c.add(1, c.mul(0.5, m)));
  const below = c.add(c.mul(-0.5, c.square(x)), c.log(c.mul(0.5, c.mul(t, c.series(t, ERFC_TAIL)))));
  const above = c.log(c.mul(0.5, c.add(1, c.erf(c.mul(Math.SQRT1_2, x)))));
  return c.where(c.less(0, x), above, below);
};

/** x and what it is after so many steps of one, with the steps between. */
const steps = (c: Calculator, x: string, count: number): string[] =>
  Array.from({ length: count }, (_, k) => (k ? c.add(x, k) : x));

/** log Γ of positive numbers: by Stirling's series of x + 8. */
function lgammaPositive(c: Calculator, x: string): string {
  const product = steps(c, x, 8).reduce((a, b) => c.mul(a, b));
  const y = c.add(x, 8);
  const u = c.div(1, y);
  const main = c.mul(c.sub(y, 0.5), c.sub(c.log(y), 1));
  const far = c.add(c.add(main, 0.5 * Math.log(2 * Math.PI) - 0.5), c.mul(u, c.series(c.square(u), SERIES.stirling)));
  // Beyond 8 without the steps, whose product would overflow.
  const v = c.div(1, x);
  const direct = c.mul(c.sub(x, 0.5), c.sub(c.log(x), 1));
  const large = c.add(
    c.add(direct, 0.5 * Math.log(2 * Math.PI) - 0.5),
    c.mul(v, c.series(c.square(v), SERIES.stirling)),
  );
  return c.where(c.less(8, x), large, c.sub(far, c.log(product)));
}

/** The argument to the right of zero, and π times what is over of it to the next whole number. */
const reflected = (c: Calculator, x: string) => ({
  positive: c.where(c.less(0, x), x, c.sub(1, x)),
  turn: c.mul(Math.PI, c.sub(x, c.round(x))),
});

const lgamma: Special = (c, x) => {
  const { positive, turn } = reflected(c, x);
  const right = lgammaPositive(c, positive);
  const left = c.sub(c.sub(Math.log(Math.PI), c.log(c.abs(c.sin(turn)))), right);
  return c.where(c.less(0, x), right, left);
};

const digamma: Special = (c, x) => {
  const { positive, turn } = reflected(c, x);
  const sum = steps(c, positive, 6)
    .map((y) => c.div(1, y))
    .reduce((a, b) => c.add(a, b));
  const y = c.add(positive, 6);
  const z = c.div(1, c.square(y));
  const far = c.sub(c.sub(c.log(y), c.div(0.5, y)), c.mul(z, c.series(z, SERIES.digamma)));
  const right = c.sub(far, sum);
  return c.where(c.less(0, x), right, c.sub(right, c.div(c.mul(Math.PI, c.cos(turn)), c.sin(turn))));
};

const trigamma: Special = (c, x) => {
  const { positive, turn } = reflected(c, x);
  const sum = steps(c, positive, 6)
    .map((y) => c.div(1, c.square(y)))
    .reduce((a, b) => c.add(a, b));
  const u = c.div(1, c.add(positive, 6));
  const z = c.square(u);
  const far = c.add(c.add(u, c.mul(0.5, z)), c.mul(c.mul(u, z), c.series(z, SERIES.trigamma)));
  const right = c.add(far, sum);
  return c.where(c.less(0, x), right, c.sub(c.square(c.div(Math.PI, c.sin(turn))), right));
};

/** A Bessel function of an imaginary argument, of order 0 or 1; with `scaled` times e^−|x|. */
const bessel =
  (order: 0 | 1, scaled: boolean): Special =>
  (c, x) => {
    const m = c.abs(x);
    const near = c.series(c.square(m), order ? SERIES.besselNear1 : SERIES.besselNear0);
    const inside = order ? c.mul(x, near) : near;
    const u = c.div(1, m);
    const far = c.div(c.series(u, order ? SERIES.besselFar1 : SERIES.besselFar0), c.sqrt(m));
    const outside = order ? c.mul(c.sign(x), far) : far;
    return c.where(
      c.less(m, 7),
      scaled ? c.mul(c.exp(c.neg(m)), inside) : inside,
      scaled ? outside : c.mul(c.exp(m), outside),
    );
  };

const entr: Special = (c, x) => c.where(c.equal(x, 0), 0, c.where(c.less(x, 0), -Infinity, c.neg(c.mul(x, c.log(x)))));

const sinc: Special = (c, x) => {
  const turn = c.mul(Math.PI, x);
  return c.where(c.equal(x, 0), 1, c.div(c.sin(turn), turn));
};

const functions = {
  ...{ erfinv, ndtri, logNdtr, lgamma, digamma, trigamma, entr, sinc },
  ...{ i0: bessel(0, false), i0e: bessel(0, true), i1: bessel(1, false), i1e: bessel(1, true) },
} satisfies Record<string, Special>;

/** By the names of operations; trigamma is polygamma(1). */
export const special = Object.fromEntries(
  Object.entries(functions).map(([name, f]) => [name, (e: Draft, x: string) => f(new Calculator(e), x)]),
) as Readonly<Record<keyof typeof functions, (e: Draft, x: string) => string>>;
