// One graph of the drafts of several passes: their nodes must be the same, and sizes that differ between them are made of the free sizes in the graph.
import { at } from '../../shaders/checked';
import { sameShape } from '../tensor/shape';
import { type Constant, type Draft, type DraftNode, placeOf, refusal } from './draft';
import type { Dim, Initializer, OnnxGraph, OnnxNode, ValueInfo } from './format';
import { factorsOf, fit, type Polynomial, shown } from './polynomial';
import { bytesOf, readConstant, sameNumbers, type Values } from './values';

/** What varies from pass to pass. */
export interface Free {
  /** The names of the free sizes. */
  readonly names: readonly string[];
  /** Where each is found first: input and dimension. */
  readonly places: readonly { readonly input: string; readonly dim: number }[];
  /** The free sizes of each pass. */
  readonly passes: readonly (readonly number[])[];
}

const HINT =
  'docs/export.md says what can depend on a free size; dynamicAxes: {} exports for the sizes of the example alone.';

class Merger {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: Initializer[] = [];
  /** Sizes that are made of the inputs', by their text. */
  readonly #made = new Map<string, string>();
  readonly #drafts: readonly Draft[];
  readonly #free: Free;

  constructor(drafts: readonly Draft[], free: Free) {
    this.#drafts = drafts;
    this.#free = free;
  }

  get #first(): Draft {
    return at(this.#drafts, 0);
  }

