// The test error by each option that was varied: a dot for every run, a line through the means.

import { drawChart, type Line, type Panel, type Point } from '../shared/chart';
import type { PointResult } from './results';

/** Draws a panel for each option as an SVG document, three in a row. */
export function drawSweep(results: readonly PointResult[]): string {
  const names = Object.keys(results[0]?.point ?? {});
  const panels = names.map((name) => panelOf(name, results));
  const rows = Array.from({ length: Math.ceil(panels.length / 3) }, (_, i) => panels.slice(3 * i, 3 * i + 3));
  return drawChart('Test error after the last epoch (%)', 'dots: runs; lines: means over all else', rows);
}

function panelOf(name: string, results: readonly PointResult[]): Panel {
  const values = [...new Set(results.map(({ point }) => point[name] ?? ''))];
  const numbers = values.map(Number);
  const isNumeric = numbers.every(Number.isFinite);
  const ordered = isNumeric ? values.sort((a, b) => Number(a) - Number(b)) : values;
  // What is no number stands at its place in the list.
  const positionOf = (value: string): number => (isNumeric ? Number(value) : ordered.indexOf(value) + 1);
  const dots: Point[] = [];
  const means: Point[] = [];
  for (const value of ordered) {
    const errors = results.flatMap(({ point, runs }) =>
      point[name] === value ? runs.map((run) => run.testError) : [],
    );
    for (const error of errors) dots.push([positionOf(value), error]);
    if (errors.length) means.push([positionOf(value), errors.reduce((a, b) => a + b, 0) / errors.length]);
  }
  const lines: Line[] = [
    { label: '', color: '#3a6ea5a0', dots: true, points: dots },
    ...(isNumeric && means.length > 1 ? [{ label: '', color: '#3a6ea5', width: 2, points: means }] : []),
  ];
  const isWide = isNumeric && Math.min(...numbers) > 0 && Math.max(...numbers) > 8 * Math.min(...numbers);
  return {
    title: name,
    xName: isNumeric ? name : ordered.map((value, i) => `${i + 1} ${value}`).join(', '),
    lines,
    fromZero: false,
    freeX: true,
    ...(isWide && { log: 'x' as const }),
  };
}
