/**
 * Bringing elements to positions that lie in a tensor:
 *
 *   y[…, k, …] = x[…, k, …] ⊕ { source[…, j, …] : index[…, j, …] = k }, j ascending
 *
 * It is a gather over the sources, without atomics: every result looks for its own, so that several that meet always combine in the same order.
 * `last` keeps the last one instead of combining. An index out of range spoils the results of its line (`bad`) and is reported (report.ts).
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import { functionsFor } from './functions';
import { decode, INDEX_TILE, params } from './gather';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

export type ScatterReduction = 'sum' | 'prod' | 'mean' | 'amax' | 'amin' | 'last';

export interface ScatterOptions {
  /** `Word` for `last` alone, which moves elements of any type. */
  readonly type: 'f32' | 'i32' | 'u32' | 'Word';
  readonly reduction: ScatterReduction;
  /** What the results start from: x, nothing (x stays where no source comes), or zeros without x. */
  readonly base: 'x' | 'sources' | 'zeros';
  /** `order` sorts the index along the axis: each result finds its sources by bisection instead of looking at all of them. */
  readonly sorted: boolean;
  readonly report: boolean;
}

/** The smallest and largest number of a type. */
const ends = {
  f32: ['-infinity()', 'infinity()'],
  i32: ['i32(-2147483647 - 1)', '2147483647i'],
  u32: ['0u', '0xffffffffu'],
  Word: ['0u', '0u'],
} as const;

/**
 * Bindings: x unless `zeros`, index, order where `sorted`, source, y, reports where `report`. Lists: dims (of y), xStrides, indexDims, indexStrides,
 * sourceStrides, orderStrides.
 */
export const scatter = (o: ScatterOptions): Kernel => cached(['scatter', o], () => build(o));

function build({ type, reduction, base, sorted, report }: ScatterOptions): Kernel {
  const fields = params('dims', 'xStrides', 'indexDims', 'indexStrides', 'sourceStrides', 'orderStrides');
  const indices = ['r index: Index', sorted && 'r order: i32'];
  const operands = [base !== 'zeros' && `r x: ${type}`, ...indices, `r source: ${type}`, `w y: ${type}`];
  const { head, io } = declare(fields, ...operands, report && REPORTS);
  const float = type === 'f32';
  const added = reduction === 'sum' || reduction === 'mean';
  const compensated = added && float;
  const extreme = (name: 'max' | 'min') => (float ? `acc = ${name}Of(acc, v);` : `acc = ${name}(acc, v);`);
  const combine = {
    sum: float ? 'acc = addTo(acc, v, p.rank >> 31u);' : 'acc += v;',
    mean: float ? 'acc = addTo(acc, v, p.rank >> 31u);' : 'acc += v;',
    prod: 'acc *= v;',
    amax: extreme('max'),
    amin: extreme('min'),
    last: 'acc = v;',
  }[reduction];
  const neutral = compensated
    ? 'vec3f()'
    : reduction === 'prod'
      ? `${type}(1)`
      : reduction === 'amax'
        ? ends[type][0]
        : reduction === 'amin'
          ? ends[type][1]
          : `${type}(0)`;
  const start = base !== 'x' ? neutral : compensated ? 'vec3f(x[xi], 0.0, x[xi])' : 'x[xi]';
  const total = compensated ? 'totalOf(acc)' : 'acc';
  // The mean of integers is rounded down.
  const quotient = float ? `${total} / f32(n)` : `acc / ${type}(n) - ${type}(acc % ${type}(n) != 0 && acc < 0)`;
  const value = reduction === 'mean' ? quotient : total;
  const code = wgsl`
${head}
${report ? reportFunction : ''}
${functionsFor(`${combine} ${neutral} ${total}`)}
${perThread('i', INDEX_TILE, 'p.n')}
  var xi = p.xAt;
  var at = p.indexAt;
  var source0 = p.sourceAt;
  var order0 = 0;
  var k = 0;
  var covered = true;
  ${decode(`
    xi += c * p.xStrides[d >> 2][d & 3];
    if (u32(d) == p.axis) { k = c; continue; }
    covered = covered && c < p.indexDims[d >> 2][d & 3];
    at += c * p.indexStrides[d >> 2][d & 3];
    source0 += c * p.sourceStrides[d >> 2][d & 3];
    order0 += c * p.orderStrides[d >> 2][d & 3];`)}
  let a = i32(p.axis);
  let count = select(0, p.indexDims[a >> 2][a & 3], covered);
  let step = p.indexStrides[a >> 2][a & 3];
  let stride = p.sourceStrides[a >> 2][a & 3];
  var good = true;
  var n = ${base === 'x' ? 1 : 0};
  var acc = ${start};
#if ${sorted}
  let orderStep = p.orderStrides[a >> 2][a & 3];
  if (count > 0) {
    // Indices of unsigned type are read as signed ones: beyond 2³¹ they are the last and negative.
    let least = index[at + order[order0] * step];
    let most = index[at + order[order0 + (count - 1) * orderStep] * step];
    good = least >= 0 && most >= 0 && most < p.extent;
    ${report ? 'if (!good) { report(select(most, least, least < 0)); }' : ''}
  }
  var low = 0;
  var high = count;
  while (low < high) {
    let middle = (low + high) / 2;
    if (index[at + order[order0 + middle * orderStep] * step] < k) { low = middle + 1; } else { high = middle; }
  }
  for (var j = low; j < count; j++) {
    let place = order[order0 + j * orderStep];
    if (index[at + place * step] != k) { break; }
    let v = source[source0 + place * stride];
    ${combine}
    n++;
  }
#else
  for (var j = 0; j < count; j++) {
    let goal = index[at + j * step];
    if (goal < 0 || goal >= p.extent) { good = false; ${report ? 'report(goal);' : ''} }
    if (goal == k) {
      let v = source[source0 + j * stride];
      ${combine}
      n++;
    }
  }
#endif
#if ${base === 'sources'}
  if (n == 0) { y[i] = select(bitcast<${type}>(p.bad), x[xi], good); return; }
#endif
  y[i] = select(bitcast<${type}>(p.bad), ${value}, good);
}`;
  return { name: `scatter.${reduction}`, code, ...io, grid: { tile: INDEX_TILE } };
}
