// Lemma 3.3: the adjoint p(t) = ∂E/∂X(t) cannot vanish before the loss does,
//
//   ‖p(t)‖²_μ ≥ e^(−C) E      with C ≥ ‖∫ ∇_X f dρ‖ at all times
//
// as printed. What Gronwall's inequality gives from ‖p(1)‖² = 2E is 2E e^(−2C(1−t)). Both are measured on the toy, where ∇_X tanh(θX) ≤ ‖θ‖₂ and
// the readout has ‖w‖² in place of 1.

import { Matrix, SVD } from 'ml-matrix';
import { at, fromEnd, there, tuple } from '../../shaders/checked';
import { grad, type Tensor } from '../../src/index.node.js';
import type { Panel, Point } from '../shared/chart';
import { createToy, type ToyOptions, trainToy } from './toy';

interface Row {
  state: 'untrained' | 'trained';
  loss: number;
  /** ‖p(t)‖²_μ / (E‖w‖²) at t = 0, its least value, and that at the end: 2. */
  start: number;
  least: number;
  end: number;
  /** C, and the two bounds at t = 0. */
  c: number;
  printed: number;
  gronwall: number;
}

export async function adjointBound(
  o: ToyOptions,
  onRow: (row: Row) => void,
): Promise<{ rows: Row[]; panels: Panel[][] }> {
  const toy = createToy(o, true);
  const rows: Row[] = [];
  const lines: Panel['lines'][number][] = [];
  for (const state of ['untrained', 'trained'] as const) {
    if (state === 'trained') await trainToy(toy, o);
    const { stage, x, y, w } = toy;
    const ends = [...(await stage.ends.data())];
    // Every X^l is asked for its gradient.
    const features: Tensor[] = [x.detach().requiresGrad_()];
    for (const [l, f] of stage.branches.entries()) {
      const delta = at(ends, l) - (ends[l - 1] ?? 0);
      const below = at(features, l);
      features.push(below.add(f(below).mul(delta)));
    }
    const loss = toy.readout(fromEnd(features, 1)).sub(y).square().mean().mul(0.5);
    const gradients = grad(loss, features);
    const [energy, norm] = [await loss.item(), (await w.square().sum().item()) * (await loss.item())];
    const samples = at(x.shape, 0);
    const points: Point[] = [];
    for (const [l, p] of gradients.entries()) {
      // The loss is a mean over the samples: p(x) is that many times its gradient.
      const size = (await there(p, `gradient of state ${l}`).square().sum().item()) * samples;
      points.push([l === 0 ? 0 : at(ends, l - 1), size / norm]);
    }
    const norms: number[] = [];
    for (const particle of stage.particles) {
      const theta = at(particle.parameters(), 0);
      const [rows_, columns] = tuple(theta.shape, 2);
      norms.push(new SVD(Matrix.from1DArray(rows_, columns, [...(await theta.data())])).norm2);
    }
    const end = fromEnd(ends, 1);
    const c = Math.max(...norms) * end;
    const values = points.map(([, v]) => v);
    const row = {
      ...{ state, loss: energy, start: at(values, 0), least: Math.min(...values), end: fromEnd(values, 1) },
      ...{ c, printed: Math.exp(-c), gronwall: 2 * Math.exp(-2 * c) },
    };
    rows.push(row);
    onRow(row);
    const color = state === 'trained' ? '#c8502d' : '#3a6ea5';
    const bound = points.map(([t]): Point => [t, 2 * Math.exp(-2 * c * (1 - t / end))]);
    lines.push({ label: state, color, points }, { label: `${state}, bound`, color, points: bound, dashed: true });
  }
  const title = '‖p(t)‖² by the loss (Lemma 3.3)';
  return { rows, panels: [[{ title, xName: 't', lines, fromZero: false, log: 'y' }]] };
}
