// L-BFGS: a quasi-Newton method for whole batches, which evaluates the loss several times in a step.
import { at, tuple } from '../../shaders/checked';
import { detach, noGrad } from '../autograd/tape';
import { device, InputError } from '../gpu';
import { assign_ } from '../ops/assign';
import { abs, add, div, mul, neg, reciprocal, sub } from '../ops/elementwise';
import { concat } from '../ops/join';
import { max, sum } from '../ops/reduce';
import { narrow, reshape } from '../ops/views';
import { hostValues, tensor, zeros } from '../tensor/create';
import { endStep } from '../tensor/memory';
import type { Tensor } from '../tensor/tensor';
import { type Point, strongWolfe } from './line-search';
import { Optimizer, type Params, requireNonNegative } from './optimizer';
import type { Rule } from './rule';
import { groupTensors, savedOptions, setOptions } from './state-dict';

/** Options of `optim.LBFGS`, with PyTorch's defaults. */
export interface LBFGSOptions {
  /** Length of a step along the direction, without a line search (default 1). */
  lr: number;
  /** Most iterations in a step; 20 by default. */
  maxIter: number;
  /** Most evaluations of the loss in a step; null (the default): maxIter · 1.25. */
  maxEval: number | null;
  /** Ends a step where no gradient is larger. */
  toleranceGrad: number;
  /** Ends a step where neither loss nor weights change more. */
  toleranceChange: number;
  /** Steps that the curvature is told from. */
  historySize: number;
  /** How far to go along a direction; null (the default): `lr`. */
  lineSearchFn: 'strong_wolfe' | null;
}

/** Zeroes the gradients, computes the loss, calls `backward()` and returns the loss. */
export type Closure = () => Tensor | Promise<Tensor>;

/** What is kept between steps; vectors are those of all parameters in a row. */
interface Memory {
  direction: Tensor;
  step: number;
  gradient: Tensor;
  loss: number;
  /** Changes of the gradient and of the weights, and the inverse of their product, oldest first. */
  pairs: { y: Tensor; s: Tensor; rho: Tensor }[];
  scale: Tensor;
}

const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b));
const largest = (a: Tensor): Tensor => max(abs(a));

/**
 * L-BFGS as `torch.optim.LBFGS`, with its choices of steps and ends. `step` takes the closure that evaluates the loss, and is async since it reads losses:
 *
 *     await optimizer.step(() => {
 *       optimizer.zeroGrad();
 *       const loss = F.mseLoss(model.forward(x), y);
 *       loss.backward();
 *       return loss;
 *     });
 *
 * All parameters are one group. Vectors stay on the GPU, float32 as the rest.
 */
export class LBFGS extends Optimizer<LBFGSOptions> {
  /** Iterations and evaluations so far. */
  iterations = 0;
  /** Calls of the closure so far. */
  evaluations = 0;
  #memory: Memory | null = null;

  constructor(params: Params<LBFGSOptions>, options: Partial<LBFGSOptions> = {}) {
    const tolerances = { toleranceGrad: 1e-7, toleranceChange: 1e-9 };
    const defaults = { lr: 1, maxIter: 20, maxEval: 0, ...tolerances, historySize: 100, lineSearchFn: null };
    super(params, defaults, { ...options, maxEval: options.maxEval ?? 0 });
    if (this.groups.length !== 1) throw new InputError('LBFGS: all parameters are one group');
  }

  protected override check({ lr, maxIter, maxEval, historySize, lineSearchFn, ...rest }: LBFGSOptions): void {
    const { toleranceGrad, toleranceChange } = rest;
    requireNonNegative(this, { lr, maxIter, maxEval: maxEval ?? 0, historySize, toleranceGrad, toleranceChange });
    if (lineSearchFn !== null && lineSearchFn !== 'strong_wolfe')
      throw new InputError(`LBFGS: lineSearchFn '${lineSearchFn}' must be 'strong_wolfe' or null`);
  }

  /** Not used: a step here is more than a rule for each number. */
  protected override rule(): Rule<LBFGSOptions> {
    return { code: 'x -= lr * d;' };
  }

  override get steps(): number {
    return this.iterations;
  }

