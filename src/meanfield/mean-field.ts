// MeanField: residual blocks as particles (θ, τ) of a continuous-depth network, sorted by their times after every update.
// Lu, Ma, Lu, Lu, Ying 2020, "A mean-field analysis of deep ResNet and beyond", Section 4.
import { rankParticles } from '../../shaders/particles';
import { add, mul, sub } from '../autograd/elementwise';
import { assume } from '../autograd/modes';
import { residualSteps } from '../autograd/residual-step';
import { device, InputError } from '../gpu';
import { Module } from '../nn/module';
import type { Keeper } from '../nn/parameter';
import { Parameter, State } from '../nn/parameter';
import { inputError } from '../tensor/context';
import { tensor, zeros } from '../tensor/create';
import { bind, copyInto, evaluate } from '../tensor/elementwise';
import { permuteFirstAxis, permuteTensors } from '../tensor/rows';
import { initialRng } from '../tensor/seed';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';
import { expand } from './expansion';
import type { SolverOptions } from './ode';
import { solve } from './ode';
import type { Branch } from './runge-kutta';
import { stepLength } from './runge-kutta';

export interface MeanFieldOptions {
  /** Initial times: 'ordinal' 1 … n (default: every step is 1, the vanilla network), 'fraction' i/n, 'random' uniform in (0, 1), or numbers. */
  times?: 'ordinal' | 'fraction' | 'random' | readonly number[];
  /** Whether times are trained (default true). */
  trainTimes?: boolean;
  /** Keeps times ≥ 0 by clamping before the sort (default false: a negative first step is legal). */
  clampTimes?: boolean;
  /** Whether states such as running statistics travel with their particle (default) or stay at the position. */
  statistics?: 'particle' | 'position';
  /** What a particle's forward gives: f(x) (default), or with its skip connection g(x) = x + f(x), as the blocks of common networks do. */
  skip?: 'outside' | 'inside';
  /** Another solver of the continuous equation than eq. 4.1, or another way to its gradient. */
  solver?: SolverOptions;
}

/** A particle of a stage that is put together anew: a copy of the one at a position, with a time and an id of its own. */
export interface Placed {
  source: number;
  time: number;
  id: number;
}

/** What `telemetry()` reads back. */
export interface ParticleTelemetry {
  /** Times in ascending order. */
  tau: number[];
  /** The particle at each position, by the number it had at the start. */
  order: number[];
  /** Inversions that sorting removed since the last `telemetry()`: exchanges of neighbours. */
  swaps: number;
}

function initialTimes(times: MeanFieldOptions['times'], n: number): number[] {
  if (times === undefined || times === 'ordinal') return Array.from({ length: n }, (_, i) => i + 1);
  if (times === 'fraction') return Array.from({ length: n }, (_, i) => (i + 1) / n);
  if (times === 'random') {
    const rng = initialRng();
    return Array.from({ length: n }, () => rng.uniform()).sort((a, b) => a - b);
  }
  if (times.length !== n || times.some((t) => !Number.isFinite(t)))
    throw new InputError(`MeanField: times [${times.join(', ')}] must be ${n} finite numbers, one for each particle`);
  return [...times];
}

/**
 * n residual blocks with learned times: x ← x + (τ_l − τ_{l−1})·f_l(x), l = 0 … n−1, τ_{−1} = 0 (eq. 4.1). Any module that keeps the shape of
 * its input can be a particle. After every `optimizer.step()` call `sortParticles()` (or leave it to the Trainer): the particles are re-sorted
 * by time, and with a particle move its weights, its states, its time, its id and the optimizer's buffers of them. All of it stays on the GPU.
 *
 * `new MeanField(8, () => new Block(64))`, or `new MeanField([block0, block1, …])`. State-dict names tell positions: `0.conv1.weight`, `tau`.
 */
