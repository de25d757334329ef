// What a run has shown so far, bounded: a long run keeps fewer points of its past, and every crossing.

import type { Crossing, History, Point, StageState } from './protocol';

/** Points of a run that are kept: when there are more, every second one of the older half goes. */
const MOST = 3000;

export const emptyHistory = (): History => ({ points: [], crossings: [], epochs: [] });

export function addPoint(history: History, point: Point, crossings: readonly Crossing[]): void {
  history.points.push(point);
  history.crossings.push(...crossings);
  if (history.points.length <= MOST) return;
  const half = MOST / 2;
  history.points = history.points.filter((_, i) => i >= half || i % 2 === 0);
}

/** The pairs of particles that stand the other way round than before. */
export function crossingsBetween(before: readonly StageState[], now: readonly StageState[], step: number): Crossing[] {
  return now.flatMap(({ order }, stage) => {
    const places = new Map((before[stage]?.order ?? order).map((particle, position) => [particle, position]));
    const found: Crossing[] = [];
    for (const [i, a] of order.entries())
      for (const b of order.slice(i + 1))
        if ((places.get(a) ?? 0) > (places.get(b) ?? 0)) found.push({ step, stage, a: b, b: a });
    return found;
  });
}
