// Reductions of an elementwise expression over any dimensions:  out[k] = final(⊕_r map(operands[k, r])),  ⊕ = +, ·, max, min, argmax, argmin.
//
// Every operand has strides for the kept and for the reduced dimensions (0 where it is repeated), so views and broadcasting cost no copy.
// 'rows': a workgroup per result; its threads take every 64th element and then combine in a tree. 'columns': a thread per result.
// Serial sums go by blocks of BLOCK. A long range is split; the partial results of split p stand at out[p·n + k] and are reduced by a second launch. Splits bound the length of
// a serial sum, so that rounding errors grow as in a pairwise sum, and the order of operations depends on the shapes only.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare } from './build';
import { decodeLoop, offsetAt, offsetsType } from './decode';
import { type ElementType, stored, wide } from './elementwise';
import { functionsFor, type Library } from './functions';
import type { Kernel } from './kernel';

export type Reduction = 'sum' | 'prod' | 'max' | 'min' | 'argmax' | 'argmin';

export interface ReduceOptions {
  name: string;
  reduction: Reduction;
  /** WGSL in terms of the operands' names and the scalars s, t. */
  map: string;
  operands: { name: string; type: ElementType }[];
  /** The type of the mapped values. */
  compute: Exclude<ElementType, 'bool' | 'f16'>;
  /** Operands are converted to that type first; otherwise `map` sees each as it is. */
  convert: boolean;
  /** WGSL in terms of the reduced value `acc` and the scalars s, t. */
  final: string;
  result: ElementType;
  mode: 'rows' | 'columns';
  /** More than one reduced dimension: the index is decoded for every element. */
  decode: boolean;
}

export const ROWS_WORKGROUP = 64;
const COLUMNS_WORKGROUP = 64;
/** Elements that a thread combines before it adds them to the rest: rounding errors grow with the length of serial sums. */
const BLOCK = 16;

/** ⊕ of two values. NaN wins in max and min. */
const combine = (reduction: Reduction, type: ElementType): string => {
  const nan = type === 'f32' ? ' || isNan(b)' : '';
  if (reduction === 'sum') return 'return a + b;';
  if (reduction === 'prod') return 'return a * b;';
  return `return select(a, b, b ${reduction.endsWith('max') ? '>' : '<'} a${nan});`;
};

/**
 * Constants: results, kept rank, reduced rank, elements reduced, chunk, first value (bits), 2 unused, 4 scalars, 8 dimensions (kept, then
 * reduced), 8 strides and then an offset of every operand. `library`: what `map` calls beyond the functions for every expression.
 */
export const reduce = (o: ReduceOptions, library?: Library): Kernel => cached(['reduce', o], () => build(o, library));

