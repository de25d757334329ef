// The picture of docs/from-pytorch.md: losses of ported programs, PyTorch's as dots, ours as lines.
import { drawChart, type Panel, type Point } from '../../examples/shared/chart';
import { init, shutdown } from '../../src/index.node.js';
import { losses, programs } from '../../tests/examples/ported-programs';

const TITLES = {
  mnist: 'A convolutional network (examples/mnist)',
  nanogpt: 'GPT (nanoGPT)',
  vit: 'Vision transformer',
  unet: 'U-Net',
} as const;

/** An SVG document. */
export async function drawPorted(): Promise<string> {
  await init();
  const panels: Panel[] = [];
  for (const [name, title] of Object.entries(TITLES)) {
    const want = losses(name);
    const got = (await programs[name]?.(want.length)) ?? [];
    const points = (list: readonly number[]) => list.map((loss, step): Point => [step + 1, loss]);
    const lines = [
      { label: 'ours', color: '#3a6ea5', points: points(got) },
      { label: '', color: '#c8502d', dots: true, points: points(want) },
    ];
    panels.push({ title, xName: 'step', fromZero: false, lines });
  }
  shutdown();
  return drawChart(
    'The same programs, the same weights',
    'loss; dots: PyTorch 2.13 in float64, lines: Dawnfield in float32',
    [panels.slice(0, 2), panels.slice(2)],
  );
}
