// GPT: structure, the cache against whole passes, generating, a training step in one submit.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { Characters, Pieces } from '../../examples/gpt/text';
import { compile } from '../../src/autograd/compile';
import { noGrad } from '../../src/autograd/tape';
import { device } from '../../src/gpu';
import { GPT } from '../../src/models';
import { KeyValueCache } from '../../src/nn';
import { crossEntropy } from '../../src/ops/loss';
import { AdamW } from '../../src/optim';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import { close, useGpu } from '../util';

useGpu();

const config = { vocabSize: 11, blockSize: 12, nLayer: 2, nHead: 2, nEmbd: 8 };
const tokens = (values: number[][]) =>
  tensor(Int32Array.from(values.flat()), { shape: [values.length, values[0].length] });

test("nanoGPT's keys, shapes and tied weights", () => {
  const dict = new GPT(config).stateDict();
  const block = ['ln_1', 'attn.c_attn', 'attn.c_proj', 'ln_2', 'mlp.c_fc', 'mlp.c_proj'].flatMap((name) => [
    `${name}.weight`,
    `${name}.bias`,
  ]);
  assert.equal(Object.keys(dict), [
    ...['transformer.wte.weight', 'transformer.wpe.weight'],
    ...[0, 1].flatMap((i) => block.map((name) => `transformer.h.${i}.${name}`)),
    ...['transformer.ln_f.weight', 'transformer.ln_f.bias', 'lm_head.weight'],
  ]);
  assert.is(dict['lm_head.weight'], dict['transformer.wte.weight']);
  assert.equal(dict['transformer.h.1.attn.c_attn.weight'].shape, [24, 8]);
  assert.is(new GPT(config).parameterCount, 11 * 8 + 12 * 8 + 2 * (12 * 64 + 13 * 8) + 16);
  assert.not('transformer.ln_f.bias' in new GPT({ ...config, bias: false }).stateDict());
});

test('with a cache, in passes of any length, the same logits; compiled too', async () => {
  manualSeed(1);
  const model = new GPT(config).eval();
  const all = [
    [1, 5, 2, 8, 0, 3, 9, 10, 4, 7],
    [3, 3, 1, 0, 6, 2, 2, 5, 8, 1],
  ];
  const whole = await model.forward(tokens(all)).data();
  const cache = model.newCache(2);
  const got = new Float32Array(whole.length);
  const next = compile((x: ReturnType<typeof tokens>) => noGrad(() => model.forward(x, { cache })));
  let at = 0;
  for (const n of [4, 1, 1, 1, 1, 2]) {
    const x = tokens(all.map((row) => row.slice(at, at + n)));
    const part = await (n === 1 ? next(x) : noGrad(() => model.forward(x, { cache }))).data();
    for (const b of [0, 1]) got.set((part as Float32Array).subarray(b * n * 11, (b + 1) * n * 11), (b * 10 + at) * 11);
    at += n;
    assert.is(cache.length, at);
  }
  close(got, whole, 1e-5);
  assert.throws(
    () =>
      noGrad(() =>
        model.forward(
          tokens([
            [1, 2, 3],
            [1, 2, 3],
          ]),
          { cache },
        ),
      ),
    /3 more tokens after 10.*capacity of 12/,
  );
  assert.is(cache.length, 10);
  assert.throws(() => model.forward(tokens([[1], [2]]), { cache }), /no gradient.*noGrad/);
  assert.throws(() => new GPT(config).forward(tokens([new Array(13).fill(0)])), /13 tokens.*blockSize 12/);
  assert.throws(() => new KeyValueCache({ layers: 1, heads: 0, capacity: 4, width: 4 }), /heads/);
});

test('generating: with the same seed the same tokens, the likeliest ones, beyond the context', async () => {
  manualSeed(2);
  const model = new GPT(config);
  const run = async (options: Parameters<GPT['generate']>[1]) => {
    const list: number[] = [];
    for await (const token of model.generate([1, 2], options)) list.push(token);
    return list;
  };
  const first = await run({ count: 20, seed: 3 });
  assert.is(first.length, 20);
  assert.equal(await run({ count: 20, seed: 3 }), first);
  const greedy = await run({ count: 6, temperature: 0 });
  assert.equal(await run({ count: 6, topK: 1, seed: 9 }), greedy);
  const logits = await model
    .forward(tokens([[1, 2, ...greedy.slice(0, 5)]]))
    .argmax(2)
    .data();
  assert.equal([...logits].slice(1), greedy);
  assert.is(model.training, true);
});

test('a compiled training step: one submit, no object created, a falling loss', async () => {
  manualSeed(3);
  const text = 'the cat sat on the mat. '.repeat(8);
  const characters = new Characters(text);
  const vocabSize = characters.all.length;
  const model = new GPT({ ...config, vocabSize, dropout: 0.1 });
  const optimizer = new AdamW(model.parameters(), { lr: 1e-2 });
  const pieces = new Pieces(characters.encode(text));
  const step = compile(() => {
    const { inputs, targets } = pieces.draw(4, 12);
    const loss = crossEntropy(model.forward(inputs).reshape([-1, vocabSize]), targets.reshape([-1]));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  const losses: number[] = [];
  for (let i = 0; i < 25; i++) {
    const { submits, buffersCreated, bindGroupsCreated, pipelinesCreated } = device().stats();
    const loss = step();
    const after = device().stats();
    if (i >= 4) {
      assert.is(after.submits - submits, 1);
      const made = (s: typeof after) => s.buffersCreated + s.bindGroupsCreated + s.pipelinesCreated;
      assert.is(made(after) - buffersCreated - bindGroupsCreated - pipelinesCreated, 0);
    }
    losses.push(await loss.item());
    loss.dispose();
  }
  assert.ok(losses[24] < 0.75 * losses[0], `${losses[0]} → ${losses[24]}`);
  assert.is(characters.decode(characters.encode('that cab')), 'that ca');
});

test.run();
