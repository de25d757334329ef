// A kernel of your own with its gradient: `npm run custom-kernel`. SwiGLU in one launch is checked with finite differences, compared with the
// composition of built-in operations, and timed with it in a compiled step.

import { compile, device, F, gradcheck, manualSeed, randn, type Tensor } from '../../src/index.node.js';
import { adapterName, withDevice } from '../shared/device';
import { count, createProgram, printJson, runProgram, seedNumber } from '../shared/options';
import { swiglu } from './swiglu';

interface Options {
  rows: number;
  width: number;
  steps: number;
  seed: number;
  json?: boolean;
}

const program = createProgram('custom-kernel', 'Checks and times SwiGLU as a kernel of its own and as a composition.')
  .option('--rows <number>', 'rows of a and b', count, 512)
  .option('--width <number>', 'columns of a and b', count, 1024)
  .option('--steps <number>', 'forward and backward passes that are timed', count, 50)
  .option('--seed <number>', 'of the numbers', seedNumber, 0);

await runProgram<Options>(program, async (options) => {
  await withDevice(() => main(options));
});

function composed(a: Tensor, b: Tensor): Tensor {
  return F.silu(a).mul(b);
}

async function main({ rows, width, steps, seed, json }: Options): Promise<void> {
  const say = (line: string) => void (json || console.log(line));
  manualSeed(seed);

  const { error } = await gradcheck(
    swiglu,
    [randn([3, 5]), randn([3, 5])].map((x) => x.requiresGrad_()),
  );
  say(`gradcheck: gradients and tangents differ from finite differences by at most ${error.toExponential(1)}`);

  const [a, b, g] = [randn([rows, width]), randn([rows, width]), randn([rows, width])];
  const results = [];
  for (const [name, operation] of Object.entries({ swiglu, 'silu(a) · b': composed })) {
    const step = compile((x: Tensor, y: Tensor) => {
      const [p, q] = [x.detach().requiresGrad_(), y.detach().requiresGrad_()];
      const z = operation(p, q);
      z.backward({ gradient: g });
      return [z, p.grad, q.grad].filter((t) => t !== null);
    });
    const run = (times: number) => {
      for (let i = 0; i < times; i++) for (const result of step(a, b)) result.dispose();
      return device().sync();
    };
    await run(3); // as usual, traced, replayed
    const begin = performance.now();
    await run(steps);
    const milliseconds = (performance.now() - begin) / steps;
    const values = await Promise.all(step(a, b).map((x) => x.data()));
    const launches = step.plans[0]?.dispatches;
    results.push({ name, launches, milliseconds, values });
    say(`${name.padEnd(12)} ${launches} launches, forward and backward   ${milliseconds.toFixed(2)} ms`);
  }

  const [own = [], built = []] = results.map(({ values }) => values.flatMap((list) => [...list]));
  const difference = own.reduce((most, value, i) => Math.max(most, Math.abs(value - (built[i] ?? Number.NaN))), 0);
  say(`largest difference of the two, value and gradients: ${difference.toExponential(1)}   (${adapterName()})`);
  if (json) printJson({ gradcheck: error, difference, times: results.map(({ values: _, ...row }) => row) });
  if (!(difference < 1e-4)) throw new Error('the kernel and the composition differ');
}
