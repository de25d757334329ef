// The arms that tell what re-sorting does: never sorted, and put into another order between epochs. Bit for bit where they must be equal.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { MeanField, type MeanFieldOptions } from '../../src/meanfield/mean-field';
import { Linear } from '../../src/nn/linear';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Checkpoint } from '../../src/train/checkpoint';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { TinyNet, type TinyOptions, tinyTrainer } from '../train/tiny';
import { useGpu } from '../util';

useGpu();

const CLOSE: MeanFieldOptions = { times: [0.5, 0.5001, 0.5002] };

/** Trains a tiny net with these particles; the bits of its last checkpoint, its swaps, and the checkpoint as a file. */
async function run(particles: MeanFieldOptions, options: TinyOptions = {}, from?: Uint8Array) {
  manualSeed(1);
  const model = new TinyNet();
  model.stage = new MeanField([...model.stage.particles], particles);
  let file = new Uint8Array();
  let swaps = 0;
  const store = {
    appendMetrics: (line: MetricsLine) =>
      void (line.type === 'epoch' && (swaps += (line as EpochLine).stages![0].swaps)),
    saveCheckpoint: (state: Checkpoint) => void (file = encodeCheckpoint(state)),
  };
  const { trainer } = tinyTrainer({ epochs: 2, store, ...options, model });
  if (from) trainer.restore(decodeCheckpoint(from));
  await trainer.run();
  const bits = Object.entries(decodeCheckpoint(file).tensors).map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
  ]);
  return { bits, swaps, file };
}

test('never sorted equals sorted to the last bit as long as nothing crosses, and not where particles cross', async () => {
  const sorted = await run({});
  assert.is(sorted.swaps, 0, 'nothing crosses with times 1 … n');
  assert.equal((await run({ sort: false })).bits, sorted.bits);
  const crossing = await run(CLOSE);
  assert.ok(crossing.swaps > 0, 'particles cross');
  assert.not.equal((await run({ ...CLOSE, sort: false })).bits, crossing.bits);
});

test('shuffled with the identity is sorted, to the last bit; a real permutation repeats and resumes exactly', async () => {
  const sorted = await run(CLOSE);
  const identity = await run(CLOSE, { permute: (n) => Array.from({ length: n }, (_, i) => i) });
  assert.equal(identity.bits, sorted.bits);
  const permute: TinyOptions['permute'] = (n) => Array.from({ length: n }, (_, i) => n - 1 - i);
  const shuffled = await run(CLOSE, { permute });
  assert.not.equal(shuffled.bits, sorted.bits);
  // Stopped in the second epoch, right after the permutation.
  const { file } = await run(CLOSE, { permute, steps: 7 });
  assert.equal((await run(CLOSE, { permute }, file)).bits, shuffled.bits);
});

test('a permutation moves all but the times; what is none is refused', async () => {
  const net = new MeanField(3, () => new Linear(2, 2));
  const bias = async (i: number) => [...(await (net.particles[i] as Linear).bias!.data())];
  const before = [await bias(0), await bias(1), await bias(2)];
  await net.permute([2, 0, 1]);
  assert.equal(await net.telemetry(), { tau: [1, 2, 3], order: [2, 0, 1], swaps: 0 });
  assert.equal([await bias(0), await bias(1), await bias(2)], [before[2], before[0], before[1]]);
  let message = '';
  await net.permute([0, 0, 1]).catch((error: Error) => void (message = error.message));
  assert.match(message, /\[0,0,1\] is no order of 3 particles/);
  // A state dict of a net that is never sorted is loaded as it is.
  const fixed = new MeanField(3, () => new Linear(2, 2), { sort: false });
  fixed.loadStateDict({ ...net.stateDict(), tau: tensor([3, 1, 2]) });
  assert.equal((await fixed.telemetry()).tau, [3, 1, 2]);
});

test.run();
