// The gradient comparison of Figure 1 of Lu et al. 2020: the gradient of every particle in the deep network against that in its two-layer
// counterpart X⁰ + Σ Δ_l f_l(X⁰), at equal loss: both get the deep network's gradient at their outputs.

import { at, there } from '../../shaders/checked';
import { expand, F, grad, type Tensor } from '../../src/index.node.js';
import { type Panel, ramp } from '../shared/chart';
import { asTrained, type Reading, type Subject } from './subject';

interface Row {
  subject: string;
  stage: string;
  position: number;
  /** ‖∂E/∂θ_l‖ in both networks, their quotient, and the cosine of the angle between the gradients. */
  deep: number;
  shallow: number;
  ratio: number;
  cosine: number;
}

const twoLayer: Reading = ({ branches, tau }, x) => expand(x, branches, tau, 1);

export async function gradients(
  subjects: readonly Subject[],
  onRow: (row: Row) => void,
): Promise<{ rows: Row[]; losses: object[]; panels: Panel[][] }> {
  const rows: Row[] = [];
  const losses: object[] = [];
  for (const { name, stages, batch, lossOf, forward } of subjects) {
    const particles = stages.flatMap((stage) =>
      stage.particles.map((particle, l) => ({ stage: stage.name, l, particle })),
    );
    const weights = particles.flatMap(({ particle }) => particle.parameters());
    const ofWeights = async (output: Tensor, gradient: Tensor) => {
      const all = grad(output, weights, { gradient });
      const data: Float32Array[] = [];
      let at = 0;
      for (const { particle } of particles) {
        const mine = particle.parameters().map((p, i) => (all[at + i] ?? p.detach().mul(0)).flatten());
        at += mine.length;
        data.push(Float32Array.from(await F.concat(mine).data()));
      }
      return data;
    };
    const output = forward(batch.x, asTrained);
    const leaf = output.detach().requiresGrad_();
    const loss = lossOf(leaf, batch.y);
    const atOutput = there(grad(loss, [leaf])[0], 'gradient at the output').keep();
    const deep = await ofWeights(output, atOutput);
    const counterpart = forward(batch.x, twoLayer);
    const own = lossOf(counterpart.detach(), batch.y);
    const shallow = await ofWeights(counterpart, atOutput);
    losses.push({ subject: name, loss: await loss.item(), twoLayerLoss: await own.item() });
    atOutput.dispose();
    particles.forEach(({ stage, l }, i) => {
      const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, k) => sum + v * (b[k] as number), 0);
      const [inDeep, inShallow] = [at(deep, i), at(shallow, i)];
      const [a, b] = [Math.sqrt(dot(inDeep, inDeep)), Math.sqrt(dot(inShallow, inShallow))];
      const angle = dot(inDeep, inShallow) / (a * b);
      const row = { subject: name, stage, position: l + 1, deep: a, shallow: b, ratio: a / b, cosine: angle };
      rows.push(row);
      onRow(row);
    });
  }
  const panel = (key: 'ratio' | 'cosine', title: string): Panel => ({
    title,
    xName: 'particle, through all stages',
    fromZero: true,
    lines: subjects.map(({ name }, i) => {
      const mine = rows.filter((row) => row.subject === name);
      const color = ramp(i, subjects.length);
      return { label: name, color, points: mine.map((row, k) => [k + 1, row[key]] as [number, number]) };
    }),
  });
  const panels = [[panel('ratio', '‖deep gradient‖ / ‖two-layer gradient‖')], [panel('cosine', 'cosine between them')]];
  return { rows, losses, panels };
}