  /** The names of the free sizes, for messages. */
  get #sizes(): string {
    return this.#free.names.map((name) => `'${name}'`).join(' or ');
  }

  #node(op: string, inputs: readonly string[], attributes: OnnxNode['attributes'] = {}): string {
    const key = JSON.stringify([op, inputs, attributes]);
    const known = this.#made.get(key);
    if (known) return known;
    const name = `size_${this.#made.size}`;
    this.#made.set(key, name);
    this.nodes.push({ op, name: `sizes/${name}`, inputs, outputs: [name], attributes });
    return name;
  }

  #whole(values: readonly number[], dims: readonly number[] = [values.length]): string {
    const key = JSON.stringify(['whole', values, dims]);
    const known = this.#made.get(key);
    if (known) return known;
    const name = `size_${this.#made.size}`;
    this.#made.set(key, name);
    this.#initializer(name, { type: 'int64', dims, values });
    return name;
  }

  #initializer(name: string, { type, dims, values }: Values): void {
    this.initializers.push({ name, type, dims, bytes: bytesOf(type, values) });
  }

  /** A vector of one element: the size that a polynomial stands for. */
  #size(polynomial: Polynomial): string {
    const terms = [...polynomial].map(([key, coefficient]) => {
      const factors = factorsOf(key).map((i) => {
        const { input, dim } = at(this.#free.places, i);
        return this.#node('Shape', [input], { start: dim, end: dim + 1 });
      });
      if (coefficient !== 1 || !factors.length) factors.push(this.#whole([coefficient]));
      return factors.reduce((a, b) => this.#node('Mul', [a, b]));
    });
    return terms.length ? terms.reduce((a, b) => this.#node('Add', [a, b])) : this.#whole([0]);
  }

  /** The vector of sizes that differ between passes. */
  #vector(name: string, list: readonly (number | Polynomial)[]): void {
    const parts = list.map((one) => (typeof one === 'number' ? this.#whole([one]) : this.#size(one)));
    this.nodes.push({ op: 'Concat', name: `sizes/${name}`, inputs: parts, outputs: [name], attributes: { axis: 0 } });
  }

  #sized(name: string, constant: Constant & { kind: 'sizes' }, user: DraftNode, index: number): void {
    const all = this.#drafts.map((draft) => {
      const other = draft.constants.get(name);
      return other?.kind === 'sizes' ? other.values : [];
    });
    const { values } = constant;
    if (all.some(({ length }) => length !== values.length)) throw this.#differs(constant);
    const column = (i: number): number[] => all.map((one) => at(one, i));
    const varies = (i: number): boolean => column(i).some((n) => n !== values[i]);
    let sizes: (number | Polynomial | null)[] = values.map((n, i) =>
      varies(i) ? fit(this.#free.passes, column(i)) : n,
    );
    if (user.op === 'Reshape' && index === 1 && values.every((n) => n > 0)) {
      const froms = this.#drafts.map(
        (draft) => draft.nodes.find(({ outputs }) => outputs[0] === user.outputs[0])?.from,
      );
      // 0 keeps the size of the input there, −1 is what is left over: neither needs to know the size.
      sizes = sizes.map((size, i) => (varies(i) && all.every((one, k) => froms[k]?.[i] === one[i]) ? 0 : size));
      const left = sizes.flatMap((size, i) => (typeof size === 'number' ? [] : [i]));
      const [only] = left;
      if (left.length === 1 && only !== undefined) sizes[only] = -1;
    }
    const known = sizes.filter((size) => size !== null);
    if (known.length < sizes.length) throw this.#differs(constant);
    const whole = known.filter((size) => typeof size === 'number');
    if (whole.length === known.length) this.#initializer(name, { type: 'int64', dims: [whole.length], values: whole });
    else this.#vector(name, known);
  }

  #differs({ origin }: Pick<Constant, 'origin'>): Error {
    return refusal(
      `${placeOf(origin)} has a number or shape that depends on ${this.#sizes} in a way that a graph cannot follow`,
      HINT,
    );
  }

  /** A tensor of the pass that has other numbers, or another shape, in each: filled with one number, or counting. */
  #computed(name: string, constant: Constant, all: readonly Values[]): void {
    const { type, dims, values } = at(all, 0);
    const shapes = dims.map((_, d) =>
      fit(
        this.#free.passes,
        all.map((one) => one.dims[d] ?? -1),
      ),
    );
    const known = shapes.filter((shape) => shape !== null);
    const fill = values[0] ?? 0;
    if (known.length < shapes.length || all.some((one) => one.dims.length !== dims.length))
      throw this.#differs(constant);
    if (all.every((one) => Array.from(one.values).every((x) => Object.is(x, fill)))) {
      this.#initializer(`${name}_value`, { type, dims: [], values: [fill] });
      this.#vector(`${name}_shape`, known);
      const inputs = [`${name}_value`, `${name}_shape`];
      this.nodes.push({ op: 'Expand', name: `sizes/${name}`, inputs, outputs: [name], attributes: {} });
      return;
    }
    const step = (values[1] ?? fill) - fill;
    const counts = all.every(
      (one) => one.dims.length === 1 && Array.from(one.values).every((x, i) => x === fill + i * step),
    );
    const [length] = known;
    if (!counts || !length || (type !== 'int32' && type !== 'float32')) throw this.#differs(constant);
    // start + step · (0 … n − 1)
    const n = this.#node('Squeeze', [this.#size(length)]);
    const positions = this.#node('Range', [this.#whole([0], []), n, this.#whole([1], [])]);
    const cast = this.#node('Cast', [positions], { to: type === 'int32' ? 6 : 1 });
    this.#initializer(`${name}_step`, { type, dims: [], values: [step] });
    this.#initializer(`${name}_start`, { type, dims: [], values: [fill] });
    const scaled = this.#node('Mul', [cast, `${name}_step`]);
    this.nodes.push({
      op: 'Add',
      name: `sizes/${name}`,
      inputs: [scaled, `${name}_start`],
      outputs: [name],
      attributes: {},
    });
  }

  async #constant(name: string, constant: Constant): Promise<void> {
    const others = this.#drafts.map((draft) => draft.constants.get(name));
    const same = others.flatMap((other) => (other?.kind === constant.kind ? [other] : []));
    if (same.length < others.length) throw this.#differs(constant);
    const isShared =
      constant.kind === 'tensor' && same.every((other) => other.kind === 'tensor' && other.tensor === constant.tensor);
    const all = isShared ? [await readConstant(constant)] : await Promise.all(same.map(readConstant));
    const first = at(all, 0);
    if (all.every((one) => one.type === first.type && sameShape(one.dims, first.dims) && sameNumbers(one, first)))
      this.#initializer(name, first);
    else this.#computed(name, constant, all);
  }

  #checkNodes(): void {
    const first = this.#first;
    for (const other of this.#drafts.slice(1))
      for (let i = 0; i < Math.max(first.nodes.length, other.nodes.length); i++) {
        const [a, b] = [first.nodes[i], other.nodes[i]];
        const key = (node: DraftNode | undefined) => node && JSON.stringify([node.op, node.inputs, node.outputs]);
        if (key(a) !== key(b) || !a)
          throw refusal(
            `the forward pass takes another way for another size of ${this.#sizes}: it differs from ${placeOf((a ?? b ?? at(first.nodes, 0)).origin)} on`,
            HINT,
          );
        if (JSON.stringify(a.attributes) !== JSON.stringify(b?.attributes)) throw this.#differs(a);
      }
  }

  #value(kind: 'inputs' | 'outputs', index: number): ValueInfo {
    const { name, type, shape } = at(this.#first[kind], index);
    const dims = shape.map((_, d): Dim => {
      const polynomial = fit(
        this.#free.passes,
        this.#drafts.map((draft) => at(draft[kind], index).shape[d] ?? -1),
      );
      return polynomial && shown(polynomial, this.#free.names);
    });
    return { name, type, dims };
  }

  async graph(name: string): Promise<OnnxGraph> {
    this.#checkNodes();
    const first = this.#first;
    const used = neededBy(first);
    const done = new Set<string>();
    const body: OnnxNode[] = [];
    for (const [i, node] of first.nodes.entries()) {
      if (!used.has(i)) continue;
      for (const [k, input] of node.inputs.entries()) {
        const constant = first.constants.get(input);
        if (!constant || done.has(input)) continue;
        done.add(input);
        if (constant.kind === 'sizes') this.#sized(input, constant, node, k);
        else await this.#constant(input, constant);
      }
      const { op, inputs, outputs, attributes, origin } = node;
      body.push({
        op,
        name: [origin.path, origin.op, String(i)].filter(Boolean).join('/'),
        inputs,
        outputs,
        attributes,
      });
    }
    return {
      name,
      nodes: [...this.nodes, ...body],
      initializers: this.initializers,
      inputs: first.inputs.map((_, i) => this.#value('inputs', i)),
      outputs: first.outputs.map((_, i) => this.#value('outputs', i)),
    };
  }
}

/** The nodes that the outputs depend on. */
function neededBy({ nodes, outputs }: Draft): Set<number> {
  const wanted = new Set(outputs.map(({ name }) => name));
  const used = new Set<number>();
  for (const [i, node] of [...nodes.entries()].reverse())
    if (node.outputs.some((name) => wanted.has(name))) {
      used.add(i);
      for (const name of node.inputs) wanted.add(name);
    }
  return used;
}

export const merged = (drafts: readonly Draft[], free: Free, name: string): Promise<OnnxGraph> =>
  new Merger(drafts, free).graph(name);