export class MeanField extends Module {
  readonly tau: Parameter;
  /** The particle at each position, by its number at the start. */
  readonly ids: State;
  readonly particles: readonly Module[];
  readonly options: Readonly<MeanFieldOptions>;
  readonly #swaps: State;
  #effects: Tensor | null = null;

  constructor(particles: readonly Module[], options?: MeanFieldOptions);
  constructor(count: number, factory: (position: number) => Module, options?: MeanFieldOptions);
  constructor(
    first: number | readonly Module[],
    second?: ((position: number) => Module) | MeanFieldOptions,
    third?: MeanFieldOptions,
  ) {
    super();
    const options = (typeof first === 'number' ? third : (second as MeanFieldOptions)) ?? {};
    if (typeof first === 'number') {
      if (!Number.isInteger(first) || first < 1)
        throw new InputError(`MeanField: ${first} particles; use a whole number of at least 1`);
      if (typeof second !== 'function') throw new InputError('MeanField: pass a function that makes one particle');
      this.particles = Array.from({ length: first }, (_, i) => second(i));
    } else this.particles = [...first];
    const n = this.particles.length;
    if (n < 1) throw new InputError('MeanField: at least one particle is needed');
    this.#checkAlike();
    this.options = options;
    this.tau = new Parameter(tensor(initialTimes(options.times, n)));
    this.tau.requiresGrad = options.trainTimes ?? true;
    this.ids = new State(tensor(Int32Array.from({ length: n }, (_, i) => i)), false);
    this.#swaps = new State(zeros([1], { dtype: 'uint32' }), false);
    if (options.times === 'random' || Array.isArray(options.times)) this.sortParticles();
  }

  /**
   * Turns blocks in a row into a mean-field stack that computes the same, bit for bit, until its times are trained: `MeanField.from(sequential)`.
   * The blocks are alike and keep the shape of their input. They hold their skip connection themselves, if they have one: f(x) = block(x) − x,
   * unless `skip: 'outside'` says that they are the branches.
   */
  static from(blocks: Iterable<Module>, options: MeanFieldOptions = {}): MeanField {
    return new MeanField([...blocks], { skip: 'inside', ...options });
  }

  /** What the particles add, f_l, in order. */
  get branches(): Branch[] {
    const inside = this.options.skip === 'inside';
    return this.particles.map((particle) => (x) => {
      const y = particle.forward(x as never) as Tensor;
      return inside ? sub(y, x) : y;
    });
  }

  override *children(): Iterable<[string, Module]> {
    for (const [i, particle] of this.particles.entries()) yield [String(i), particle];
  }

  override forward(x: Tensor): Tensor {
    const { solver, skip } = this.options;
    if (solver) return this.solve(x, solver);
    return skip === 'inside' ? this.particles.reduce(this.#blend, x) : residualSteps(x, this.branches, this.tau);
  }

  /** The continuous equation of these particles, by any method and with any number of steps. */
  solve(x: Tensor, options: SolverOptions = {}): Tensor {
    return solve(x, this.branches, this.tau, options);
  }

  /** The stage as an ensemble of shallow networks: its Taylor expansion of first or second order (see `expand`). */
  expand(x: Tensor, order: 1 | 2): Tensor {
    return expand(x, this.branches, this.tau, order);
  }

  /** (1 − Δ)·x + Δ·g(x): exactly g(x) where Δ is 1. */
  #blend = (x: Tensor, particle: Module, l: number): Tensor => {
    const g = particle.forward(x as never) as Tensor;
    if (!sameShape(x.shape, g.shape))
      throw inputError('MeanField', 'a block must keep the shape of its input', { x: x.shape, 'g(x)': g.shape });
    const delta = stepLength(this.tau, l);
    return add(mul(x, sub(1, delta)), mul(g, delta));
  };

