// The weights v_l(Θ, Θ̄) between the particles of a flow, all P² of them: two factors v = AᵀB that grow by a few rows with every step, and a
// matrix once that is cheaper.
import { at, fromEnd } from '../../shaders/checked';
import { append, contract, expand, sampleBlocks, TILE, workgroupSize } from '../../shaders/low-rank';
import { device, f32 } from '../gpu';
import { add, mul } from '../ops/elementwise';
import { concat } from '../ops/join';
import { matmul } from '../ops/matmul';
import { sum } from '../ops/reduce';
import { clone, narrow, permute, reshape, transpose } from '../ops/views';
import { bind } from '../tensor/elementwise';
import type { Tensor } from '../tensor/tensor';
import { empty } from '../tensor/tensor';

/** Updates that one pair of buffers holds, where the adapter binds buffers of that size. */
const UPDATES = 64;

/** Up to `capacity` quads of rows of A and B: [tiles, capacity, TILE, 4] each. */
interface Part {
  readonly a: Tensor;
  readonly b: Tensor;
  quads: number;
}

/** v [P, P], source × target, for P particles (a multiple of 32), as Σ scale·aᵀb over the updates made. Starts as 0. */
export class FlowWeights {
  readonly #parts: Part[] = [];
  /** Quads of a part, and of one update. */
  readonly #capacity: number;
  readonly #quads: number;
  readonly #tiles: number;
  #updates = 0;
  #matrix: Tensor | null = null;
  /** The last update, which may yet be taken back: not in the matrix so far. */
  #last: { a: Tensor; b: Tensor } | null = null;

  constructor(
    readonly samples: number,
    readonly particles: number,
  ) {
    this.#quads = Math.ceil(samples / 4);
    this.#tiles = particles / TILE;
    const most = Math.floor(device().limits.maxStorageBufferBindingSize / (16 * particles * this.#quads));
    this.#capacity = this.#quads * Math.max(1, Math.min(UPDATES, most));
  }

  /** Whether it has become a matrix. */
  get dense(): boolean {
    return this.#matrix !== null;
  }

  /** v ← v + scale·aᵀb for a, b [N, P]. Becomes a matrix where the factors would have more than P rows and one binding can hold it. */
  update(a: Tensor, b: Tensor, scale: number): void {
    const { samples, particles } = this;
    const fits = 4 * particles ** 2 <= device().limits.maxStorageBufferBindingSize;
    if (!this.#matrix && fits && samples * (this.#updates + 1) > particles) this.#densify();
    this.#updates++;
    if (this.#matrix) {
      this.#fold();
      this.#last = { a: clone(a).keep(), b: mul(b, scale).keep() };
      return;
    }
    let part = this.#parts.at(-1);
    if (!part || part.quads === this.#capacity) {
      const factor = () => empty('factor of flow weights', [this.#tiles, this.#capacity, TILE, 4]).keep();
      this.#parts.push((part = { a: factor(), b: factor(), quads: 0 }));
    }
    const row = (x: Tensor, factor: Tensor, s: number) => {
      const constants = [particles, part.quads, this.#capacity, samples, f32(s)];
      device().launch(append, [bind(x), bind(factor)], constants, [this.#tiles, this.#quads, 1]);
    };
    row(a, part.a, 1);
    row(b, part.b, scale);
    part.quads += this.#quads;
  }

  /** Takes the last update back. */
  retract(): void {
    this.#updates--;
    if (this.#matrix) {
      this.#forget();
      return;
    }
    const part = fromEnd(this.#parts, 1);
    part.quads -= this.#quads;
    if (part.quads === 0) this.#drop();
  }

  /** x v for x [N, P] on the sources: Σ_Θ x(Θ) v(Θ, Θ̄). */
  forward(x: Tensor): Tensor {
    return this.#product(x, 'a', 'b');
  }

  /** x vᵀ for x [N, P] on the targets: Σ_Θ̄ v(Θ, Θ̄) x(Θ̄). */
  backward(x: Tensor): Tensor {
    return this.#product(x, 'b', 'a');
  }

  /** v between `count` neighbouring particles, [count, count]. */
  block(from: number, count: number): Tensor {
    if (this.#matrix) {
      this.#fold();
      return narrow(narrow(this.#matrix, 0, from, count), 1, from, count);
    }
    const first = Math.floor(from / TILE);
    const tiles = Math.ceil((from + count) / TILE) - first;
    // [tiles, quads, TILE, 4] → [rows, particles]
    const rows = (factor: 'a' | 'b') =>
      this.#parts.map((part) => {
        const used = permute(narrow(narrow(part[factor], 0, first, tiles), 1, 0, part.quads), [1, 3, 0, 2]);
        return narrow(reshape(used, [4 * part.quads, TILE * tiles]), 1, from - TILE * first, count);
      });
    return matmul(transpose(concat(rows('a'))), concat(rows('b')));
  }

  dispose(): void {
    while (this.#parts.length) this.#drop();
    this.#matrix?.dispose();
    this.#forget();
  }

  #product(x: Tensor, from: 'a' | 'b', to: 'a' | 'b'): Tensor {
    if (this.#matrix) {
      const whole = matmul(x, from === 'a' ? this.#matrix : transpose(this.#matrix));
      return this.#last ? add(whole, matmul(matmul(x, transpose(this.#last[from])), this.#last[to])) : whole;
    }
    const { samples, particles } = this;
    const { target } = device();
    const blocks = sampleBlocks(samples).count;
    const y = empty('flow product', x.shape);
    for (const [i, part] of this.#parts.entries()) {
      const { quads } = part;
      const across = Math.ceil(quads / workgroupSize(target));
      const enough = target.isCpu ? 32 : 512; // workgroups
      const perSplit = Math.max(4, Math.ceil((this.#tiles * across) / enough));
      const splits = Math.ceil(this.#tiles / perSplit);
      const sums = empty('flow product', [splits, quads, samples, 4]);
      const divided = [particles / 4, quads, this.#capacity, this.#tiles, perSplit];
      device().launch(contract(samples, target), [bind(x), bind(part[from]), bind(sums)], divided, [
        across,
        splits,
        blocks,
      ]);
      const c = splits === 1 ? sums : sum(sums, 0);
      const constants = [particles, quads, this.#capacity, Number(i > 0)];
      device().launch(expand(samples, target), [bind(c), bind(part[to]), bind(y)], constants, [this.#tiles, 1, blocks]);
    }
    return y;
  }

  #densify(): void {
    this.#matrix = this.block(0, this.particles).keep();
    while (this.#parts.length) this.#drop();
  }

  #fold(): void {
    const old = this.#matrix;
    if (!this.#last || !old) return;
    this.#matrix = add(old, matmul(transpose(this.#last.a), this.#last.b)).keep();
    old.dispose();
    this.#forget();
  }

  #forget(): void {
    this.#last?.a.dispose();
    this.#last?.b.dispose();
    this.#last = null;
  }

  #drop(): void {
    const { a, b } = at(this.#parts.splice(-1), 0);
    a.dispose();
    b.dispose();
  }
}
