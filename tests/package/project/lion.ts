// An optimizer of one's own: Lion (Chen et al. 2023), against the same in float64, eager and in a compiled step.
import assert from 'node:assert/strict';
import { compile, init, nn, optim, shutdown, type Tensor, tensor } from 'dawnfield';

interface LionOptions {
  lr: number;
  betas: readonly [number, number];
  weightDecay: number;
}

/** w ← w − lr·(sign(β₁m + (1 − β₁)g) + weightDecay·w);  m ← β₂m + (1 − β₂)g. */
class Lion extends optim.Optimizer<LionOptions> {
  constructor(params: optim.Params<LionOptions>, options: Partial<LionOptions> = {}) {
    super(params, { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0 }, options);
  }

  protected override rule(): optim.Rule<LionOptions> {
    return {
      decoupled: true,
      scalars: { beta1: ({ betas }) => betas[0], beta2: ({ betas }) => betas[1] },
      state: { expAvg: 0 },
      code: `
        x -= lr * sign(beta1 * expAvg + (1 - beta1) * d);
        expAvg = beta2 * expAvg + (1 - beta2) * d;`,
    };
  }
}

const targets = [0.3, -0.7, 1.1, 0.02, -0.4];
const scales = [1, -0.5, 2, 0.25, 1.5, -1];

/** Where a few steps lead, and the launches of a compiled one that are updates. */
async function train(compiled: boolean): Promise<{ values: number[]; updates: number }> {
  const params = [new nn.Parameter(tensor([0, 0, 0, 0, 0])), new nn.Parameter(tensor([1, 1, 1, 1, 1]))];
  const optimizer = new Lion(params, { lr: 0.01, betas: [0.9, 0.95], weightDecay: 0.1 });
  const body = (scale: Tensor): void => {
    for (const p of params) p.mul(scale).sub(tensor(targets)).square().sum().backward();
    optimizer.step();
    optimizer.zeroGrad();
  };
  const compiledStep = compile(body);
  for (const scale of scales) (compiled ? compiledStep : body)(tensor([scale]));
  const values: number[] = [];
  for (const p of params) values.push(...(await p.data()));
  const kernels = compiledStep.plans[0]?.kernels ?? [];
  return { values, updates: kernels.filter((kernel) => kernel.startsWith('Lion')).length };
}

function inFloat64(start: number, target: number): number {
  let [w, m] = [start, 0];
  for (const scale of scales) {
    const g = 2 * scale * (w * scale - target);
    w -= 0.01 * (Math.sign(0.9 * m + 0.1 * g) + 0.1 * w);
    m = 0.95 * m + 0.05 * g;
  }
  return w;
}

await init();
const eager = await train(false);
const expected = [0, 1].flatMap((start) => targets.map((target) => inFloat64(start, target)));
for (const [i, want] of expected.entries()) assert.ok(Math.abs((eager.values[i] ?? Number.NaN) - want) < 1e-6);
const compiled = await train(true);
assert.deepEqual(compiled.values, eager.values);
assert.equal(compiled.updates, 1);
shutdown();