  /** What moves in the sort beside weights and times: put side by side for several stages, one launch of a compiled step sorts them all. */
  get bookkeeping(): readonly Tensor[] {
    return [...this.particles.flatMap(statesOf), this.ids, this.#swaps];
  }

  /**
   * Sorts the particles by time, ascending and stable. Nothing is read back. Gradients belong to the old order and are dropped.
   */
  sortParticles(): void {
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
    const order = empty('sort particles', [n], 'uint32');
    device().launch(rankParticles(n), [bind(this.tau), bind(order), bind(this.#swaps)]);
    this.#arrange(order);
    order.dispose();
  }

  /** Position r gets all that belonged to the particle at position order[r], which is [n] uint32. */
  #arrange(order: Tensor): void {
    const move = (what: string, of: (particle: Module) => Tensor[]) =>
      permuteTensors(`${what} of particles`, this.particles.map(of), order);
    move('parameters', (p) => p.parameters());
    if (this.options.statistics !== 'position') move('states', statesOf);
    const rows = this.particles.map((particle) => particle.parameters());
    for (const keeper of this.#keepers(rows.flat()))
      for (const { name, buffers } of keeper.rowsOf(rows)) permuteTensors(`${name} of particles`, buffers, order);
    const ofTau = this.#keepers([this.tau]).flatMap((keeper) => keeper.rowsOf([[this.tau]]));
    for (const x of [this.tau, this.ids, ...ofTau.map(({ buffers }) => buffers[0][0])]) permuteFirstAxis(x, order);
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
   * Puts the stage together anew from copies of its particles, n of them in ascending order of their times: weights, states and the optimizer's
   * buffers are those of the source. What is named twice is there twice afterwards, what is not named is gone.
   */
  placeParticles(placed: readonly Placed[]): void {
    const n = this.particles.length;
    const bad = placed.find(
      ({ source, time }, i) => !this.particles[source] || !(i === 0 || time >= placed[i - 1].time),
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

  /** The particles' effects on the loss, summed by `countEffects` since the last births and deaths: they move with the particles. */
  get effects(): Tensor {
    this.#effects ??= new State(zeros(this.tau.shape), false);
    return this.#effects;
  }

  /** Reads times, order and the number of swaps since the last call. */
  async telemetry(): Promise<ParticleTelemetry> {
    const [times, order, swaps] = [await this.tau.data(), await this.ids.data(), await this.#swaps.item()];
    device().write(this.#swaps.storage, new Uint32Array(1));
    return { tau: [...times], order: [...order], swaps };
  }

  /** A state dict may come with times in any order. */
  protected override afterLoad(): void {
    this.sortParticles();
    device().write(this.#swaps.storage, new Uint32Array(1));
  }

  protected override describe(): string {
    const { times = 'ordinal', trainTimes = true } = this.options;
    return `${this.particles.length} particles, times=${typeof times === 'string' ? times : 'given'}${trainTimes ? '' : ', frozen'}`;
  }

  #checkAlike(): void {
    const signature = (particle: Module) =>
      [...particle.namedTensors()].map(([name, t]) => `${name} [${t.shape.join(', ')}]`);
    const first = signature(this.particles[0]);
    this.particles.forEach((particle, i) => {
      const other = signature(particle);
      const k =
        first.length > other.length
          ? first.findIndex((line, j) => line !== other[j])
          : other.findIndex((line, j) => line !== first[j]);
      if (k >= 0)
        throw new InputError(
          `MeanField: particles must be alike to change places, but particle 0 has ${first[k] ?? 'nothing'} where particle ${i} has ${other[k] ?? 'nothing'}`,
        );
    });
    const parameters = this.particles.flatMap((p) => p.parameters());
    if (new Set(parameters).size !== this.particles.length * this.particles[0].parameters().length)
      throw new InputError('MeanField: particles may not share parameters; make each with its own');
  }
}

function statesOf(particle: Module): Tensor[] {
  return [...particle.namedTensors()].map(([, t]) => t).filter((t) => t instanceof State);
}

/** Every MeanField in a module, with its name. */
export function* meanFieldsIn(module: Module): Iterable<[string, MeanField]> {
  for (const [name, m] of module.namedModules()) if (m instanceof MeanField) yield [name, m];
}
