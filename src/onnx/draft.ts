// The graph of one forward pass while it is made: nodes in the order of the operations, sizes still plain numbers. merge.ts compares drafts of several
// sizes and makes one graph of them.
import { InputError } from '../gpu';
import { modulePath } from '../tensor/context';
import type { DType } from '../tensor/dtype';
import type { Memory } from '../tensor/memory';
import { type Shape, sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { type Attributes, type ElementType, TYPES } from './format';

/** Which operation of which module a node or constant belongs to. */
export interface Origin {
  readonly op: string;
  readonly path: string;
}

export interface DraftNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  readonly origin: Origin;
  /** Of a Reshape: the shape of what is reshaped. */
  readonly from?: Shape;
}

/** Sizes, which may depend on those of the inputs; numbers of the mapping; or a tensor that no operation of the pass has computed. */
export type Constant = { readonly origin: Origin } & (
  | { readonly kind: 'sizes'; readonly values: readonly number[] }
  | { readonly kind: 'data'; readonly type: ElementType; readonly dims: Shape; readonly values: ArrayLike<number> }
  | { readonly kind: 'tensor'; readonly tensor: Tensor }
);

export interface DraftValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** A tensor that has a value, as it was then. */
interface Known {
  readonly tensor: Tensor;
  readonly value: string;
  readonly version: number;
}

export const placeOf = ({ op, path }: Origin): string => `'${op}'${path ? ` in module '${path}'` : ''}`;

export const refusal = (problem: string, hint = ''): InputError =>
  new InputError(`exportOnnx: ${problem}.${hint && ` ${hint}`}`);

/** The type that a tensor is computed in: halves, which runtimes on CPUs have few operators for, in float32. */
export const typeOf = ({ dtype }: { readonly dtype: DType }): Exclude<ElementType, 'float16' | 'int64'> =>
  dtype === 'float16' ? 'float32' : dtype;

/** The type that inputs, outputs and weights have in the file. */
export const storedType = ({ dtype }: { readonly dtype: DType }): Exclude<ElementType, 'int64'> => dtype;

const sameView = (a: Tensor, b: Tensor): boolean =>
  a.offset === b.offset && a.dtype === b.dtype && sameShape(a.shape, b.shape) && sameShape(a.strides, b.strides);

/** The tensor in a list: itself, or the same view of the same memory. */
const seen = (list: readonly Known[] | undefined, x: Tensor): Known | undefined =>
  list?.findLast(({ tensor }) => tensor === x) ?? list?.findLast(({ tensor }) => sameView(tensor, x));

export class Draft {
  readonly nodes: DraftNode[] = [];
  readonly constants = new Map<string, Constant>();
  readonly inputs: DraftValue[] = [];
  readonly outputs: DraftValue[] = [];
  /** The operation that is being written. */
  origin: Origin = { op: 'forward', path: '' };
  readonly #known = new Map<Memory, Known[]>();
  /** Constants, with the tensors that are the same. */
  readonly #given = new Map<Memory, Known[]>();
  /** What operations without a mapping gave: nodes of their parts, or nothing that is known. */
  readonly #makers = new Map<Memory, Origin>();
  readonly #numbers = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  /** Inputs and constants that are float16, in float32 once they are read. */
  readonly #wide = new Map<string, string>();

  /** `names`: of tensors that the model has, as its state dict calls them. */
  constructor(readonly names: ReadonlyMap<Tensor, string>) {}

  input(name: string, x: Tensor): void {
    this.inputs.push({ name, type: storedType(x), shape: x.shape });
    this.know(x, name);
  }

  /** From now on `x` is the value. */
  know(x: Tensor, value: string): void {
    const map = this.constants.has(value) ? this.#given : this.#known;
    const list = map.get(x.memory) ?? [];
    if (!list.length) map.set(x.memory, list);
    list.push({ tensor: x, value, version: x.memory.version });
  }

