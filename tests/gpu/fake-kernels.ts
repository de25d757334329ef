// Kernels with an interpreter, of which flow.test.ts makes its random lists of launches: each mixes the words that it reads.
import type { ChunkSums, Kernel, Operation, Residual } from '../../shaders/kernel';
import { lowerings } from '../../shaders/lower';

/** A kernel with what it does: `at` are the words of its bindings. */
export interface Fake extends Kernel {
  run(at: Int32Array[], constants: readonly number[]): void;
}

const more = (hash: number, v: number): number => {
  const next = Math.imul(hash, 31) + v;
  return next ^ (next >>> 11);
};
export const mix = (...values: number[]): number => values.reduce(more, 7) | 0;
export const digest = (words: Int32Array): number => words.reduce(more, 7) | 0;

/** Every word of the written binding from the words of the others; 'x' sees itself too. */
export const mixer = (name: string, access: string, extra: Partial<Kernel> = {}): Fake => ({
  name,
  code: '',
  access,
  ...extra,
  run(at) {
    const out = at[access.search(/[wx]/)];
    const seen = at.filter((_, k) => access[k] !== 'w');
    for (let i = 0; i < out.length; i++) {
      let hash = i;
      for (const words of seen) hash = more(hash, words[i % words.length]);
      out[i] = hash;
    }
  },
});

export const update: Fake = {
  name: 'update',
  code: '',
  access: 'xrx',
  uniforms: 12,
  grid: { tile: 64 },
  flat: true,
  run([w, g, m], [n, ...numbers]) {
    for (let i = 0; i < n; i++) {
      m[i] = mix(m[i], g[i], ...numbers);
      w[i] = mix(w[i], m[i], ...numbers);
    }
  },
};

const family: Fake = {
  name: 'sum.joined',
  code: '',
  access: 'rwr',
  run([from, to, table], [count, records]) {
    for (let index = 0; index < count; index++) {
      const record = records + 5 * table[index];
      const [at0, at1, first, length, salt] = table.subarray(record, record + 5);
      sumGroup(from.subarray(at0), to.subarray(at1), index - first, length, salt);
    }
  },
};
const sumGroup = (from: Int32Array, to: Int32Array, group: number, length: number, salt: number) => {
  for (let i = 16 * group; i < Math.min(length, 16 * group + 16); i++) to[i] = mix(from[i], from[length + i], salt);
};
export const sum = (length: number, salt: number): Fake => ({
  name: 'sum',
  code: '',
  access: 'rw',
  segment: { family, groups: Math.ceil(length / 16), words: [length, salt] },
  run([from, to]) {
    for (let i = 0; i < Math.ceil(length / 16); i++) sumGroup(from, to, i, length, salt);
  },
});

const PLANE = 16;
export const norm = mixer('norm', 'rrw', { normalizes: { plane: PLANE, relu: true } });
export const partialsOf = (kind: ChunkSums['kind']): Fake => ({
  ...mixer(`${kind} sums`, kind === 'statistics' ? 'rw' : 'rrrw', { sums: { kind, plane: PLANE, relu: true } }),
  run(at) {
    at.at(-1)!.fill(mix(...at.slice(0, -1).map(digest)));
  },
});
/** Reads all of its inputs for every word of its output. */
const convRun = (at: Int32Array[]) => {
  const seed = mix(...at.slice(0, -1).map(digest));
  at.at(-1)!.forEach((_, i, out) => (out[i] = mix(seed, i)));
};
/** Adds a residual connection. */
export const addOf = (adds: Residual): Fake => ({
  ...mixer(adds, adds === 'step' ? 'rrrw' : 'rrw', { adds }),
  run(at) {
    const out = at.at(-1)!;
    const delta = adds === 'step' ? digest(at[2]) : 1;
    for (let i = 0; i < out.length; i++) out[i] = (at[0][i] + Math.imul(delta, at[1][i])) | 0;
  },
});
/** The gradient of a norm. */
export const applyOf = (onto: boolean): Fake =>
  mixer('apply', onto ? 'rrrrw' : 'rrrw', { differentiates: { plane: PLANE, relu: true, onto } });
/** A convolution that can be lowered again: behind a norm or its gradient, with a residual connection, with sums. */
interface FakeOperation extends Operation {
  readonly of: string;
  readonly chunks: number;
}
export const convolution = (operation: FakeOperation): Fake => {
  const { of, chunks, norm: behind, gradient, adds, sums } = operation;
  const images = { channels: 4, plane: PLANE };
  const step = adds === 'step';
  const through = gradient && (gradient.onto ? 'rrrw' : 'rrw');
  const access = ['rrw', behind && 'r', through, adds && (step ? 'rrw' : 'r'), sums && sumsAccess[sums.kind]];
  const free = !behind && !gradient;
  return {
    name: [of, adds, sums?.kind].filter(Boolean).join('.'),
    code: '',
    access: access.filter(Boolean).join(''),
    operation,
    ...(free && { onLoad: images, onGradient: images }),
    ...(!sums && { onStore: { ...images, chunks } }),
    run([x, w, out, ...rest]) {
      const next = (n: number) => rest.splice(0, n);
      let y = x;
      if (behind) norm.run([x, ...next(1), (y = new Int32Array(x.length))], []);
      if (through) {
        const more = next(through.length);
        applyOf(!!gradient?.onto).run([x, ...more], []);
        y = more.at(-1)!;
      }
      if (adds) {
        const [other, tau, branch = new Int32Array(out.length)] = next(step ? 3 : 1);
        convRun([y, w, branch]);
        addOf(adds).run(step ? [other, branch, tau, out] : [other, branch, out], []);
      } else convRun([y, w, out]);
      if (sums) partialsOf(sums.kind).run([out, ...rest], []);
    },
  };
};
const sumsAccess = { statistics: 'w', gradient: 'rrw' };
lowerings.fake = (operation: FakeOperation) => ({
  scratch: [],
  stages: [{ kernel: convolution(operation), inputs: ['a', 'b'], output: 'out' }],
  product: 0,
});
