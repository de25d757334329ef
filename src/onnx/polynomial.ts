// Sizes as polynomials of the free sizes: found from passes with each free size at two values in all combinations, proved by one more pass.

/** Coefficients by the positions of the free sizes that are multiplied: '' for the constant, '0' for the first, '0,1' for the product of both. */
export type Polynomial = ReadonlyMap<string, number>;

/** The free sizes of a pass: bit i of the number of a corner says whether size i is its second value. The last pass has third values. */
export function passesFor(values: readonly (readonly [number, number, number])[]): number[][] {
  const corners = Array.from({ length: 2 ** values.length }, (_, corner) =>
    values.map((three, i) => pick(three, (corner >> i) & 1)),
  );
  return [...corners, values.map((three) => pick(three, 2))];
}

const pick = (list: readonly number[] | undefined, i: number): number => list?.[i] ?? 0;

const bits = (set: number): number[] => Array.from({ length: 31 }, (_, i) => i).filter((i) => (set >> i) & 1);

/** The polynomial, linear in each free size, that a number follows through the passes; null where it follows none with whole coefficients. */
export function fit(passes: readonly (readonly number[])[], observed: readonly number[]): Polynomial | null {
  const free = passes[0]?.length ?? 0;
  const [low = [], high = []] = [passes[0], passes[2 ** free - 1]];
  const monomials = new Map<number, number>();
  for (let set = 0; set < 2 ** free; set++) {
    // The coefficient of the product of (size − low) over the set, by inclusion and exclusion.
    let sum = 0;
    for (let part = set; ; part = (part - 1) & set) {
      sum += (bits(set).length - bits(part).length) % 2 ? -pick(observed, part) : pick(observed, part);
      if (part === 0) break;
    }
    const coefficient = bits(set).reduce((value, i) => value / (pick(high, i) - pick(low, i)), sum);
    for (let part = set; ; part = (part - 1) & set) {
      const rest = bits(set & ~part).reduce((value, i) => value * -pick(low, i), coefficient);
      monomials.set(part, (monomials.get(part) ?? 0) + rest);
      if (part === 0) break;
    }
  }
  const found = new Map<string, number>();
  for (const [set, coefficient] of monomials) {
    const rounded = Math.round(coefficient);
    if (Math.abs(coefficient - rounded) > 1e-6) return null;
    if (rounded) found.set(bits(set).join(','), rounded);
  }
  return passes.every((sizes, i) => evaluated(found, sizes) === observed[i]) ? found : null;
}

export const factorsOf = (key: string): number[] => (key ? key.split(',').map(Number) : []);

function evaluated(polynomial: Polynomial, sizes: readonly number[]): number {
  let sum = 0;
  for (const [key, coefficient] of polynomial)
    sum += factorsOf(key).reduce((product, i) => product * pick(sizes, i), coefficient);
  return sum;
}

/** The number where the polynomial is one, else its text, such as `2*batch + 1`. */
export function shown(polynomial: Polynomial, names: readonly string[]): number | string {
  const terms = [...polynomial].map(([key, coefficient]) => {
    const factors = factorsOf(key).map((i) => names[i] ?? '?');
    return [...(coefficient === 1 && factors.length ? [] : [String(coefficient)]), ...factors].join('*');
  });
  if (!terms.length) return 0;
  return terms.length === 1 && polynomial.has('') ? (polynomial.get('') ?? 0) : terms.reverse().join(' + ');
}