function build(o: ReduceOptions, library: Library | undefined): Kernel {
  const { operands, compute, result } = o;
  const n = operands.length;
  const arg = o.reduction.startsWith('arg');
  const rows = o.mode === 'rows';
  const plus = combine(o.reduction, compute);
  const better = `${compute === 'f32' ? '(isNan(a) && !isNan(b)) || ' : ''}a ${o.reduction === 'argmax' ? '>' : '<'} b`;
  const { head, io } = declare(
    'n: u32, keptRank: u32, reducedRank: u32, count: u32, chunk: u32, identity: u32, gap0: u32, gap1: u32, ' +
      `scalars: vec4f, dims: array<vec4u, 2>, strides: array<vec4i, ${Math.max(1, 2 * n)}>, offsets: ${offsetsType(n)}`,
    ...operands.map(({ type }, i) => `r in${i}: ${stored(type)}`),
    `w out: ${arg ? 'i32' : stored(result)}`,
  );
  const loaded = ({ type }: { type: ElementType }, k: number) => {
    const element = `in${k}[at${k}]`;
    return o.convert && type !== compute
      ? `${compute}(${element})`
      : type === 'bool'
        ? `${element} != 0u`
        : `${wide(type)}(${element})`;
  };
  const code = wgsl`
${head}
${functionsFor(`${o.map} ${o.final} ${plus} ${better}${result === 'f16' ? ' toHalf(x)' : ''}`, library)}
fn combine(a: ${compute}, b: ${compute}) -> ${compute} { ${plus} }
fn better(a: ${compute}, b: ${compute}) -> bool { return ${better}; }
fn map(${operands.map((q) => `${q.name}: ${o.convert ? compute : wide(q.type)}`).join(', ')}) -> ${compute} {
  let s = p.scalars.x; let t = p.scalars.y;
  return ${compute}(${o.map});
}
fn finish(acc: ${compute}) -> ${wide(result)} {
  let s = p.scalars.x; let t = p.scalars.y;
  return ${wide(result)}(${o.final});
}
#if ${rows}
const SIZE = ${ROWS_WORKGROUP}u;
var<workgroup> values: array<${compute}, ${ROWS_WORKGROUP}>;
var<workgroup> places: array<u32, ${arg ? ROWS_WORKGROUP : 1}>;
#endif
@compute @workgroup_size(${rows ? ROWS_WORKGROUP : COLUMNS_WORKGROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let group = w.y * groups.x + w.x;
  let splits = max(1u, (p.count + p.chunk - 1u) / p.chunk); // an empty range has a split, so that its result is written
#if ${rows}
  let id = group;
#else
  let id = group * ${COLUMNS_WORKGROUP}u + l;
#endif
  if (id >= p.n * splits) { return; }
  let begin = (id / p.n) * p.chunk;
  let end = min(begin + p.chunk, p.count);
  var rest = id % p.n;
  ${operands.map((_, k) => `var base${k} = i32(${offsetAt(k, n)});`).join(' ')}
  ${decodeLoop(n, 'base', 'rest', '0', 'p.keptRank')}
  var best = bitcast<${compute}>(p.identity);
  var place = begin;
#if ${!o.decode}
  let last = p.keptRank;
  ${operands.map((_, k) => `let step${k} = p.strides[${2 * k}u + (last >> 2u)][last & 3u];`).join(' ')}
#endif
#if ${rows}
  place = begin + l;
  let step = SIZE;
#else
  let step = 1u;
#endif
  for (var block = place; block < end; block += ${BLOCK}u * step) {
  var part = bitcast<${compute}>(p.identity);
  let stop = min(end, block + ${BLOCK}u * step);
  for (var r = block; r < stop; r += step) {
#if ${o.decode}
    ${operands.map((_, k) => `var at${k} = base${k};`).join(' ')}
    var left = r;
    ${decodeLoop(n, 'at', 'left', 'i32(p.keptRank)', 'p.keptRank + p.reducedRank')}
#else
    ${operands.map((_, k) => `let at${k} = base${k} + i32(r) * step${k};`).join(' ')}
#endif
    let value = map(${operands.map(loaded).join(', ')});
#if ${arg}
    if (r == place || better(value, best)) { best = value; place = r; }
#else
    part = combine(part, value);
#endif
  }
#if ${!arg}
  best = combine(best, part);
#endif
  }
#if ${rows}
  values[l] = best;
#if ${arg}
  places[l] = place;
#endif
  workgroupBarrier();
  for (var half = SIZE / 2u; half > 0u; half /= 2u) {
    // Only threads that have an element take part: those beyond it hold none.
    if (l < half && l + half < end - begin) {
#if ${arg}
      let v = values[l + half];
      let q = places[l + half];
      if (better(v, values[l]) || (!better(values[l], v) && q < places[l])) { values[l] = v; places[l] = q; }
#else
      values[l] = combine(values[l], values[l + half]);
#endif
    }
    workgroupBarrier();
  }
  if (l > 0u) { return; }
#if ${arg}
  place = places[0];
#endif
  best = values[0];
#endif
#if ${arg}
  out[id] = i32(place);
#elif ${result === 'bool'}
  out[id] = u32(finish(best));
#elif ${result === 'f16'}
  out[id] = toHalf(finish(best));
#else
  out[id] = finish(best);
#endif
}`;
  return { name: o.name, code, ...io, grid: { tile: rows ? 1 : COLUMNS_WORKGROUP } };
}
