// Attention of halves: its kernels read and write them as they lie, sum in float32 and round once. So values are, bit for bit, those of the kernels of
// float32 (which attention.test.ts compares with float64), rounded; gradients differ by the rounding of the result that they are made of.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { autocast } from '../../src/autograd/autocast';
import { backward } from '../../src/autograd/backward';
import { compile } from '../../src/autograd/compile';
import { type AttentionOptions, scaledDotProductAttention as attention } from '../../src/ops/attention';
import '../../src/ops/methods';
import { tensor } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import type { Tensor } from '../../src/tensor/tensor';
import { close, launched, numbers, onBothTargets, useGpu } from '../util';
import { halfTest, round, rounded } from './halves';

const withHalf = await halfTest(); // what is skipped depends on the adapter
useGpu();

type Float = 'float16' | 'float32';

/** The result and the gradients of q, k and v of [heads, L, D], [heads, S, D], [heads, S, E]. */
async function run([H, L, S, D, E]: number[], dtype: Float, o: AttentionOptions = {}): Promise<number[][]> {
  const shapes = [
    [H, L, D],
    [H, S, D],
    [H, S, E],
  ];
  const leaves = shapes.map((shape, i) => tensor(rounded(size(shape), i + 1), { shape, dtype, requiresGrad: true }));
  const y = attention(leaves[0], leaves[1], leaves[2], o);
  assert.is(y.dtype, dtype);
  backward(y, { gradient: tensor(rounded(y.size, 9), { shape: y.shape, dtype }) });
  const all = [y, ...leaves.map((x) => x.grad!)];
  for (const x of all) assert.is(x.dtype, dtype);
  return Promise.all(all.map(async (x) => [...(await x.data())]));
}

const cases: Record<string, [number[], AttentionOptions?]> = {
  'odd lengths and widths': [[1, 19, 23, 17, 3], { scale: 0.7 }],
  'vec4s, causal': [[2, 9, 21, 4, 4], { isCausal: true }],
  'one of everything': [[1, 1, 1, 1, 1]],
};

for (const [name, [shape, options]] of Object.entries(cases))
  withHalf(`values and gradients: ${name}`, () =>
    onBothTargets(async () => {
      const [narrow, wide] = [await run(shape, 'float16', options), await run(shape, 'float32', options)];
      assert.equal(narrow[0], wide[0].map(round));
      for (const i of [1, 2, 3]) close(narrow[i], wide[i], 2e-3, `gradient ${i}`);
    }),
  );

withHalf(
  'no copies: a launch forward, four for the gradients; views of one tensor, whose offsets are odd, too',
  async () => {
    const all = tensor(rounded(2 * 9 * 21, 4), { shape: [2, 9, 21], dtype: 'float16', requiresGrad: true });
    const part = (x: Tensor, i: number) => x.slice([{}, {}, { start: 7 * i, stop: 7 * i + 7 }]);
    const attend = (x: Tensor) => attention(part(x, 0), part(x, 1), part(x, 2));
    let y: Tensor | undefined;
    assert.equal(
      launched(() => (y = attend(all))),
      ['attention.forward'],
    );
    const wide = all.detach().to('float32').requiresGrad_();
    const z = attend(wide);
    assert.equal([...(await y!.data())], [...(await z.data())].map(round));
    const up = tensor(rounded(z.size, 5), { shape: z.shape, dtype: 'float16' });
    const names = launched(() => backward(y!, { gradient: up }));
    assert.equal(names.filter((name) => name.startsWith('attention.')).sort(), ['attention.dk', 'attention.dq', 'attention.dv']); // biome-ignore format: a line
    backward(z, { gradient: up.to('float32') });
    close(await all.grad!.data(), await wide.grad!.data(), 2e-3);
  },
);

withHalf('scores beyond 65504 are float32; NaN and infinities pass', async () => {
  const half = (values: number[], width: number) => tensor(values, { shape: [values.length / width, width], dtype: 'float16' }); // biome-ignore format: a line
  const q = half([300, 300, 300, 300], 4);
  const k = half([300, 300, 300, 300, 299, 300, 300, 300], 4);
  const got = await attention(q, k, half([1, 2], 1)).data();
  assert.equal([...got], [1]); // 180000 and 179850: not infinity minus infinity
  const values = half([65504, Infinity, NaN, 65504, 1, 2], 3);
  assert.equal([...(await attention(half([0, 0, 0, 0], 4), k, values).data())], [65504, Infinity, NaN]);
});

withHalf('under autocast and compiled: the bits of eager steps; masks follow the operands', async () => {
  const shape = [2, 6, 8];
  const leaves = [1, 2, 3].map((seed) => tensor([...numbers(96, seed)], { shape, requiresGrad: true }));
  const masks = {
    none: null,
    bool: tensor(
      [...numbers(36, 5)].map((x) => x < 0.5),
      { shape: [6, 6] },
    ),
    float: tensor([...numbers(36, 5)], { shape: [6, 6] }),
  };
  for (const attnMask of Object.values(masks)) {
    const step = (...[q, k, v]: Tensor[]) => {
      for (const x of leaves) x.grad = null;
      const y = autocast(() => attention(q, k, v, { attnMask }));
      assert.is(y.dtype, 'float16');
      backward(y.to('float32').sum());
      return [y, ...leaves.map((x) => x.grad!)];
    };
    const read = (list: Tensor[]) => Promise.all(list.map(async (x) => [...(await x.data())]));
    const eager = await read(step(...leaves));
    const compiled = compile(() => step(...leaves));
    for (let i = 0; i < 3; i++) assert.equal(await read(compiled()), eager);
    const want = attention(leaves[0], leaves[1], leaves[2], { attnMask });
    close(eager[0], await want.data(), 2e-3);
  }
  assert.throws(
    () => attention(leaves[0].to('float16'), leaves[1], leaves[2]),
    /scaledDotProductAttention: some operands are float16, some float32/,
  );
});

test.run();
