// The neural feature flow of Fang et al. 2020 (Definition 1), the limit of Algorithm 1 for infinite width: an ODE for the weights *and* the
// features of particles, by forward Euler.
//
//   backward   D_{L+1} = φ′(β_{L+1}, y)                          D^β_L = [D_{L+1} v_{L+1}] ∘ h1′(β_L)
//              D^α_l = D^β_l ∘ h2′(α_l)                          D^β_{l−1} = D^β_l + [∫ v_l D^α_l dp] ∘ h1′(β_{l−1})
//   drift      G_{L+1} = h1(β_L)ᵀ D_{L+1} / N                    G_l = h1(β_{l−1})ᵀ D^α_l / N         G_1 = Xᵀ D^β_1 / N
//              G^β_1 = X G_1 / d                                 G^β_{l+1} = G^β_l + G^α_{l+1} ∘ h2′(α_{l+1})
//              G^α_{l+1} = ∫ v_{l+1} [h1′(β_l) ∘ G^β_l] dp + (1/N) [∫ h1 h1ᵀ(β_l) dp] D^α_{l+1}
//   step       every quantity moves by −Δt·G

import { at, mapTuple, tuple } from '../../shaders/checked';
import { TILE } from '../../shaders/low-rank';
import { grad } from '../autograd/backward';
import { detach, enableGrad, scopedNoGrad } from '../autograd/tape';
import { InputError } from '../gpu';
import { checked, is, word } from '../gpu/options';
import { abs, add, mul, sub } from '../ops/elementwise';
import { matmul } from '../ops/matmul';
import { pad } from '../ops/pad';
import { max } from '../ops/reduce';
import { narrow, reshape, transpose } from '../ops/views';
import { inputError } from '../tensor/context';
import { full } from '../tensor/create';
import { evaluate } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { strided } from '../tensor/tensor';
import type { Activation } from './activation';
import { activation } from './activation';
import type { FlowStart } from './flow-start';
import { cholesky, matrixTensor } from './flow-start';
import { FlowWeights } from './flow-weights';
import { pseudoHuber } from './loss';
import { Matrix } from './matrix';

/** Activations, loss and form of the flow. */
export interface FeatureFlowOptions {
  /**
   * 'flow' moves the features by their own drift, as Definition 1 has it; 'gd' computes them again from the weights: Algorithm 1 on a net whose
   * units are the particles. Both have the same limit for Δt → 0.
   */
  mode?: 'flow' | 'gd';
  /** Default: those of the start, else tanh. Others than the start's are refused: its Gram matrices are of its own. */
  h1?: Activation;
  /** h2, of residuals; as `h1`, that of the start. */
  h2?: Activation;
  /** φ, of outputs [N] and targets [N], averaged over the samples (default: pseudo-Huber). */
  loss?: (output: Tensor, target: Tensor) => Tensor;
}

/** Step size, error bound and callback of `FeatureFlow.run`. */
export interface RunOptions {
  /** Δt: the largest step, and the spacing of what is recorded. */
  dt: number;
  /**
   * A step whose error in β_L (largest over samples and particles, ½Δt·|G^β_L after − before|) would exceed this is halved, as often as needed,
   * and doubled again where a quarter of it is met. Default: every step is Δt.
   */
  tolerance?: number;
  /** Called with k, the loss and the time at t = 0, Δt, 2Δt … and at the end. It is awaited, and may read the flow. */
  onStep?: (k: number, loss: number, time: number) => void | Promise<void>;
}

/** Into so many parts Δt can be divided by halving: integers, so that halved and doubled steps meet k·Δt exactly. */
const PARTS = 2 ** 20;

/** What moves, but for the weights between hidden layers. Arrays are indexed by l. */
interface State {
  readonly first: Tensor;
  readonly features: readonly Tensor[];
  readonly residuals: readonly Tensor[];
  readonly readout: Tensor;
}

interface Drift {
  readonly loss: Tensor;
  readonly first: Tensor;
  readonly readout: Tensor;
  /** h1(β_l) and D^α_l: G_l = h1(β_{l−1})ᵀ D^α_l / N. */
  readonly sources: readonly Tensor[];
  readonly targets: readonly Tensor[];
  /** G^β_l and G^α_l; empty where nobody asked. */
  readonly features: readonly Tensor[];
  readonly residuals: readonly Tensor[];
}

