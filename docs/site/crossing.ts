// The picture of the front page and of README: the particles' times of one stage of a run of cifar-train, as lines that cross, with a ring at each
// re-sort. Without paper of its own and in colours of middle lightness, so that it reads on light and dark pages.
import { oklch } from '../../examples/browser/page/palette';
import type { StageLine } from '../../src/train/metrics';

export interface Moment {
  readonly step: number;
  readonly stage: StageLine;
}

const [WIDTH, HEIGHT, EDGE] = [720, 440, 14];

/** The moments of one stage of metrics.jsonl. */
export const momentsOf = (metrics: string, name: string): Moment[] =>
  metrics
    .split('\n')
    .filter(Boolean)
    .map((line): { step?: number; type: string; stages?: StageLine[] } => JSON.parse(line))
    .flatMap(({ type, step, stages }) => {
      const stage = stages?.find((one) => one.stage === name);
      return stage && step !== undefined && (type === 'step' || type === 'epoch') ? [{ step, stage }] : [];
    });

const timeOf = ({ stage }: Moment, particle: number): number => stage.tau[stage.order.indexOf(particle)] ?? Number.NaN;

/** The colour of a particle: it keeps it wherever it goes. */
const colorOf = (particle: number, n: number): string => oklch(0.66, 0.145, 25 + (300 * particle) / Math.max(n, 2));

/** An SVG document. */
export function drawCrossing(moments: readonly Moment[]): string {
  const n = moments[0]?.stage.order.length ?? 0;
  const times = moments.flatMap(({ stage }) => stage.tau);
  const [low, high] = [Math.min(...times), Math.max(...times)];
  const last = moments.at(-1)?.step ?? 1;
  const first = moments[0]?.step ?? 0;
  const x = (step: number) => EDGE + ((step - first) / (last - first || 1)) * (WIDTH - 2 * EDGE);
  const y = (time: number) => HEIGHT - EDGE - ((time - low) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
  const color = (particle: number) => colorOf(particle, n);
  const lines = Array.from({ length: n }, (_, particle) => {
    const points = moments.map((moment) => `${x(moment.step).toFixed(1)},${y(timeOf(moment, particle)).toFixed(1)}`);
    return `<polyline points="${points.join(' ')}" stroke="${color(particle)}"/>`;
  });
  const ring = (cx: number, cy: number, [a, b]: readonly [number, number]) =>
    [a, b]
      .map(
        (particle, way) =>
          `<path d="M${(cx - 5).toFixed(1)} ${cy.toFixed(1)}a5 5 0 0 ${way} 10 0" stroke="${color(particle)}"/>`,
      )
      .join('');
  const rings = moments.flatMap((moment, i) => {
    const before = moments[i - 1];
    return before ? crossed(before, moment).map(({ at: [step, time], pair }) => ring(x(step), y(time), pair)) : [];
  });
  const words = `Learned times of ${n} residual blocks over ${last} steps of training; they cross ${rings.length} times`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" ` +
    `aria-label="${words}" fill="none" stroke-width="2.6" stroke-linejoin="round" stroke-linecap="round">${lines.join('')}${rings.join('')}</svg>\n`
  );
}

/** The pairs that stand the other way round than before, and where their lines meet. */
function crossed(before: Moment, now: Moment): { at: [number, number]; pair: [number, number] }[] {
  const { order } = before.stage;
  return order.flatMap((a, i) =>
    order.slice(i + 1).flatMap((b) => {
      const [gap, later] = [timeOf(before, b) - timeOf(before, a), timeOf(now, b) - timeOf(now, a)];
      if (!(gap > 0 && later < 0)) return [];
      const share = gap / (gap - later);
      const time = timeOf(before, a) + share * (timeOf(now, a) - timeOf(before, a));
      return [
        {
          at: [before.step + share * (now.step - before.step), time] as [number, number],
          pair: [a, b] as [number, number],
        },
      ];
    }),
  );
}

/** The steps Δτ of the blocks as tiles in their order, at the first and the last moment: each block in its colour, dashed where its step goes back. */
export function drawTiles(moments: readonly Moment[]): string {
  const n = moments[0]?.stage.order.length ?? 0;
  const rows = [moments[0], moments.at(-1)].flatMap((moment, row) => {
    if (!moment) return [];
    const { tau, order } = moment.stage;
    const steps = order.map((_, i) => (tau[i] ?? 0) - (tau[i - 1] ?? 0));
    const share = (WIDTH - 2 * EDGE - 3 * (n - 1)) / steps.reduce((sum, step) => sum + Math.abs(step), 0);
    const [y, height] = [30 + row * 96, 52];
    let x = EDGE;
    const tiles = order.map((particle, i) => {
      const step = steps[i] ?? 0;
      const width = Math.abs(step) * share;
      const color = colorOf(particle, n);
      const look =
        step < 0 ? `fill="none" stroke="${color}" stroke-width="2" stroke-dasharray="5 4"` : `fill="${color}"`;
      const ink = step < 0 ? color : '#101318';
      const name =
        width > 16
          ? `<text x="${(x + width / 2).toFixed(1)}" y="${y + 32}" text-anchor="middle" fill="${ink}">${particle + 1}</text>`
          : '';
      const tile = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}" rx="6" ${look}/>${name}`;
      x += width + 3;
      return tile;
    });
    const words = row === 0 ? 'before training' : `after ${moment.step} steps`;
    return [`<text x="${EDGE}" y="${y - 9}" fill="#808791">${words}</text>${tiles.join('')}`];
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} 190" width="${WIDTH}" height="190" role="img" ` +
    `aria-label="The order of ${n} blocks and how far each one goes, before and after training" font-family="system-ui, sans-serif" ` +
    `font-size="15">${rows.join('')}</svg>\n`
  );
}
