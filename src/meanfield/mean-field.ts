// MeanField: residual blocks as particles (θ, τ) of a continuous-depth network, sorted by their times after every update.
// Lu, Ma, Lu, Lu, Ying 2020, "A mean-field analysis of deep ResNet and beyond", Section 4.

import { at, tuple } from '../../shaders/checked';
import { rankParticles } from '../../shaders/particles';
import { assume } from '../autograd/modes';
import { device, InputError, requireWhole } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import { type AnyModule, Module } from '../nn/module';
import type { Keeper } from '../nn/parameter';
import { Parameter, State } from '../nn/parameter';
import { add, mul, sub } from '../ops/elementwise';
import { concat } from '../ops/join';
import { residualSteps } from '../ops/residual-step';
import { narrow } from '../ops/views';
import { inputError } from '../tensor/context';
import { hostValues, tensor, zeros } from '../tensor/create';
import { bind, copyInto, evaluate } from '../tensor/elementwise';
import { permuteFirstAxis, permuteTensors } from '../tensor/rows';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';
import { difference, type Likeness } from './alike';
import { expand } from './expansion';
import { type ParticleHookOptions, particleHook } from './hooks';
import type { SolverOptions } from './ode';
import { SOLVER, solve } from './ode';
import type { Branch } from './runge-kutta';
import { stepLength } from './runge-kutta';
import type { ParticleTelemetry, Placed, Stage } from './stage';
import { initialTimes, type TimeOptions } from './times';

/** Times, sorting, gradient scaling and solver of a stage of particles. */
export interface MeanFieldOptions extends TimeOptions {
  /** Whether times are trained (default true). */
  trainTimes?: boolean;
  /**
   * Whether particles change places when their times cross (default true). Without, `sortParticles()` leaves them where they are, and a step
   * τ_l − τ_{l−1} may become negative: to see what re-sorting does.
   */
  sort?: boolean;
  /**
   * 'mean-field' scales the gradients of weights and times by n over the mass of time at the start (by n for times i/n, by 1 for 1 … n): plain
   * gradient descent then follows the flow (3.14), in which a particle's rate does not depend on how many others there are. `SGD` obeys it, and
   * leaves weight decay as it is. Default: 'none', the gradients as they are.
   */
  scaling?: 'none' | 'mean-field';
  /** Keeps times ≥ 0 by clamping before the sort (default false: a negative first step is legal). */
  clampTimes?: boolean;
  /** Whether states such as running statistics travel with their particle (default) or stay at the position. */
  statistics?: 'particle' | 'position';
  /** What a particle's forward gives: f(x) (default), or with its skip connection g(x) = x + f(x), as the blocks of common networks do. */
  skip?: 'outside' | 'inside';
  /** Another solver of the continuous equation than eq. 4.1, or another way to its gradient. */
  solver?: SolverOptions;
}

const OPTIONS: OptionTable<MeanFieldOptions> = {
  times: either(word('ordinal', 'fraction', 'random'), is.numbers),
  interval: word('end', 'start'),
  end: is.number,
  trainTimes: is.flag,
  sort: is.flag,
  scaling: word('none', 'mean-field'),
  clampTimes: is.flag,
  statistics: word('particle', 'position'),
  skip: word('outside', 'inside'),
  solver: is.object,
};

/** Particles of a stack: each is a module of its own. */
const MOST_PARTICLES = 10_000;

/**
 * n residual blocks with learned times: x ← x + (τ_l − τ_{l−1})·f_l(x), l = 0 … n−1, τ_{−1} = 0 (eq. 4.1). Any module that keeps the shape of
 * its input can be a particle. After every `optimizer.step()` call `sortParticles()` (the Trainer does): the particles are re-sorted
 * by time, and with a particle move its weights, its states, its time, its id and the optimizer's buffers of them. All of it stays on the GPU.
 *
 * `new MeanField(8, () => new Block(64))`, or `new MeanField([block0, block1, …])`. State-dict names tell positions: `0.conv1.weight`, `tau`.
 */
export class MeanField extends Module implements Stage {
  /** Times of the particles by position [n], ascending while they are sorted. */
  readonly tau: Parameter;
  /** The particle at each position, by its number at the start. */
  readonly ids: State;
  /** The branches f by position on the axis of time; sorting exchanges their weights, not the objects. */
  readonly particles: readonly Module[];
  /** As they were given, without defaults. */
  readonly options: Readonly<MeanFieldOptions>;
  readonly #swaps: State;
  #effects: Tensor | null = null;
  /** The end of time where intervals start at the particles' times; null where the last particle's time is the end. */
  readonly end: number | null;
  readonly #end: Tensor | null;
  /** Whether one factory made all particles without being told their positions. */
  readonly #oneFactory: boolean;