  /** The present operation, which has no mapping, gave `x`; one inside of it may have done so before. */
  made({ memory }: Tensor): void {
    if (!this.#makers.has(memory)) this.#makers.set(memory, this.origin);
  }

  #maker(memory: Memory): string {
    return placeOf(this.#makers.get(memory) ?? { op: memory.what, path: '' });
  }

  /** The value of a tensor; one that nothing has computed becomes a constant. */
  of(x: Tensor): string {
    const { memory } = x;
    const views = this.#known.get(memory);
    const found = seen(views, x) ?? seen(this.#given.get(memory), x);
    if (found) {
      if (found.version === memory.version) return this.#inFloat32(x, found.value);
      throw refusal(
        `${placeOf(this.origin)} reads a tensor of '${memory.what}' that was written into in the meantime`,
        'Compute a new tensor instead of assigning in place, and export in evaluation mode.',
      );
    }
    if (views)
      throw refusal(
        `${placeOf(this.origin)} reads a part of what ${this.#maker(memory)} made, by an operation that has no mapping`,
      );
    const name = this.names.get(x) ?? this.#fresh('constant');
    this.constants.set(name, { kind: 'tensor', tensor: x, origin: this.origin });
    this.know(x, name);
    return this.#inFloat32(x, name);
  }

  /** The value of a tensor in the type that is computed in. */
  #inFloat32(x: Tensor, value: string): string {
    const isStored = this.constants.has(value) || this.inputs.some(({ name }) => name === value);
    if (x.dtype !== 'float16' || !isStored) return value;
    const wide = this.#wide.get(value) ?? this.cast(value, 'float32');
    this.#wide.set(value, wide);
    return wide;
  }

  /** Refuses what was computed without a mapping, and what has changed since. `made`: what the pass has computed. */
  checkConstants(made: ReadonlySet<Memory>): void {
    for (const [memory, list] of this.#given)
      for (const { tensor, value, version } of list) {
        const constant = this.constants.get(value);
        if (constant?.kind !== 'tensor' || constant.tensor !== tensor) continue; // another tensor with its value
        const reader = placeOf(constant.origin);
        if (made.has(memory) || memory.gone)
          throw refusal(
            `the operation ${this.#maker(memory)}, whose result ${reader} reads, has no mapping to ONNX`,
            'docs/export.md lists those that have one.',
          );
        if (memory.version !== version)
          throw refusal(`a tensor that ${reader} reads is written into in the pass`, 'A graph only computes.');
      }
  }

  /** A node with one result. */
  node(op: string, inputs: readonly (string | null)[], attributes: Attributes = {}, from?: Shape): string {
    const [output = ''] = this.several(op, inputs, attributes, 1, from);
    return output;
  }

  /** A node with several results. */
  several(
    op: string,
    inputs: readonly (string | null)[],
    attributes: Attributes,
    count: number,
    from?: Shape,
  ): string[] {
    const outputs = Array.from({ length: count }, () => this.#fresh(op));
    const given = inputs.map((name) => name ?? '');
    while (given.at(-1) === '') given.pop();
    this.nodes.push({ op, inputs: given, outputs, attributes, origin: this.origin, ...(from && { from }) });
    return outputs;
  }

  /** A vector of sizes, which may depend on the inputs' sizes. */
  sizes(values: readonly number[]): string {
    const name = this.#fresh('sizes');
    this.constants.set(name, { kind: 'sizes', values, origin: this.origin });
    return name;
  }

  /** Numbers of the mapping. */
  data(type: ElementType, dims: Shape, values: ArrayLike<number>): string {
    const name = this.#fresh('constant');
    this.constants.set(name, { kind: 'data', type, dims, values, origin: this.origin });
    return name;
  }

  /** A number. */
  number(value: number, type: ElementType = 'float32'): string {
    const key = `${type}:${Object.is(value, -0) ? '-0' : value}:${this.origin.op}:${this.origin.path}`;
    const name = this.#numbers.get(key) ?? this.data(type, [], [value]);
    this.#numbers.set(key, name);
    return name;
  }

  cast(value: string, to: ElementType): string {
    return this.node('Cast', [value], { to: TYPES[to] });
  }

  reshape(value: string, from: Shape, to: Shape): string {
    return this.node('Reshape', [value, this.sizes(to)], {}, from);
  }

  #fresh(what: string): string {
    const number = this.#counts.get(what) ?? 0;
    this.#counts.set(what, number + 1);
    return `${what.toLowerCase()}_${number}`;
  }

  /** Sets the origin for `body`. */
  within<T>(op: string, body: () => T): T {
    const outer = this.origin;
    this.origin = { op, path: modulePath() };
    try {
      return body();
    } finally {
      this.origin = outer;
    }
  }
}
