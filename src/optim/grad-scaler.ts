// Loss scaling: gradients in float16 keep their small numbers where the loss is multiplied by a large one. Nothing is read back: the GPU knows
// whether a step is left out, and what the next scale is.
import { mergeFound, unscale, updateScale } from '../../shaders/grad-scaler';
import { castTo } from '../autograd/cast';
import { device, f32, InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import { mul } from '../ops/elementwise';
import { reshape } from '../ops/views';
import { full, hostValues, tensor } from '../tensor/create';
import type { DType } from '../tensor/dtype';
import { bind, copyInto, evaluate, isBindable } from '../tensor/elementwise';
import { owned } from '../tensor/memory';
import type { Tensor } from '../tensor/tensor';
import type { Optimizer } from './optimizer';

/** Options of `GradScaler`, PyTorch's. */
export interface GradScalerOptions {
  /** The first scale: 65536 by default. */
  initScale?: number;
  /** Factor on the scale after `growthInterval` steps without infinities (default 2). */
  growthFactor?: number;
  /** Factor on the scale after a step with infinities, which is left out (default 0.5). */
  backoffFactor?: number;
  /** Steps without infinities before the scale grows (default 2000). */
  growthInterval?: number;
  /** false: everything passes as if there were no scaler. */
  enabled?: boolean;
}

const OPTIONS = {
  initScale: is.number,
  growthFactor: is.number,
  backoffFactor: is.number,
  growthInterval: is.number,
  enabled: is.flag,
};

type AnyOptimizer = Optimizer<{ lr: number }>;

/** Memory of the scaler's own that lives as long as it. */
function kept(value: number, dtype: DType): Tensor {
  const made = full([1], value, { dtype });
  made.memory.recipe = null;
  return made.keep();
}

const KEYS = ['scale', 'growth_factor', 'backoff_factor', 'growth_interval', '_growth_tracker'] as const;

/**
 * Scales the loss of mixed precision, as `torch.amp.GradScaler`:
 *
 *     const scaler = new optim.GradScaler();
 *     const loss = autocast(() => F.crossEntropy(model.forward(x), y));
 *     scaler.scale(loss).backward();
 *     scaler.step(optimizer); // left out where a gradient is not finite
 *     scaler.update();
 *
 * `unscale_(optimizer)` before `step` where gradients are clipped. It works inside of compiled steps. Unlike in PyTorch a step that is left out
 * counts in the optimizer's number of steps, which the corrections of Adam and rates of their own depend on. Throws InputError for options out of range.
 */
export class GradScaler {
  #growth: number;
  #backoff: number;
  #interval: number;
  readonly #enabled: boolean;
  readonly #scale!: Tensor;
  readonly #tracker!: Tensor;
  /** Where each optimizer's gradients leave that they are not finite. */
  readonly #found = new Map<AnyOptimizer, Tensor>();
  /** A flag that no optimizer has taken yet: made outside of compiled steps. */
  #spare: Tensor | null = null;
  readonly #unscaled = new Set<AnyOptimizer>();
  readonly #stepped = new Set<AnyOptimizer>();

  constructor(options: GradScalerOptions = {}) {
    const given = checked('GradScaler', options, OPTIONS);
    const { initScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000, enabled = true } = given;
    if (!(initScale > 0 && growthFactor > 1 && backoffFactor > 0 && backoffFactor < 1))
      throw new InputError(
        `GradScaler: initScale ${initScale} must be above 0, growthFactor ${growthFactor} above 1, backoffFactor ${backoffFactor} between 0 and 1`,
      );
    if (!(Number.isInteger(growthInterval) && growthInterval > 0))
      throw new InputError(`GradScaler: growthInterval ${growthInterval} must be a whole number above 0`);
    this.#growth = growthFactor;
    this.#backoff = backoffFactor;
    this.#interval = growthInterval;
    this.#enabled = enabled;
    if (!enabled) return;
    this.#scale = kept(initScale, 'float32');
    this.#tracker = kept(0, 'int32');
    this.#spare = kept(0, 'uint32');
  }

  /** False where everything passes as if there were no scaler. */
  get isEnabled(): boolean {
    return this.#enabled;
  }

  /** The loss, or each of several, times the scale: float32. */
  scale(loss: Tensor): Tensor;
  scale(losses: readonly Tensor[]): Tensor[];
  scale(losses: Tensor | readonly Tensor[]): Tensor | Tensor[] {
    if (Array.isArray(losses)) return losses.map((loss) => this.scale(loss as Tensor));
    const loss = losses as Tensor;
    if (!this.#enabled) return loss;
    return mul(castTo(loss, 'float32'), loss.ndim ? this.#scale : reshape(this.#scale, []));
  }

  /** Divides the gradients of an optimizer by the scale, once a step. `step` does it otherwise. */
  unscale_(optimizer: AnyOptimizer): void {
    if (!this.#enabled) return;
    if (this.#unscaled.has(optimizer) || this.#stepped.has(optimizer))
      throw new InputError(
        'GradScaler: the gradients of this optimizer were unscaled before; call update() after its step()',
      );
    const found = this.#foundOf(optimizer);
    let any = false;
    for (const parameter of optimizer.parameters()) {
      if (!parameter.grad) continue;
      any = true;
      if (!isBindable(parameter.grad)) {
        const { grad } = parameter;
        parameter.grad = evaluate({
          name: 'gradient',
          expression: 'g',
          operands: { g: grad },
          shape: grad.shape,
        }).keep();
        grad.dispose();
      }
      const { grad } = parameter;
      device().launch(unscale, [grad, this.#scale, found].map(bind), [grad.size], grad.size);
      grad.memory.written();
    }
    if (!any) throw new InputError('GradScaler: this optimizer has no gradients; call backward() before');
    found.memory.written();
    this.#unscaled.add(optimizer);
  }

  /** `optimizer.step()`, unless a gradient is infinite or NaN: then nothing changes. Unscales the gradients first where that was not done. */
  step(optimizer: AnyOptimizer): void {
    if (!this.#enabled) {
      optimizer.step();
      return;
    }
    if (this.#stepped.has(optimizer))
      throw new InputError('GradScaler: step() was called for this optimizer since the last update()');
    if (!this.#unscaled.has(optimizer)) this.unscale_(optimizer);
    optimizer.stepUnless(this.#foundOf(optimizer));
    this.#stepped.add(optimizer);
  }

  /** The next scale, after the steps of all optimizers; or `scale` from now on. */
  update(scale?: number): void {
    if (!this.#enabled) return;
    if (scale !== undefined && !(scale > 0)) throw new InputError(`GradScaler: the scale ${scale} must be above 0`);
    const [first, ...others] = [...this.#unscaled].map((optimizer) => this.#foundOf(optimizer));
    if (!first && scale === undefined)
      throw new InputError('GradScaler: update() after no step(): there is nothing that it could follow from');
    owned(
      () => {
        if (scale !== undefined) copyInto(this.#scale, constant(scale, 'float32'));
        else if (first) {
          for (const found of others) device().launch(mergeFound, [bind(first), bind(found)], [1], 1);
          const numbers = [f32(this.#growth), f32(this.#backoff), this.#interval];
          device().launch(updateScale, [this.#scale, this.#tracker, first].map(bind), numbers, 1);
          for (const { memory } of [this.#scale, this.#tracker]) memory.written();
        }
        for (const found of [first, ...others]) if (found) copyInto(found, constant(0, 'uint32'));
      },
      () => [],
    );
    this.#unscaled.clear();
    this.#stepped.clear();
  }

  /** The scale now. Waits for the GPU. */
  getScale(): Promise<number> {
    return this.#enabled ? this.#scale.item() : Promise.resolve(1);
  }

  /** What a run goes on with, under PyTorch's keys; tensors, those of the scale the scaler's own. */
  stateDict(): Record<string, Tensor> {
    if (!this.#enabled) return {};
    const numbers = [this.#growth, this.#backoff, this.#interval].map((value) => tensor([value]));
    return Object.fromEntries([this.#scale, ...numbers, this.#tracker].map((x, i) => [KEYS[i], x]));
  }

  /** Restores what `stateDict` gave. Throws InputError where something is missing; nothing is changed then. */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    if (!this.#enabled) return;
    const { scale, _growth_tracker: tracker } = dict;
    const missing = KEYS.find((key) => dict[key]?.size !== 1);
    if (missing || !scale || !tracker)
      throw new InputError(`GradScaler.loadStateDict: '${missing}' is missing, or no number`);
    const numbers = KEYS.slice(1, 4).map((key) => dict[key] && hostValues(dict[key])?.[0]);
    const [growth, backoff, interval] = numbers;
    if (growth === undefined || backoff === undefined || interval === undefined)
      throw new InputError(
        'GradScaler.loadStateDict: the factors cannot be read here: give tensors made by tensor(data)',
      );
    [this.#growth, this.#backoff, this.#interval] = [growth, backoff, interval];
    copyInto(this.#scale, reshape(scale, [1]));
    copyInto(this.#tracker, reshape(tracker, [1]));
  }

  #foundOf(optimizer: AnyOptimizer): Tensor {
    const known = this.#found.get(optimizer);
    if (known) return known;
    if (!this.#spare && device().tracing)
      throw new InputError('GradScaler: let a step with several optimizers run once before it is compiled');
    const found = this.#spare ?? kept(0, 'uint32');
    this.#spare = null;
    this.#found.set(optimizer, found);
    return found;
  }
}

const constant = (value: number, dtype: DType): Tensor =>
  evaluate({ name: 'constant', expression: 's', operands: {}, scalars: [value], shape: [1], result: dtype });
