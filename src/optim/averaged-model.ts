// AveragedModel: running averages of a model's weights, as torch.optim.swa_utils has them. One kernel a tensor, which a compiled step joins over all that lie
// side by side.
import { updateKernel } from '../../shaders/optimizer';
import { unrecorded } from '../autograd/tape';
import { device, InputError, Scalar } from '../gpu';
import { checked, either, is, type OptionTable, word } from '../gpu/options';
import type { AnyModule, Inputs, Module } from '../nn/module';
import { Parameter } from '../nn/parameter';
import type { StateDict } from '../nn/stored';
import { hostValues, tensor, zeros } from '../tensor/create';
import { bind, copyInto } from '../tensor/elementwise';
import { pack } from '../tensor/rows';
import { sameShape, showShape } from '../tensor/shape';
import { requireTensors, type Tensor } from '../tensor/tensor';

/** Kind of average: exponential or plain, with or without running statistics. */
export interface AveragedModelOptions {
  /** Decay of an exponential average, such as 0.999; null, the default, for the mean of all updates (SWA). */
  decay?: number | null;
  /** Whether running statistics are averaged as well; without it (the default) those of the model serve. */
  useBuffers?: boolean;
}

const OPTIONS: OptionTable<AveragedModelOptions> = { decay: either(is.number, word(null)), useBuffers: is.flag };

/** average ← average + weight · (value − average), as `torch.lerp`: from a weight of 1/2 on from the other end, so that a weight of 1 copies. */
const kernel = updateKernel({
  name: 'AveragedModel',
  scalars: ['weight'],
  state: [],
  decay: 'none',
  code: 'x = select(x + weight * (d - x), d - (d - x) * (1.0 - weight), weight >= 0.5);',
});

/** A tensor of the model and its average. */
interface Pair {
  readonly source: Tensor;
  readonly average: Tensor;
}

/**
 * Averages of a model's weights: `updateParameters()` after each step of the optimizer, the first of which copies. With a decay D each one is
 * D · average + (1 − D) · weight, else the mean of all. `forward` is the model's with the averages in place of its weights, without recording.
 */
export class AveragedModel<In = Tensor, Out = Tensor> {
  /** Decay of the exponential average; null for the mean of all updates. */
  readonly decay: number | null;
  /** Whether running statistics are averaged as well. */
  readonly useBuffers: boolean;
  #count = 0;
  /** Made with the first update, in the order in which the model's tensors then lie in memory. */
  #pairs: readonly Pair[] = [];
  #inside = false;

  constructor(
    /** The model that is trained; `update` reads its weights. */
    readonly model: Module<In, Out>,
    options: AveragedModelOptions = {},
  ) {
    const { decay = null, useBuffers = false } = checked('AveragedModel', options, OPTIONS);
    if (decay !== null && !(decay >= 0 && decay <= 1))
      throw new InputError(`AveragedModel: decay ${decay} must be a number in 0 … 1, or null for a plain mean`);
    [this.decay, this.useBuffers] = [decay, useBuffers];
  }

  /** Updates so far. */
  get nAveraged(): number {
    return this.#count;
  }

  /** Takes the model's weights into the averages. Part of a compiled step where it is called in one. */
  updateParameters(): void {
    this.#make();
    const weight = new Scalar(0);
    device().effect(() => {
      this.#count++;
      weight.value = this.decay === null || this.#count === 1 ? 1 / this.#count : 1 - this.decay;
      return () => {
        this.#count--;
      };
    });
    for (const { source, average } of this.#pairs) {
      const n = average.size;
      device().launch(kernel, [bind(average), bind(source)], [n, weight], n);
      average.memory.written();
    }
  }

