// Attention on matrix units, against its ordinary kernels for halves: lengths and widths that fill no matrix, masks, causal, grouped heads.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttentionPass } from '../../shaders/attention';
import { attentionOnMatrices, matrixAttention } from '../../shaders/attention-matrix';
import { elementsOf, F16, F32 } from '../../shaders/elements';
import { fromHalf, halfBits } from '../../shaders/half';
import { type KernelTarget, kernelTarget } from '../../shaders/target';
import { backward } from '../../src/autograd/backward';
import { device } from '../../src/gpu';
import { type AttentionOptions, scaledDotProductAttention as attention } from '../../src/ops/attention';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, launched, numbers, withTarget } from '../util';
import { matrixUnits } from './matrix-units';

const onMatrices = await matrixUnits('tests/ops/attention-matrix.test.ts', 5);

const half = (shape: number[], seed: number, requiresGrad = false) =>
  tensor(
    [...numbers(size(shape), seed)].map((x) => fromHalf(halfBits(x))),
    { shape, dtype: 'float16', requiresGrad },
  );

/** The result and the gradients of q, k and v, and the names of the launches. */
async function run(shapes: number[][], options: AttentionOptions): Promise<{ values: number[][]; names: string[] }> {
  const leaves = shapes.map((shape, i) => half(shape, i + 1, true));
  let y!: Tensor;
  const names = launched(() => {
    y = attention(leaves[0], leaves[1], leaves[2], options);
    backward(y, { gradient: half([...y.shape], 9) });
  });
  const all = [y, ...leaves.map((x) => x.grad!)];
  return {
    values: await Promise.all(all.map(async (x) => [...(await x.data())])),
    names: names.filter((name) => name.startsWith('attention.')).sort(),
  };
}

const plain = ({ matrix: _, ...rest }: KernelTarget): KernelTarget => rest;

const cases: Record<string, [shapes: number[][], options: () => AttentionOptions]> = {
  'causal, with a mask of bools': [
    [[2, 19, 7], [2, 21, 7], [2, 21, 11]],
    () => ({ isCausal: true, attnMask: tensor([...numbers(19 * 21, 5)].map((x) => x < 0.6), { shape: [19, 21] }) }),
  ],
  'grouped heads, a mask of floats, rows wider than what is staged at once': [
    [[4, 20, 36], [2, 24, 36], [2, 24, 40]],
    () => ({ enableGqa: true, attnMask: half([20, 24], 5), scale: 0.3 }),
  ],
}; // biome-ignore format: a shape a line

for (const [name, [shapes, options]] of Object.entries(cases))
  onMatrices(`values and gradients: ${name}`, async () => {
    const ours = await run(shapes, options());
    assert.equal(
      ours.names,
      ['dk', 'dq', 'dv', 'forward'].map((pass) => `attention.${pass}.matrix`),
    );
    await withTarget(plain(device().target), async () => {
      const theirs = await run(shapes, options());
      assert.not(theirs.names.some((kernel) => kernel.endsWith('.matrix')));
      for (const [i, values] of ours.values.entries())
        close(values, theirs.values[i], 2e-3, ['y', 'dq', 'dk', 'dv'][i]);
    });
  });

const nvidia = (first: boolean): KernelTarget =>
  kernelTarget({ isCpu: false, subgroupSize: 32, matrix: { m: 16, n: 16, k: 16, first } });
const given = { headDim: 64, valueDim: 64, mask: 'none', causal: true, dropout: false } as const;

test('16×16×16: the text of the kernels, which this machine cannot run', () => {
  for (const pass of ['forward', 'dq', 'dk', 'dv'] as AttentionPass[]) {
    const kernel = matrixAttention({ ...given, pass, target: nvidia(true) });
    for (const type of ['left<f16, 16, 16>', 'right<f16, 16, 16>', 'result<f32, 16, 16>'])
      assert.match(kernel.code, `subgroup_matrix_${type}`);
    assert.match(kernel.code, /@workgroup_size\(64\)/); // two subgroups of 32
    // Scores (twice forward), the products with the values, and two matrices of the sum.
    const products = kernel.code.match(/subgroupMatrixMultiplyAccumulate/g)!.length;
    assert.is(products, { forward: 2, dq: 2, dk: 2, dv: 1 }[pass] + 2);
    const memory = [...kernel.code.matchAll(/var<workgroup> \w+: array<(f16|f32), (\d+)>/g)];
    const used = memory.reduce((sum, [, type, count]) => sum + (type === 'f16' ? 2 : 4) * Number(count), 0);
    assert.ok(used <= 16384, `${pass}: ${used} bytes of workgroup memory`);
    const elements = elementsOf(kernel).map(({ element }) => element);
    const statistics = { forward: [F16, F32], dq: [F32, F32, F16], dk: [F32, F32, F16], dv: [F32, F16] }[pass];
    assert.equal(elements.slice(-statistics.length), statistics);
  }
});

test('they are for halves, where the device was opened for them by request; without dropout, and not for a few rows', () => {
  const options = { ...given, pass: 'forward', target: nvidia(true) } as const;
  assert.ok(attentionOnMatrices(options, true, 128, 128));
  assert.not(attentionOnMatrices(options, false, 128, 128));
  assert.not(attentionOnMatrices({ ...options, target: nvidia(false) }, true, 128, 128));
  assert.not(attentionOnMatrices({ ...options, target: plain(nvidia(true)) }, true, 128, 128));
  assert.not(attentionOnMatrices({ ...options, dropout: true }, true, 128, 128));
  assert.not(attentionOnMatrices(options, true, 8, 128));
  assert.not(attentionOnMatrices(options, true, 128, 8));
});

test('a head of any width fits into workgroup memory', () => {
  for (const width of [1, 17, 256]) {
    const { code } = matrixAttention({ ...given, headDim: width, valueDim: width, pass: 'dq', target: nvidia(true) });
    const sums = code.match(/var sum\d+_\d+ = /g)!.length;
    assert.is(sums, 2 * Math.ceil(width / 64));
  }
});

test.run();