/** An expression of tensors that broadcast to the first of them, in one launch. */
const fused = (expression: string, operands: Record<string, Tensor>, ...scalars: number[]): Tensor => {
  const { shape } = at(Object.values(operands), 0);
  return evaluate({ name: 'feature flow', expression, operands, scalars, shape, result: 'float32' });
};

const tensorsOf = (part: State | Drift): Tensor[] =>
  Object.values(part)
    .flat()
    .filter((t) => t !== undefined) as Tensor[];

/** h(x) and h′(x), elementwise. */
function withSlope(h: (x: Tensor) => Tensor, x: Tensor): { value: Tensor; slope: Tensor } {
  const leaf = strided(x, x.shape, x.strides);
  leaf.requiresGrad = true;
  const value = enableGrad(() => h(leaf));
  const [slope] = grad(value, [leaf], { gradient: fused('1.0', { a: x }) });
  if (!slope) throw new InputError('FeatureFlow: an activation must depend on its input');
  return { value: strided(value, value.shape, value.strides), slope };
}

/**
 * The flow of P particles from a start, on samples x [N, d] with targets y [N]. What it hands out of its state holds until its next step.
 *
 *     const flow = new FeatureFlow(x, y, await flowStart(x, { layers: 3, particles: 32768 }));
 *     const { losses } = await flow.run(10, { dt: 0.05 });
 */
export class FeatureFlow {
  readonly #x: Tensor;
  readonly #y: Tensor;
  readonly #h1: (x: Tensor) => Tensor;
  readonly #h2: (x: Tensor) => Tensor;
  readonly #loss: (output: Tensor, target: Tensor) => Tensor;
  /** 'flow': features move by their drift; 'gd': they are computed again from the weights. */
  readonly mode: 'flow' | 'gd';
  /** P. */
  readonly particles: number;
  /** L. */
  readonly layers: number;
  readonly #shares: Tensor;
  /** v_l at index l = 2 … L. */
  readonly #weights: FlowWeights[] = [];
  #state: State;

