/**
 * Stable sorting of lines: for every line of x [outer, n, inner] the order of its elements, as positions.
 *
 * Values become u32 keys that sort like them: floats by flipping their bits, −0 equal to 0, NaN above all. `descending` inverts the keys, so
 * NaN comes first and equal values keep their order, as in PyTorch. Short lines count ranks, O(n²) without a barrier; longer ones go through
 * a bitonic network of (key, position) pairs, which are all distinct: that makes it stable.
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import type { Kernel } from './kernel';

const SORT_TILE = 64;

export type SortType = 'f32' | 'i32' | 'u32';

/** `n` elements a line, `padded` pairs a line (a power of two); `span` and `reach` of a bitonic pass. */
const PARAMS = 'threads: u32, n: u32, inner: u32, padded: u32, span: u32, reach: u32';

function keyOf(type: SortType, descending: boolean): string {
  const ascending = {
    f32: `
  if ((v & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  return select(v ^ 0xffffffffu, v | 0x80000000u, v < 0x80000000u || v == 0x80000000u);`,
    i32: 'return v ^ 0x80000000u;',
    u32: 'return v;',
  }[type];
  return `fn ascending(v: u32) -> u32 { ${ascending} }
fn keyOf(v: u32) -> u32 { return ${descending ? '~' : ''}ascending(v); }`;
}

/** order[rank of x[i]] = position of i, the rank being the number of elements before it. Bindings: x, order. */
export const sortByRank = (type: SortType, descending: boolean): Kernel =>
  cached(['sortByRank', type, descending], () => {
    const { head, io } = declare(PARAMS, 'r x: Word', 'w order: i32');
    const code = wgsl`
${head}
${keyOf(type, descending)}
${perThread('i', SORT_TILE, 'p.threads')}
  let place = i / p.inner % p.n;
  let base = i - place * p.inner;
  let key = keyOf(x[i]);
  var rank = 0u;
  for (var j = 0u; j < p.n; j++) {
    let other = keyOf(x[base + j * p.inner]);
    rank += u32(other < key || (other == key && j < place));
  }
  order[base + rank * p.inner] = i32(place);
}`;
    return { name: 'sort.rank', code, ...io, grid: { tile: SORT_TILE } };
  });

/** (key, position) of every element, filled up with pairs that sort last. Bindings: x, pairs. */
export const sortPairs = (type: SortType, descending: boolean): Kernel =>
  cached(['sortPairs', type, descending], () => {
    const { head, io } = declare(PARAMS, 'r x: Word', 'w pairs: vec2u');
    const code = wgsl`
${head}
${keyOf(type, descending)}
${perThread('i', SORT_TILE, 'p.threads')}
  let line = i / p.padded;
  let place = i % p.padded;
  if (place >= p.n) { pairs[i] = vec2u(0xffffffffu, place); return; }
  pairs[i] = vec2u(keyOf(x[(line / p.inner * p.n + place) * p.inner + line % p.inner]), place);
}`;
    return { name: 'sort.pairs', code, ...io, grid: { tile: SORT_TILE } };
  });

/** One pass of the network: compares elements that are `reach` apart, in blocks of `span`. Bindings: pairs in place. */
export const sortPass = (): Kernel =>
  cached(['sortPass'], () => {
    const { head, io } = declare(PARAMS, 'x pairs: vec2u');
    const code = wgsl`
${head}
${perThread('t', SORT_TILE, 'p.threads')}
  let i = t / p.reach * p.reach * 2u + t % p.reach;
  let a = pairs[i];
  let b = pairs[i + p.reach];
  let later = a.x > b.x || (a.x == b.x && a.y > b.y);
  let up = ((i % p.padded) & p.span) == 0u;
  if (later == up) {
    pairs[i] = b;
    pairs[i + p.reach] = a;
  }
}`;
    return { name: 'sort.pass', code, ...io, grid: { tile: SORT_TILE } };
  });

/** The positions of the sorted pairs. Bindings: pairs, order. */
export const sortOrder = (): Kernel =>
  cached(['sortOrder'], () => {
    const { head, io } = declare(PARAMS, 'r pairs: vec2u', 'w order: i32');
    const code = wgsl`
${head}
${perThread('i', SORT_TILE, 'p.threads')}
  let line = i / (p.n * p.inner) * p.inner + i % p.inner;
  order[i] = i32(pairs[line * p.padded + i / p.inner % p.n].y);
}`;
    return { name: 'sort.order', code, ...io, grid: { tile: SORT_TILE } };
  });
