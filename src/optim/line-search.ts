// A line search for the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6), with the choices of PyTorch's L-BFGS, so that both try
// the same steps.

/** A point on the line: its distance t, value, slope along the line, and the gradient there. */
export interface Point<G> {
  readonly t: number;
  readonly value: number;
  readonly slope: number;
  readonly gradient: G;
}

const SUFFICIENT = 1e-4;
const CURVATURE = 0.9;

/** The minimum, between bounds, of the cubic through two points with their slopes. */
function cubicMinimum(p: Omit<Point<unknown>, 'gradient'>, q: typeof p, low?: number, high?: number): number {
  const [least, most] = [low ?? Math.min(p.t, q.t), high ?? Math.max(p.t, q.t)];
  const d = p.slope + q.slope - (3 * (p.value - q.value)) / (p.t - q.t);
  const square = d * d - p.slope * q.slope;
  if (!(square >= 0)) return (least + most) / 2;
  const [a, b] = p.t <= q.t ? [p, q] : [q, p];
  const root = Math.sqrt(square);
  const at = b.t - (b.t - a.t) * ((b.slope + root - d) / (b.slope - a.slope + 2 * root));
  return Math.min(Math.max(at, least), most);
}

/**
 * A point that satisfies the conditions, or the best of `most` tries, and how many they were. `start` is the point at 0, `first` the first distance tried, `length` the
 * largest element of the direction: brackets shorter than `tolerance` in it end the search.
 */
export async function strongWolfe<G>(
  at: (t: number) => Promise<Point<G>>,
  start: Point<G>,
  first: number,
  { length, tolerance, most }: { length: number; tolerance: number; most: number },
): Promise<{ point: Point<G>; tries: number }> {
  const tooHigh = (p: Point<G>) => p.value > start.value + SUFFICIENT * p.t * start.slope;
  const isFlat = (p: Point<G>) => Math.abs(p.slope) <= -CURVATURE * start.slope;
  let now = await at(first);
  let tries = 1;
  let steps = 0;
  let before = start;
  let bracket: [Point<G>, Point<G>] | null = null;
  while (steps < most) {
    if (tooHigh(now) || (steps > 1 && now.value >= before.value)) bracket = [before, now];
    else if (isFlat(now)) return { point: now, tries };
    else if (now.slope >= 0) bracket = [before, now];
    if (bracket) break;
    const t = cubicMinimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10);
    before = now;
    now = await at(t);
    tries++;
    steps++;
  }
  bracket ??= [start, now];
  // Which of the two is lower.
  let low: 0 | 1 = bracket[0].value <= bracket[1].value ? 0 : 1;
  let stuck = false;
  while (steps < most) {
    const [a, b] = bracket;
    if (Math.abs(b.t - a.t) * length < tolerance) break;
    let t = cubicMinimum(a, b);
    const [left, right] = [Math.min(a.t, b.t), Math.max(a.t, b.t)];
    const margin = 0.1 * (right - left);
    const close = Math.min(right - t, t - left) < margin;
    if (close && (stuck || t >= right || t <= left)) {
      t = Math.abs(t - right) < Math.abs(t - left) ? right - margin : left + margin;
      stuck = false;
    } else stuck = close;
    now = await at(t);
    tries++;
    steps++;
    const high = (1 - low) as 0 | 1;
    if (tooHigh(now) || now.value >= bracket[low].value) {
      bracket[high] = now;
      low = bracket[0].value <= bracket[1].value ? 0 : 1;
      continue;
    }
    const done = isFlat(now);
    if (!done && now.slope * (bracket[high].t - bracket[low].t) >= 0) bracket[high] = bracket[low];
    bracket[low] = now;
    if (done) break;
  }
  return { point: bracket[low], tries };
}
