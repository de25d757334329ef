// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
// Every draw is a pure function of (seed, stream, substream, position), so Node, browser and GPU agree bit for bit and
// a resumed run goes on where it stopped. shaders/random.ts holds the same generator in WGSL.
// Draws are many: `as number` stands where an index is below the length of what it reads, without a check.

/** Who draws what: one key per purpose, so that adding a consumer never shifts another one's numbers. */
export const Stream = {
  shuffle: 1,
  augment: 2,
  subset: 3,
  synthetic: 4,
  init: 5,
  dropout: 6,
  turnover: 8,
  mix: 9,
} as const;

/** High 32 bits of the product of two u32: 16-bit halves keep every partial product below 2^32. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
}

/** Ten rounds on (counter c0…c3, key k0 k1), four u32 into `out`. */
function rounds(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = mulHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Philox4x32-10 of a counter of four u32 under a key of two u32. */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>): Uint32Array {
  const out = new Uint32Array(4);
  rounds(out, ...(Array.from(counter) as [number, number, number, number]), ...(Array.from(key) as [number, number]));
  return out;
}

/** Four u32 for (seed, stream) as the key and (counter, substream, 0, 0) as the counter. */
export function philox(seed: number, stream: number, counter: number, substream = 0): Uint32Array {
  return philox4x32([counter >>> 0, substream >>> 0, 0, 0], [checkSeed(seed), stream >>> 0]);
}

/** Returns the seed, or throws: a seed is an integer from 0 to 2^32 − 1, since it is one word of the Philox key. */
export function checkSeed(seed: number): number {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new RangeError(`seed ${seed}: expected an integer from 0 to 4294967295`);
  }
  return seed;
}

/**
 * Sequential draws from one Philox stream. `substream`, and `part` within it, tell apart the epochs, images … that share a stream:
 * `new Rng(seed, Stream.shuffle, epoch).permutation(n)`.
 */
export class Rng {
  private readonly block = new Uint32Array(4);
  private next = 0;
  private left = 0;
  private spare: number | undefined;

  constructor(
    private readonly seed: number,
    private readonly stream: number,
    private readonly substream = 0,
    private readonly part = 0,
  ) {
    checkSeed(seed);
  }

  /** A uniform integer in [0, 2^32). */
  u32(): number {
    if (this.left === 0) {
      rounds(this.block, this.next++, this.substream, this.part, 0, this.seed, this.stream);
      this.left = 4;
    }
    return this.block[4 - this.left--] as number;
  }

  /** Uniform in [0, 1) with 24 bits: exact in float32. */
  uniform(): number {
    return (this.u32() >>> 8) / 0x1000000;
  }

  /** A uniform integer in [0, n), without modulo bias; 1 ≤ n ≤ 2^32. */
  int(n: number): number {
    if (!(n >= 1 && n <= 0x100000000)) throw new RangeError(`int(${n}): expected 1 ≤ n ≤ 4294967296`);
    const limit = 0x100000000 - (0x100000000 % n);
    let u = this.u32();
    while (u >= limit) u = this.u32();
    return u % n;
  }

  /** The integers 0 … n − 1 in random order (Fisher–Yates). */
  permutation(n: number): Uint32Array<ArrayBuffer> {
    const order = new Uint32Array(n).map((_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const moved = order[i] as number;
      order[i] = order[j] as number;
      order[j] = moved;
    }
    return order;
  }

  /** Standard normal (Marsaglia's polar method), bit-identical on every engine: uses no library logarithm. */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    for (;;) {
      const x = 2 * this.uniform() - 1;
      const y = 2 * this.uniform() - 1;
      const r2 = x * x + y * y;
      if (r2 === 0 || r2 >= 1) continue;
      const scale = Math.sqrt((-2 * log(r2)) / r2);
      this.spare = y * scale;
      return x * scale;
    }
  }

  /** λ of Beta(alpha, alpha), alpha > 0, in [0, 1]: of two gamma variates the share of the first. The same on every engine. */
  beta(alpha: number): number {
    const [a, b] = [this.#logGamma(alpha), this.#logGamma(alpha)];
    return 1 / (1 + exp(b - a));
  }

  /** ln of a variate of Gamma(alpha, 1) (Marsaglia and Tsang, 2000); below 1 from that of alpha + 1, times u^(1/alpha). */
  #logGamma(alpha: number): number {
    const d = alpha + Number(alpha < 1) - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      const u = 1 - this.uniform(); // above 0
      if (!(v > 0) || log(u) >= (x * x) / 2 + d - d * v + d * ln(v)) continue;
      return ln(d) + ln(v) + (alpha < 1 ? log(1 - this.uniform()) / alpha : 0);
    }
  }
}

/**
 * Natural logarithm for 0 < x ≤ 1 from IEEE arithmetic alone, because Math.log may differ in the last bit between
 * engines: ln(m · 2^−e) = 2 atanh((m − 1)/(m + 1)) − e ln 2 with m in [√½, √2), where the series ends below 2^−53.
 */
function log(x: number): number {
  let e = 0;
  while (x < Math.SQRT1_2) {
    x *= 2;
    e++;
  }
  const t = (x - 1) / (x + 1);
  let sum = 0;
  for (let k = 21; k >= 1; k -= 2) sum = sum * t * t + 1 / k;
  return 2 * t * sum - e * Math.LN2;
}

/** The same for any x > 0. */
const ln = (x: number): number => (x > 1 ? -log(1 / x) : log(x));

/** e^x from IEEE arithmetic alone: 2^k · e^r with |r| ≤ ln 2 / 2. */
function exp(x: number): number {
  const k = Math.round(x / Math.LN2);
  const r = x - k * Math.LN2;
  let sum = 1;
  for (let i = 16; i >= 1; i--) sum = 1 + (sum * r) / i;
  return sum * 2 ** k;
}
