// The arms that tell what re-sorting does: never sorted, and put into another order between epochs. Bit for bit where they must be equal.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { device } from '../../src/gpu';
import { MeanField, type MeanFieldOptions } from '../../src/meanfield/mean-field';
import { Linear } from '../../src/nn/linear';
import { Module } from '../../src/nn/module';
import { tensor } from '../../src/tensor/create';
import { manualSeed } from '../../src/tensor/seed';
import type { Tensor } from '../../src/tensor/tensor';
import type { Checkpoint } from '../../src/train/checkpoint';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint';
import type { EpochLine, MetricsLine } from '../../src/train/metrics';
import { TinyNet, type TinyOptions, tinyTrainer } from '../train/tiny';
import { close, useGpu } from '../util';

useGpu();

class TanhBranch extends Module {
  linear = new Linear(2, 2, { bias: false });
  override forward(x: Tensor): Tensor {
    return this.linear.forward(x).tanh();
  }
}

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

test('a crossing moves the gap from one particle to the other: the jump is Δ·(f_b − f_a), and not smaller where they cross more closely', async () => {
  // In float64: x + Σ (τ_l − τ_{l−1})·tanh(W_l x), the particles in this order, each with its own time.
  type Particle = { w: readonly number[]; tau: number };
  const f = ({ w }: Particle, x: number[]) => [0, 1].map((i) => Math.tanh(w[2 * i] * x[0] + w[2 * i + 1] * x[1]));
  const network = (order: Particle[], x: number[]) =>
    order.reduce((y, p, l) => {
      const step = p.tau - (order[l - 1]?.tau ?? 0);
      return y.map((v, i) => v + step * f(p, y)[i]);
    }, x);
  const x = [0.7, -1.1];
  const [before, gap] = [0.4, 0.3];
  for (const crossed of [0.05, 1e-3]) {
    const [first, a, b, last] = [
      { w: [0.5, -0.2, 0.1, 0.9], tau: before },
      { w: [1.2, 0.3, -0.4, 0.6], tau: before + gap },
      { w: [-0.7, 0.8, 0.2, -1.1], tau: before + gap - crossed },
      { w: [0.3, 0.3, -0.6, 0.2], tau: 1 },
    ] as const;
    const listed = [first, a, b, last];
    const make = (sort: boolean) => {
      const net = new MeanField(
        listed.map(() => new TanhBranch()),
        { sort, times: [0.1, 0.2, 0.3, 0.4] },
      );
      const times = Float32Array.from(listed, ({ tau }) => tau);
      listed.forEach(({ w }, i) => {
        const { weight } = (net.particles[i] as TanhBranch).linear;
        device().write(weight.storage, Float32Array.from(w));
        weight.memory.written();
      });
      device().write(net.tau.storage, times);
      net.tau.memory.written();
      net.sortParticles();
      return net;
    };
    const [kept, sorted] = [make(false), make(true)];
    const out = async (net: MeanField) => [...(await net.forward(tensor([x])).data())];
    const [from, to] = [await out(kept), await out(sorted)];
    assert.equal(
      [(await kept.telemetry()).order, (await sorted.telemetry()).order],
      [
        [0, 1, 2, 3],
        [0, 2, 1, 3],
      ],
    );
    close(from, network([first, a, b, last], x), 1e-6);
    close(to, network([first, b, a, last], x), 1e-6);
    // The first of the pair owns the whole gap, and now that is b; what they have crossed by adds its share.
    const here = network([first], x);
    const jump = network([first, b, a], x).map((v, i) => v - network([first, a, b], x)[i]);
    const told = [0, 1].map((i) => gap * (f(b, here)[i] - f(a, here)[i]));
    const error = Math.hypot(jump[0] - told[0], jump[1] - told[1]) / Math.hypot(...told);
    assert.ok(error < 6 * crossed, `${jump} for ${told}`);
    // It does not vanish as the times meet.
    assert.ok(Math.hypot(to[0] - from[0], to[1] - from[1]) > 0.1);
  }
});

test.run();