  constructor(x: Tensor, y: Tensor, start: FlowStart, options: FeatureFlowOptions = {}) {
    checked('FeatureFlow', options, { mode: word('flow', 'gd'), h1: is.text, h2: is.text, loss: is.func });
    const { first, residuals, readout, grams } = start;
    const [samples = 0, d = 0] = x.shape;
    this.particles = first.shape[1] ?? Number.NaN;
    this.layers = Math.max(1, residuals.length - 1);
    const sizes = { x: x.shape, y: y.shape, v_1: first.shape, 'v_{L+1}': readout.shape };
    const alike = y.shape[0] === samples && first.shape[0] === d && readout.shape[0] === this.particles;
    if (x.ndim !== 2 || y.ndim !== 1 || !alike)
      throw inputError('FeatureFlow', 'the shapes do not fit', sizes, 'x [N, d], y [N], v_1 [d, P], v_{L+1} [P].');
    this.#x = x.keep();
    this.#y = y.keep();
    [this.#h1, this.#h2] = mapTuple(['h1', 'h2'], (h) => {
      const [own, given] = [start[h], options[h]];
      if (own && given && own !== given)
        throw new InputError(
          `FeatureFlow: ${h} is ${nameOf(given)}, but the start was made with ${nameOf(own)}: leave the option out, or make the start with the same`,
        );
      return activation(given ?? own ?? 'tanh');
    });
    this.#loss = options.loss ?? pseudoHuber;
    this.mode = options.mode ?? 'flow';
    // Tiles are filled up with particles that have no share.
    const missing = TILE * Math.ceil(this.particles / TILE) - this.particles;
    const filled = (t: Tensor): Tensor =>
      pad(
        t,
        t.shape.map((_, i) => [0, i === t.ndim - 1 ? missing : 0] as [number, number]),
      ).keep();
    this.#shares = scopedNoGrad(() => filled(start.shares ?? full([this.particles], 1 / this.particles)));
    this.#state = scopedNoGrad(() => {
      const alpha = residuals.map(filled);
      const v1 = filled(first);
      const features: Tensor[] = [];
      let beta = mul(matmul(x, v1), 1 / d).keep();
      features[1] = beta;
      for (let l = 2; l <= this.layers; l++) {
        const residual = at(alpha, l);
        const weights = new FlowWeights(samples, at(v1.shape, 1));
        const gram = new Matrix(samples, samples, at(grams, l - 1).flat());
        weights.update(this.#h1(beta), matmul(matrixTensor(cholesky(gram, l - 1).inverse()), residual), 1);
        this.#weights[l] = weights;
        beta = add(beta, this.#h2(residual)).keep();
        features[l] = beta;
      }
      return { first: v1, features, residuals: alpha, readout: filled(readout) };
    });
    if (this.mode === 'flow') return;
    const given = this.#state;
    this.#state = scopedNoGrad(() => this.#kept(this.#forward(given)));
    for (const t of [...given.features, ...given.residuals]) t?.dispose();
  }

  /** v_1 [d, P]. */
  get first(): Tensor {
    return this.#seen(this.#state.first);
  }

  /** v_{L+1} [P]. */
  get readout(): Tensor {
    return this.#seen(this.#state.readout);
  }

  /** β_l [N, P], l = 1 … L. */
  features(l: number): Tensor {
    return this.#seen(at(this.#state.features, l));
  }

  /** α_l [N, P], l = 2 … L. */
  residuals(l: number): Tensor {
    return this.#seen(at(this.#state.residuals, l));
  }

  /** v_l between `count` neighbouring particles, all by default: source × target. */
  weights(l: number, from = 0, count = this.particles): Tensor {
    return scopedNoGrad(() => at(this.#weights, l).block(from, count));
  }

  /** ∫ h1(β_l) h1(β_l)ᵀ dp, [N, N]. */
  gram(l: number): Tensor {
    return scopedNoGrad(() => this.#gram(this.#h1(at(this.#state.features, l))));
  }

  /**
   * Goes on for `duration` time units. Returns the losses at the `times` 0, Δt, 2Δt … from where it stood, the last of which is the end: where
   * Δt does not divide the duration, the last step is shorter. And how many steps that took. Throws InputError where the loss is no number any
   * more: Δt is too large.
   */
  async run(duration: number, options: RunOptions): Promise<{ losses: number[]; times: number[]; steps: number }> {
    const table = { dt: is.number, tolerance: is.number, onStep: is.func };
    const { dt, tolerance = Infinity, onStep } = checked('FeatureFlow.run', options, table);
    if (!(dt > 0 && tolerance > 0 && duration >= 0 && Number.isFinite(duration)))
      throw new InputError(
        `FeatureFlow.run: duration ${duration}, dt ${dt} and tolerance ${tolerance} must be positive`,
      );
    const controlled = tolerance < Infinity;
    // Up to rounding: 0.3 is three times 0.1.
    const whole = Math.floor(duration / dt + 1e-6);
    const rest = duration - whole * dt;
    const lengths: number[] = [...Array(whole).fill(dt), ...(rest > 1e-6 * dt ? [rest] : [])];
    const times: number[] = [];
    const losses: number[] = [];
    let steps = 0;
    let drift = this.#drift(controlled);
    const record = async (): Promise<void> => {
      const loss = await drift.loss.item();
      if (!Number.isFinite(loss))
        throw new InputError(`FeatureFlow.run: the loss is ${loss} after ${steps} steps; take a smaller dt`);
      losses.push(loss);
      const k = losses.length - 1;
      const time = k === lengths.length ? duration : k * dt;
      times.push(time);
      await onStep?.(k, loss, time);
    };
    await record();
    let part = PARTS;
    for (const length of lengths) {
      for (let done = 0; done < PARTS; ) {
        const before = this.#state;
        const h = (length * part) / PARTS;
        this.#advance(drift, h);
        const next = this.#drift(controlled);
        const error = controlled ? await this.#error(drift, next, h) : 0;
        if (error > tolerance && part > 1) {
          release(this.#state, next);
          for (const weights of this.#weights) weights?.retract();
          this.#state = before;
          part /= 2;
          continue;
        }
        release(before, drift);
        drift = next;
        done += part;
        steps++;
        if (error < tolerance / 4 && part < PARTS && done % (2 * part) === 0) part *= 2;
      }
      await record();
    }
    release(drift);
    return { losses, times, steps };
  }

  /** Gives the memory back. */
  dispose(): void {
    release(this.#state);
    for (const weights of this.#weights) weights?.dispose();
  }

  #seen(x: Tensor): Tensor {
    return narrow(x, x.ndim - 1, 0, this.particles);
  }

  #kept<T extends State | Drift>(part: T): T {
    for (const t of tensorsOf(part)) t.keep();
    return part;
  }

  /** ∫ h hᵀ dp for h [N, P]. */
  #gram(h: Tensor): Tensor {
    return matmul(fused('a * w', { a: h, w: this.#shares }), transpose(h));
  }

  #drift(withFeatures: boolean): Drift {
    const { layers } = this;
    const { features, residuals, readout } = this.#state;
    const [w, x] = [this.#shares, this.#x];
    const [samples, d] = tuple(x.shape, 2);
    return scopedNoGrad(() => {
      const h = features.map((beta) => withSlope(this.#h1, beta));
      const k = residuals.map((alpha) => withSlope(this.#h2, alpha));
      const top = at(h, layers);
      const output = matmul(top.value, mul(readout, w));
      output.requiresGrad = true;
      const loss = enableGrad(() => this.#loss(output, this.#y));
      const [dLoss] = grad(loss, [output]);
      if (!dLoss) throw new InputError('FeatureFlow: the loss must depend on the output');
      const dOutput = mul(dLoss, samples);
      const column = reshape(dOutput, [samples, 1]);
      let dBeta = fused('a * d * c', { a: top.slope, d: column, c: readout });
      const targets: Tensor[] = [];
      for (let l = layers; l > 1; l--) {
        const target = fused('a * b', { a: dBeta, b: at(k, l).slope });
        targets[l] = target;
        const back = at(this.#weights, l).backward(fused('a * w', { a: target, w }));
        dBeta = fused('a + b * c', { a: dBeta, b: back, c: at(h, l - 1).slope });
      }
      const first = mul(matmul(transpose(x), dBeta), 1 / samples);
      const gBeta: Tensor[] = [];
      const gAlpha: Tensor[] = [];
      if (withFeatures || this.mode === 'flow') {
        let g = mul(matmul(x, first), 1 / d);
        gBeta[1] = g;
        for (let l = 1; l < layers; l++) {
          const { value, slope } = at(h, l);
          const moved = at(this.#weights, l + 1).forward(fused('a * g * w', { a: slope, g, w }));
          const grown = matmul(this.#gram(value), at(targets, l + 1));
          const a = fused('a + s * b', { a: moved, b: grown }, 1 / samples);
          g = fused('g + a * b', { g, a, b: at(k, l + 1).slope });
          gAlpha[l + 1] = a;
          gBeta[l + 1] = g;
        }
      }
      const gReadout = mul(matmul(dOutput, top.value), 1 / samples);
      const sources = h.map(({ value }) => value);
      return this.#kept({
        loss: detach(loss),
        first,
        readout: gReadout,
        sources,
        targets,
        features: gBeta,
        residuals: gAlpha,
      });
    });
  }

  /** One step of Euler's. */
  #advance(drift: Drift, dt: number): void {
    const samples = at(this.#x.shape, 0);
    const move = (v: Tensor, g: Tensor) => fused('a - s * g', { a: v, g }, dt);
    const { first, features, residuals, readout } = this.#state;
    this.#state = scopedNoGrad(() => {
      for (let l = 2; l <= this.layers; l++)
        at(this.#weights, l).update(at(drift.sources, l - 1), at(drift.targets, l), -dt / samples);
      const moved = {
        first: move(first, drift.first),
        features: this.mode === 'flow' ? features.map((beta, l) => move(beta, at(drift.features, l))) : features,
        residuals: this.mode === 'flow' ? residuals.map((alpha, l) => move(alpha, at(drift.residuals, l))) : residuals,
        readout: move(readout, drift.readout),
      };
      return this.#kept(this.mode === 'flow' ? moved : this.#forward(moved));
    });
  }

  /** Features and residuals from the weights: (3.2)–(3.4). */
  #forward(state: State): State {
    const features: Tensor[] = [];
    const residuals: Tensor[] = [];
    let beta = mul(matmul(this.#x, state.first), 1 / at(this.#x.shape, 1));
    features[1] = beta;
    for (let l = 2; l <= this.layers; l++) {
      const alpha = at(this.#weights, l).forward(fused('a * w', { a: this.#h1(beta), w: this.#shares }));
      beta = add(beta, this.#h2(alpha));
      residuals[l] = alpha;
      features[l] = beta;
    }
    return { ...state, features, residuals };
  }

  /** ½Δt·max|G^β_L after − before|. */
  #error(before: Drift, after: Drift, dt: number): Promise<number> {
    const [a, b] = mapTuple([before, after], ({ features }) => this.#seen(at(features, this.layers)));
    return scopedNoGrad(() => mul(max(abs(sub(a, b))), dt / 2)).item();
  }
}

const nameOf = (h: Activation): string => (typeof h === 'string' ? `'${h}'` : h.name || 'a function');

function release(...parts: (State | Drift)[]): void {
  for (const t of parts.flatMap(tensorsOf)) t.dispose();
}
