// The example of a kernel of one's own with its gradient: SwiGLU against the composition of built-in operations.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { swiglu } from '../../examples/custom-kernel/swiglu';
import { compile, F, gradcheck, jvp, manualSeed, randn, type Tensor } from '../../src/index.node.js';
import { programOf } from '../program';
import { close, useGpu } from '../util';

useGpu();

const composed = (a: Tensor, b: Tensor): Tensor => F.silu(a).mul(b);

test('values, gradients and tangents are those of the composition', async () => {
  manualSeed(1);
  const [a, b, ta, tb] = [0, 1, 2, 3].map(() => randn([4, 6]).mul(3));
  const outcome = async (f: typeof composed) => {
    const [p, q] = [a.detach().requiresGrad_(), b.detach().requiresGrad_()];
    const y = f(p, q);
    y.mul(y).sum().backward();
    const { tangent } = jvp(f, [a, b], [ta, tb]);
    return Promise.all([y, p.grad!, q.grad!, tangent].map((x) => x.data()));
  };
  const [own, built] = [await outcome(swiglu), await outcome(composed)];
  own.forEach((values, k) => close(values, built[k], 1e-5));
});

test('gradcheck, in both modes', async () => {
  const inputs = [randn([2, 3]), randn([2, 3])].map((x) => x.requiresGrad_());
  assert.ok((await gradcheck(swiglu, inputs)).error < 2e-3);
});

test('three launches in a compiled step where the composition has more', () => {
  const x = randn([8]).requiresGrad_();
  const launches = (f: typeof composed) => {
    const step = compile(() => {
      const y = f(x, x.mul(2));
      x.grad = null;
      y.backward({ gradient: y.detach() });
      return y;
    });
    for (let i = 0; i < 3; i++) step();
    return step.plans[0].kernels;
  };
  const own = launches(swiglu);
  assert.equal(
    own.filter((name) => name.startsWith('swiglu')),
    ['swiglu', 'swiglu.backward'],
  );
  assert.ok(own.length < launches(composed).length);
});

test('npm run custom-kernel', () => {
  const program = programOf('examples/custom-kernel/main.ts');
  const args = ['--rows', '4', '--width', '8', '--steps', '2', '--json'];
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const output = execFileSync(process.execPath, [...program, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { difference, times } = JSON.parse(output);
  assert.ok(difference < 1e-5);
  assert.is(times[0].launches, 2);
});

test.run();