  /** Gradients of all parameters in a row; zeros where there is none. */
  #gradient(): Tensor {
    return noGrad(() =>
      concat(
        [...this.parameters()].map(({ grad, size }) => (grad ? reshape(detach(grad), [size]) : zeros([size]))),
        0,
      ),
    ).keep();
  }

  /** Moves all parameters by t · direction. */
  #move(direction: Tensor, t: number): void {
    let from = 0;
    noGrad(() => {
      for (const p of this.parameters()) {
        assign_(detach(p), add(p, mul(reshape(narrow(direction, 0, from, p.size), p.shape), t)));
        from += p.size;
      }
    });
  }

  async #evaluate(closure: Closure): Promise<{ loss: Tensor; value: number; gradient: Tensor }> {
    const loss = await closure();
    this.evaluations++;
    const gradient = this.#gradient();
    return { loss, value: await loss.item(), gradient };
  }

  /** The quasi-Newton direction from the gradient and the pairs: the two loops of Nocedal (1980). */
  #direction(gradient: Tensor, { pairs, scale }: Memory): Tensor {
    return noGrad(() => {
      let q = neg(gradient);
      const shares: Tensor[] = [];
      for (const { y, s, rho } of pairs.toReversed()) {
        const share = mul(dot(s, q), rho);
        q = sub(q, mul(y, share));
        shares.unshift(share);
      }
      let r = mul(q, scale);
      pairs.forEach(({ y, s, rho }, i) => {
        r = add(r, mul(s, sub(at(shares, i), mul(dot(y, r), rho))));
      });
      return r.keep();
    });
  }

  /** Takes in what the last step has told of the curvature. */
  async #remember(memory: Memory, gradient: Tensor, size: number): Promise<void> {
    const { y, s, ys } = noGrad(() => {
      const y = sub(gradient, memory.gradient);
      const s = mul(memory.direction, memory.step);
      return { y, s, ys: dot(y, s) };
    });
    if (!((await ys.item()) > 1e-10)) return;
    if (memory.pairs.length === size) memory.pairs.shift();
    noGrad(() => {
      memory.pairs.push({ y: y.keep(), s: s.keep(), rho: reciprocal(ys).keep() });
      memory.scale = div(ys, dot(y, y)).keep();
    });
  }

  /** One step: up to `maxIter` iterations. Resolves to the loss before it. Throws InputError without a closure. */
  override async step(closure?: Closure): Promise<Tensor> {
    if (typeof closure !== 'function')
      throw new InputError('LBFGS: step takes a closure that zeroes gradients, calls backward and returns the loss');
    const group = at(this.groups, 0);
    const { lr, maxIter, toleranceGrad, toleranceChange, historySize, lineSearchFn } = group;
    const maxEval = group.maxEval || Math.floor(maxIter * 1.25);
    const before = this.evaluations;
    const first = await this.#evaluate(closure);
    let { value, gradient } = first;
    const isOptimal = async () => (await noGrad(() => largest(gradient)).item()) <= toleranceGrad;
    if (await isOptimal()) return first.loss;
    for (let n = 1; n <= maxIter; n++) {
      this.iterations++;
      let memory = this.#memory;
      const fresh = this.iterations === 1 || !memory;
      if (memory && !fresh) {
        await this.#remember(memory, gradient, historySize);
        memory.direction = this.#direction(gradient, memory);
      } else {
        const direction = noGrad(() => neg(gradient)).keep();
        memory = { direction, step: 0, gradient, loss: value, pairs: [], scale: tensor(1) };
      }
      this.#memory = memory;
      const { direction } = memory;
      const previous = value;
      memory.gradient = gradient;
      memory.loss = value;
      const measures = noGrad(() =>
        concat(
          [dot(gradient, direction), sum(abs(gradient)), largest(direction)].map((x) => reshape(x, [1])),
          0,
        ),
      );
      const [along, total, length] = tuple([...(await measures.data())], 3);
      memory.step = fresh ? Math.min(1, 1 / total) * lr : lr;
      if (along > -toleranceChange) break;
      if (lineSearchFn) {
        const [point] = await this.#search(closure, { t: 0, value, slope: along, gradient }, memory, {
          length,
          tolerance: toleranceChange,
          most: maxEval - (this.evaluations - before),
        });
        ({ value, gradient } = point);
        memory.step = point.t;
      } else {
        this.#move(direction, memory.step);
        if (n !== maxIter) ({ value, gradient } = await this.#evaluate(closure));
      }
      if (n === maxIter || this.evaluations - before >= maxEval) break;
      if (await isOptimal()) break;
      if (length * Math.abs(memory.step) <= toleranceChange || Math.abs(value - previous) < toleranceChange) break;
    }
    device().effect(endStep);
    return first.loss;
  }

  /** Goes along the direction to a point of the line search. */
  async #search(
    closure: Closure,
    start: Point<Tensor>,
    { direction, step }: Memory,
    options: { length: number; tolerance: number; most: number },
  ): Promise<[Point<Tensor>]> {
    const origins = [...this.parameters()].map((p) => [p, noGrad(() => add(p, 0))] as const);
    const goTo = (t: number) => {
      noGrad(() => {
        for (const [p, origin] of origins) assign_(detach(p), origin);
      });
      this.#move(direction, t);
    };
    const at = async (t: number): Promise<Point<Tensor>> => {
      goTo(t);
      const { value, gradient } = await this.#evaluate(closure);
      return { t, value, gradient, slope: await noGrad(() => dot(gradient, direction)).item() };
    };
    const { point } = await strongWolfe(at, start, step, options);
    goTo(point.t);
    return [point];
  }

  /** The memory of the curvature and the counters, as tensors by PyTorch's names in camelCase. Empty before the first step. */
  override stateDict(): Record<string, Tensor> {
    const memory = this.#memory;
    if (!memory) return {};
    const { pairs } = memory;
    const dict: Record<string, Tensor> = {
      '0.nIter': tensor(this.iterations, { dtype: 'int32' }),
      '0.funcEvals': tensor(this.evaluations, { dtype: 'int32' }),
      '0.d': memory.direction,
      '0.t': tensor(memory.step),
      '0.prevFlatGrad': memory.gradient,
      '0.prevLoss': tensor(memory.loss),
      '0.hDiag': memory.scale,
    };
    pairs.forEach(({ y, s, rho }, i) =>
      Object.assign(dict, { [`0.oldDirs.${i}`]: y, [`0.oldStps.${i}`]: s, [`0.ro.${i}`]: rho }),
    );
    return Object.assign(dict, groupTensors(this.groups));
  }

  /** Restores what `stateDict` gave. Throws InputError where it does not fit; nothing is changed then. */
  override loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    const options = savedOptions(dict, this.groups);
    const size = [...this.parameters()].reduce((n, p) => n + p.size, 0);
    const number = (name: string) => {
      const value = dict[name] && hostValues(dict[name])?.[0];
      if (value === undefined)
        throw new InputError(`LBFGS: the state dict has no '${name}' that can be read here; nothing was loaded`);
      return value;
    };
    const copied = (name: string) => {
      if (!dict[name]) throw new InputError(`LBFGS: the state dict has no '${name}'; nothing was loaded`);
      return add(dict[name], 0);
    };
    const vector = (name: string) => {
      if (dict[name]?.size !== size)
        throw new InputError(`LBFGS: the saved '${name}' does not fit ${size} weights; nothing was loaded`);
      return add(dict[name], 0).keep();
    };
    if (!Object.keys(dict).length) {
      this.#memory = null;
      this.iterations = this.evaluations = 0;
      return;
    }
    const count = Object.keys(dict).filter((key) => key.startsWith('0.ro.')).length;
    const pairs = Array.from({ length: count }, (_, i) => ({
      y: vector(`0.oldDirs.${i}`),
      s: vector(`0.oldStps.${i}`),
      rho: copied(`0.ro.${i}`),
    }));
    const memory = {
      direction: vector('0.d'),
      step: number('0.t'),
      gradient: vector('0.prevFlatGrad'),
      loss: number('0.prevLoss'),
      pairs,
      scale: copied('0.hDiag'),
    };
    [this.iterations, this.evaluations] = [number('0.nIter'), number('0.funcEvals')];
    this.#memory = memory;
    setOptions(this.groups, options);
  }
}
