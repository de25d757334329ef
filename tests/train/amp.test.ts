// A Trainer with amp: near the losses of float32, the same bits compiled, eager and resumed, with the scaler's state in the checkpoints.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device, init } from '../../src/gpu';
import type { Checkpoint } from '../../src/train/checkpoint';
import { useGpu } from '../util';
import { type TinyOptions, tinyTrainer } from './tiny';

await init();
const withHalf = device().features.has('shader-f16') ? test : test.skip;
useGpu();

async function losses(options: TinyOptions, from?: Checkpoint): Promise<{ losses: number[]; last: Checkpoint }> {
  const seen: number[] = [];
  const { trainer } = tinyTrainer({ readEvery: 1, ...options, onStep: (_, { loss }) => void seen.push(loss) });
  if (from) trainer.restore(from);
  await trainer.run();
  return { losses: seen, last: await trainer.state() };
}

withHalf('compiled, eager and resumed runs have the same losses, near those of float32', async () => {
  const plain = await losses({ epochs: 2 });
  const amp = await losses({ epochs: 2, amp: true });
  assert.not.equal(amp.losses, plain.losses);
  amp.losses.forEach((loss, i) => assert.ok(Math.abs(loss - plain.losses[i]) < 0.05, `step ${i}: ${loss}`));
  assert.equal((await losses({ epochs: 1, amp: true, compile: false })).losses, amp.losses.slice(0, 6));
  const half = await losses({ epochs: 1, amp: true });
  assert.is(half.last.tensors['trainer/amp.scale'].data[0], 65536);
  assert.is(half.last.tensors['trainer/amp._growth_tracker'].data[0], 6);
  assert.equal((await losses({ epochs: 2, amp: true }, half.last)).losses, amp.losses.slice(6));
});

test('an adapter without shader-f16 is refused when the Trainer is made', () => {
  const { features } = device();
  Object.assign(device(), { features: new Set() });
  try {
    assert.throws(() => tinyTrainer({ amp: true }), /Trainer: amp: this adapter .* has no 'shader-f16'/);
  } finally {
    Object.assign(device(), { features });
  }
});

test.run();