  constructor(particles: readonly Module[], options?: MeanFieldOptions);
  constructor(count: number, factory: (position: number) => Module, options?: MeanFieldOptions);
  constructor(
    first: number | readonly Module[],
    second?: ((position: number) => Module) | MeanFieldOptions,
    third?: MeanFieldOptions,
  ) {
    super();
    const options = (typeof first === 'number' ? third : (second as MeanFieldOptions)) ?? {};
    checked('MeanField', options, OPTIONS);
    if (options.solver) checked('MeanField: solver', options.solver, SOLVER);
    if (typeof first === 'number') {
      requireWhole('MeanField: the number of particles', first, 1, MOST_PARTICLES);
      if (typeof second !== 'function') throw new InputError('MeanField: pass a function that makes one particle');
      this.particles = Array.from({ length: first }, (_, i) => second(i));
    } else this.particles = [...first];
    this.listedByHand('particles');
    const n = this.particles.length;
    if (n < 1) throw new InputError('MeanField: at least one particle is needed');
    this.#oneFactory = typeof second === 'function' && second.length === 0;
    this.#checkAlike();
    this.options = options;
    const { times, end, mass } = initialTimes(options, n);
    this.tau = new Parameter(tensor(times));
    this.end = end;
    this.#end = end === null ? null : tensor([end]).keep();
    this.tau.requiresGrad = options.trainTimes ?? true;
    this.ids = new State(tensor(Int32Array.from({ length: n }, (_, i) => i)), false);
    this.#swaps = new State(zeros([1], { dtype: 'uint32' }), false);
    if (options.scaling === 'mean-field') {
      if (!(mass > 0)) throw new InputError(`MeanField: scaling needs times that take more than ${mass} in all`);
      for (const p of this.parameters()) p.gradientScale = n / mass;
    }
    if (times.some((t, i) => i > 0 && t < at(times, i - 1)) && this.#sorts) {
      this.checkMovable();
      this.#settle();
    }
  }

  /**
   * Turns blocks in a row into a mean-field stack that computes the same, bit for bit, until its times are trained: `MeanField.from(sequential)`.
   * The blocks are alike and keep the shape of their input. They hold their skip connection themselves, if they have one: f(x) = block(x) − x,
   * unless `skip: 'outside'` says that they are the branches.
   */
  static from(blocks: Iterable<Module>, options: MeanFieldOptions = {}): MeanField {
    return new MeanField([...blocks], { skip: 'inside', ...options });
  }

  /**
   * The Trainer's hook for the stages of a model, which it uses for every model that has some: sorts the particles after each step and logs
   * their times and orders. With options in the Trainer's `hooks`: births and deaths, permutations between epochs.
   */
  static trainerHook(model: AnyModule, options?: ParticleHookOptions) {
    return particleHook(() => meanFieldsIn(model), options);
  }

  /** What the particles add, f_l, in order. */
  get branches(): Branch[] {
    const inside = this.options.skip === 'inside';
    return this.particles.map((particle) => (x) => {
      const y = particle.forward(x);
      return inside ? sub(y, x) : y;
    });
  }

