// Positions in several dimensions as positions in one, and where values stand in sorted lines.
//
//   positions      y = before · extent + index, a negative index counting from the end; −1 where one is out of range, which is reported (report.ts)
//   searchSorted   y[i] = how many elements of the sorted line come before value i
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';
import { REPORTS, reportFunction } from './report';

const TILE = 64;

/** Bindings: before unless it is the first dimension, index, y, reports. `negative`: whether negative indices count from the end. */
export const positions = (first: boolean): Kernel =>
  cached(['positions', first], () => {
    const fields = 'n: u32, extent: i32, negative: u32, slot: u32';
    const { head, io } = declare(fields, !first && 'r before: i32', 'r index: Index', 'w y: i32', REPORTS);
    const code = wgsl`
${head}
${reportFunction}
${perThread('i', TILE, 'p.n')}
  let given = index[i];
  let k = given + select(0, p.extent, given < 0 && given >= -p.extent && p.negative != 0u);
  let good = k >= 0 && k < p.extent;
  if (!good) { report(given); }
  let start = ${first ? '0' : 'before[i]'};
  y[i] = select(-1, start * p.extent + k, good && start >= 0);
}`;
    return { name: 'positions', code, ...io, grid: { tile: TILE } };
  });

/**
 * Bindings: sorted [lines, n] (or one line for all), values [lines, m], y (int32). Constants: values, n, m, elements from line to line. With `right`
 * equal elements come before the value. NaN, in a line or as a value, sends the search to the right, as in PyTorch; with `nanLast` a line may end in
 * NaN.
 */
export const searchSorted = (type: 'f32' | 'i32' | 'u32', right: boolean, nanLast: boolean): Kernel =>
  cached(['searchSorted', type, right, nanLast], () => {
    const fields = 'count: u32, n: u32, m: u32, stride: u32';
    const { head, io } = declare(fields, `r sorted: ${type}`, `r values: ${type}`, 'w y: i32');
    const less = `a ${right ? '<=' : '<'} v`;
    const before =
      type !== 'f32' ? less : nanLast ? `!isNan(a) && (isNan(v) || ${less})` : `isNan(a) || isNan(v) || ${less}`;
    const code = wgsl`
${head}
${functionsFor(before)}
${perThread('i', TILE, 'p.count')}
  let base = i / p.m * p.stride;
  let v = values[i];
  var low = 0u;
  var high = p.n;
  while (low < high) {
    let middle = (low + high) / 2u;
    let a = sorted[base + middle];
    if (${before}) { low = middle + 1u; } else { high = middle; }
  }
  y[i] = i32(low);
}`;
    return { name: 'searchSorted', code, ...io, grid: { tile: TILE } };
  });