  /**
   * Runs `body`, which cannot wait, while the model has the averages in place of its weights; nothing is copied. Nothing is recorded. Throws InputError
   * before the first update, and for an async body.
   */
  within<T>(body: () => T): T {
    if (!this.#count) throw new InputError('AveragedModel: there are no averages before the first updateParameters()');
    if (this.#inside) return body();
    const exchange = () => {
      for (const { source, average } of this.#pairs) source.memory.exchange(average.memory);
      this.#inside = !this.#inside;
    };
    exchange();
    try {
      const result = unrecorded('AveragedModel', body);
      if (result instanceof Promise) throw new InputError('AveragedModel: what runs with the averages cannot be async');
      return result;
    } finally {
      exchange();
    }
  }

  /** The model's forward pass with the averages, in the mode that the model is in. */
  forward(...inputs: Inputs<In>): Out {
    return this.within(() => this.model.forward(...inputs));
  }

  /** Puts the averages into the model for good, as at the end of its training. */
  copyToModel(): void {
    if (!this.#count) throw new InputError('AveragedModel: there are no averages before the first updateParameters()');
    for (const { source, average } of this.#pairs) copyInto(source, average);
  }

  /** PyTorch's keys: `n_averaged`, and `module.` in front of the model's own. Tensors are its own, not copies. */
  stateDict(): StateDict {
    const averages = new Map(this.#pairs.map(({ source, average }) => [source, average]));
    const dict: StateDict = { n_averaged: tensor(this.#count, { dtype: 'int32' }) };
    for (const [name, x] of this.model.allNames()) dict[`module.${name}`] = averages.get(x) ?? x;
    return dict;
  }

  /**
   * Goes on from a `stateDict()`, or from PyTorch's. Throws InputError where a tensor is missing or has another shape; nothing is changed then. Before the
   * first update there are no averages, and it begins again.
   */
  loadStateDict(dict: Readonly<StateDict>): void {
    requireTensors('AveragedModel.loadStateDict', dict);
    const [updates] = (dict.n_averaged && hostValues(dict.n_averaged)) ?? [];
    if (updates === undefined)
      throw new InputError("AveragedModel.loadStateDict: 'n_averaged' is missing, or no tensor made by tensor(data)");
    this.#make();
    const names = new Map([...this.model.namedTensors()].map(([name, x]) => [x as Tensor, `module.${name}`]));
    const found = this.#pairs.map(({ source, average }) => {
      const name = names.get(source) ?? '';
      const value = updates ? dict[name] : source;
      if (!value || !sameShape(value.shape, average.shape))
        throw new InputError(
          `AveragedModel.loadStateDict: '${name}' is ${value ? showShape(value.shape) : 'missing'}, it must be ${showShape(average.shape)}; nothing was loaded`,
        );
      return [average, value] as const;
    });
    for (const [average, value] of found) copyInto(average, value);
    this.#count = updates;
  }

  #make(): void {
    if (this.#pairs.length) return;
    const all = [...this.model.namedTensors()].flatMap(([, x]) => (x.size ? [x as Tensor] : []));
    const averaged = all.filter((x) => x.dtype === 'float32' && (this.useBuffers || x instanceof Parameter));
    // Counts of batches too, which are not averaged: whatever else moves a layer's states in one launch finds them side by side.
    if (this.useBuffers)
      pack(
        'states',
        all.filter((x) => !(x instanceof Parameter)),
      );
    const blocks = [...new Set(averaged.map((x) => bind(x).block))];
    const places = new Map(averaged.map((x) => [x, [blocks.indexOf(bind(x).block), bind(x).offset] as const]));
    const place = (x: Tensor) => places.get(x) ?? [0, 0];
    averaged.sort((a, b) => place(a)[0] - place(b)[0] || place(a)[1] - place(b)[1]);
    this.#pairs = averaged.map((source) => ({ source, average: zeros(source.shape).keep() }));
    pack(
      'averages',
      this.#pairs.map(({ average }) => average),
    );
  }

  /** The model's tree of modules as text. */
  toString(): string {
    return `AveragedModel(${this.decay === null ? 'mean' : `decay ${this.decay}`}) of ${String(this.model)}`;
  }
}

/** Any, whatever its model takes. */
export type AnyAveragedModel = Pick<
  AveragedModel,
  'updateParameters' | 'within' | 'stateDict' | 'loadStateDict' | 'nAveraged'
> & {
  readonly model: AnyModule;
};