  /**
   * Where the particles' intervals end [n], counted from where the first begins: the step Δ_l is the difference to the end before. The times
   * themselves, unless intervals start at them.
   */
  get ends(): Tensor {
    if (!this.#end) return this.tau;
    const n = this.particles.length;
    const after = n > 1 ? concat([narrow(this.tau, 0, 1, n - 1), this.#end], 0) : this.#end;
    return sub(after, narrow(this.tau, 0, 0, 1));
  }

  override *children(): Iterable<[string, Module]> {
    for (const [i, particle] of this.particles.entries()) yield [String(i), particle];
    yield* super.children(); // a subclass may have fields of its own
  }

  override forward(x: Tensor): Tensor {
    const { solver, skip } = this.options;
    if (solver) return this.solve(x, solver);
    const { ends } = this;
    if (skip !== 'inside') return residualSteps(x, this.branches, ends);
    return this.particles.reduce((y, particle, l) => this.#blend(y, particle, stepLength(ends, l)), x);
  }

  /** The continuous equation of these particles, by any method and with any number of steps. */
  solve(x: Tensor, options: SolverOptions = {}): Tensor {
    return solve(x, this.branches, this.ends, options);
  }

  /** The stage as an ensemble of shallow networks: its Taylor expansion of first or second order (see `expand`). */
  expand(x: Tensor, order: 1 | 2): Tensor {
    return expand(x, this.branches, this.ends, order);
  }

  /** (1 − Δ)·x + Δ·g(x): exactly g(x) where Δ is 1. */
  #blend(x: Tensor, particle: Module, delta: Tensor): Tensor {
    const g = particle.forward(x);
    if (!sameShape(x.shape, g.shape))
      throw inputError('MeanField', 'a block must keep the shape of its input', { x: x.shape, 'g(x)': g.shape });
    return add(mul(x, sub(1, delta)), mul(g, delta));
  }

  /** What moves in the sort beside weights and times: put side by side for several stages, one launch of a compiled step sorts them all. */
  get bookkeeping(): readonly Tensor[] {
    return [...this.particles.flatMap(statesOf), this.ids, this.#swaps];
  }

  /**
   * Sorts the particles by time, ascending and stable. Nothing is read back. Gradients belong to the old order and are dropped. Throws
   * InputError, before anything moves, where one of them was set apart: what is set on a module or a parameter stays at its position.
   */
  sortParticles(): void {
    if (this.#sorts) this.checkMovable();
    this.#sort(true);
  }

  get #sorts(): boolean {
    return this.options.sort ?? true;
  }

  /** In training what optimizers keep moves along; values that were just set have nothing there. */
  #sort(training: boolean): void {
    const n = this.particles.length;
    if (this.options.clampTimes) {
      const clamped = evaluate({
        name: 'clamp times',
        expression: 'relu(a)',
        operands: { a: this.tau },
        shape: [n],
        result: 'float32',
      });
      copyInto(this.tau, clamped);
      clamped.dispose();
    }
    if (!this.#sorts) return;
    const order = empty('sort particles', [n], 'uint32');
    device().launch(rankParticles(n), [bind(this.tau), bind(order), bind(this.#swaps)]);
    this.#arrange(order, training);
    order.dispose();
  }

  /** Position r gets all that belonged to the particle at position order[r], which is [n] uint32. */
  #arrange(order: Tensor, withKept = true): void {
    const rows = this.particles.map((particle) => particle.parameters());
    const rowsOf = (list: readonly (readonly Parameter[])[], places: ArrayLike<number> | null) =>
      this.#keepers(list.flat()).flatMap((keeper) => keeper.rowsOf(list, places));
    // First what may be refused. The times are one parameter: its elements change places, its count of updates stays.
    const [kept, ofTau] = withKept ? [rowsOf(rows, hostValues(order)), rowsOf([[this.tau]], [0])] : [[], []];
    const move = (what: string, list: readonly (readonly Tensor[])[]) =>
      permuteTensors(`${what} of particles`, list, order);
    move('parameters', rows);
    if (this.options.statistics !== 'position') move('states', this.particles.map(statesOf));
    for (const { name, buffers } of kept) move(name, buffers);
    for (const x of [this.tau, this.ids, ...ofTau.map(({ buffers }) => at(at(buffers, 0), 0))])
      permuteFirstAxis(x, order);
    if (this.#effects) permuteFirstAxis(this.#effects, order);
    this.zeroGrad();
  }

  /** The optimizers of some parameters. A compiled step that moves their buffers holds as long as there is no further one. */
  #keepers(parameters: readonly Parameter[]): Keeper[] {
    const now = () => new Set(parameters.flatMap((parameter) => parameter.keepers));
    const known = new WeakSet(now());
    assume(parameters, () => [...now()].every((keeper) => known.has(keeper)));
    return [...now()];
  }

  /**
   * Puts the stage together again from copies of its particles, n of them in ascending order of their times: weights, states and the optimizer's
   * buffers are those of the source. What is named twice is there twice afterwards, what is not named is gone.
   */
  placeParticles(placed: readonly Placed[]): void {
    const n = this.particles.length;
    const bad = placed.find(
      ({ source, time }, i) => !this.particles[source] || !(i === 0 || time >= at(placed, i - 1).time),
    );
    if (placed.length !== n || bad)
      throw new InputError(`MeanField: ${n} particles in ascending order are needed, not ${JSON.stringify(placed)}`);
    const order = tensor(Uint32Array.from(placed, ({ source }) => source));
    this.#arrange(order);
    order.dispose();
    const times = Float32Array.from(placed, ({ time }) => time);
    const ids = Int32Array.from(placed, ({ id }) => id);
    device().write(this.tau.storage, times);
    device().write(this.ids.storage, ids);
    for (const x of [this.tau, this.ids]) x.memory.written();
  }

  /** Puts the particles into another order over the same times: position r gets all but the time of the particle at order[r]. */
  async permute(order: ArrayLike<number>): Promise<void> {
    const read = await Promise.all([this.tau, this.ids].map(async (x) => [...(await x.data())]));
    const [tau, ids] = tuple(read, 2);
    const sources = Array.from(order);
    if (new Set(sources).size !== tau.length || !sources.every((source) => source in ids))
      throw new InputError(`MeanField.permute: [${sources}] is no order of ${tau.length} particles`);
    this.placeParticles(sources.map((source, r) => ({ source, time: at(tau, r), id: at(ids, source) })));
  }

  /** The particles' effects on the loss, summed by `countEffects` since the last births and deaths: they move with the particles. */
  get effects(): Tensor {
    this.#effects ??= new State(zeros(this.tau.shape), false);
    return this.#effects;
  }

  /** Reads times, order and the number of swaps since the last call. */
  async telemetry(): Promise<ParticleTelemetry> {
    const [times, order, swaps] = await Promise.all([this.tau.data(), this.ids.data(), this.#swaps.item()]);
    device().write(this.#swaps.storage, new Uint32Array(1));
    return { tau: [...times], order: [...order], swaps };
  }

  /**
   * Refuses particles that may not change places: all that a user sets on one of them must be set on all; with `anyMode` all but `train()` and
   * `eval()`, which come later.
   */
  checkMovable(anyMode = false): void {
    const apart = this.#difference({ sameSource: this.#oneFactory, moving: true, anyMode });
    if (apart)
      throw new InputError(
        `MeanField: particles cannot change places, for ${apart}, which would not follow its particle. Set all particles alike, or make the ` +
          'stage with sort: false',
      );
  }

  /**
   * A state dict may come with times in any order, and, unless it tells the particles' numbers (checkpoints do), the loaded particles are new
   * ones: they are numbered again, as they stand in it.
   */
  protected override afterLoad(loaded: ReadonlySet<Tensor>): void {
    const n = this.particles.length;
    if (loaded.has(this.tau) && !loaded.has(this.ids)) {
      device().write(
        this.ids.storage,
        Int32Array.from({ length: n }, (_, i) => i),
      );
      this.ids.memory.written();
    }
    this.#settle();
  }

  /** Sorts times that were just set: that is no exchange of particles in training. */
  #settle(): void {
    this.#sort(false);
    device().write(this.#swaps.storage, new Uint32Array(1));
    this.#swaps.memory.written();
  }

  protected override describe(): string {
    const { times = 'ordinal', trainTimes = true } = this.options;
    return `${this.particles.length} particles, times=${typeof times === 'string' ? times : 'given'}${trainTimes ? '' : ', frozen'}`;
  }

  /** The first difference of a particle to the first one, with its position. */
  #difference(likeness: Likeness): string | null {
    const [first, ...others] = this.particles;
    if (!first) return null;
    for (const [i, other] of others.entries()) {
      const found = difference(first, other, likeness);
      if (found) return `of particle 0 ${found} as of particle ${i + 1}`;
    }
    return null;
  }

  #checkAlike(): void {
    const apart = this.#difference({ sameSource: this.#oneFactory, moving: false });
    if (apart)
      throw new InputError(
        `MeanField: particles must be alike in all but their weights to change places, but ${apart}. (Functions of their own are fine where a ` +
          'factory without arguments makes all particles; else define them once, or as methods.)',
      );
    const owned = this.particles.map((particle) => [...particle.namedTensors()].map(([, t]) => t));
    if (new Set(owned.flat()).size !== owned.flat().length)
      throw new InputError('MeanField: particles may not share parameters or states; make each with its own');
  }
}

function statesOf(particle: Module): Tensor[] {
  return [...particle.namedTensors()].map(([, t]) => t).filter((t) => t instanceof State);
}

/** Every MeanField in a module, with its name. */
export function* meanFieldsIn(module: AnyModule): Iterable<[string, MeanField]> {
  for (const [name, m] of module.namedModules()) if (m instanceof MeanField) yield [name, m];
}
