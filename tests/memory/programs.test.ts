// Ordinary programs that hold on to what they have computed: it stays, eager and compiled, in loops that await and loops that never do, and
// the bytes stay bounded.
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  compile,
  device,
  F,
  init,
  manualSeed,
  nn,
  noGrad,
  optim,
  ReleasedError,
  randn,
  shutdown,
  type Tensor,
  tensor,
} from '../../src/index.node.js';
import { close, settled, useGpu } from '../util';

useGpu();

const MIB = 2 ** 20;
const STEPS = 1000;
const live = () => device().stats().liveBytes;

/** The bytes in use at most while `body` runs, above those before; it calls `look` at each step. */
async function peak(body: (look: () => void) => unknown): Promise<number> {
  const before = await settled();
  let most = before;
  const pending = body(() => {
    most = Math.max(most, live());
  });
  if (pending instanceof Promise) await pending;
  return most - before;
}

/** A regression on three numbers: a step returns its loss. */
function regression(compiled: boolean) {
  manualSeed(3);
  const net = new nn.Linear(3, 1);
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.05 });
  const step = (x: Tensor, y: Tensor) => {
    const loss = F.mseLoss(net.forward(x), y);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const [x, y] = [randn([8, 3]), randn([8, 1])];
  const run = compiled ? compile(step) : step;
  return () => run(x, y);
}

const all = async (tensors: readonly Tensor[]) => Promise.all(tensors.map((t) => t.item()));

for (const compiled of [false, true])
  test(`losses are collected and read at the end, ${compiled ? 'compiled' : 'eager'}, awaiting or not`, async () => {
    const step = regression(compiled);
    const want: number[] = [];
    for (let i = 0; i < STEPS; i++) {
      const loss = step();
      if (i % 20 === 0) want.push(await loss.item());
    }
    for (const awaits of [false, true]) {
      const again = regression(compiled);
      const losses: Tensor[] = [];
      const most = await peak(async (look) => {
        for (let i = 0; i < STEPS; i++) {
          const loss = again();
          if (i % 20 === 0) losses.push(loss);
          if (awaits && i % 25 === 0) await turn();
          look();
        }
      });
      assert.equal(await all(losses), want);
      assert.ok(most < MIB, `${most} bytes`);
    }
  });

/** Runs a program eager, in a loop that awaits now and then, and compiled in one that never does. */
function inEachWay(what: string, program: (compiled: boolean, rest: (i: number) => unknown) => unknown): void {
  for (const [compiled, awaits] of [
    [false, true],
    [true, false],
  ])
    test(`${what}: ${compiled ? 'compiled' : 'eager'}, ${awaits ? 'awaiting now and then' : 'never awaiting'}`, async () => {
      manualSeed(5);
      await program(compiled, (i) => (awaits && i % 25 === 0 ? turn() : null));
    });
}

const normalised = async (compiled: boolean, rest: (i: number) => unknown) => {
  const raw = randn([64, 4]);
  const data = raw.sub(raw.mean(0)).div(raw.std(0));
  const want = await data.data();
  const net = new nn.Linear(4, 1);
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.01 });
  const body = () => {
    const loss = net.forward(data).pow(2).mean();
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
  const step = compiled ? compile(body) : body;
  const first = step();
  let last = first;
  const most = await peak(async (look) => {
    for (let i = 0; i < STEPS; i++) {
      last = step();
      const pause = rest(i);
      if (pause) await pause;
      look();
    }
  });
  assert.ok((await last.item()) < (await first.item()));
  assert.equal(await data.data(), want);
  assert.ok(most < MIB, `${most} bytes`);
};
inEachWay('data normalised before the loop is used in it', normalised);

const losses = new Set<string>();
const gan = async (compiled: boolean, rest: (i: number) => unknown) => {
  const [g, d] = [new nn.Linear(2, 3), new nn.Sequential(new nn.Linear(3, 4), new nn.LeakyReLU(), new nn.Linear(4, 1))];
  const [optG, optD] = [g, d].map((net) => new optim.Adam(net.parameters(), { lr: 0.001 }));
  const real = randn([8, 3]);
  const body = () => {
    const fake = g.forward(randn([8, 2]));
    const lossD = d.forward(fake.detach()).sub(d.forward(real)).mean();
    lossD.backward();
    optD.step();
    optD.zeroGrad();
    const lossG = d.forward(fake).mean().neg();
    optG.zeroGrad();
    lossG.backward();
    optG.step();
    optD.zeroGrad();
    optG.zeroGrad();
    return [lossD, lossG, fake];
  };
  const step = compiled ? compile(body) : body;
  const history: Tensor[][] = [];
  const most = await peak(async (look) => {
    for (let i = 0; i < STEPS; i++) {
      history.push(step());
      const pause = rest(i);
      if (pause) await pause;
      look();
    }
  });
  assert.ok(most < 4 * MIB, `${most} bytes`); // three results a step, of 256 bytes each at least
  const read: Float32Array[] = [];
  for (const i of [0, 1, STEPS / 2, STEPS - 1])
    for (const tensor of history[i]) read.push((await tensor.data()) as Float32Array);
  assert.ok(read.every((values) => values.every(Number.isFinite)));
  losses.add(read.map((values) => values.join()).join());
  assert.is(losses.size, 1, 'each way gives the same bits');
};
inEachWay('both losses of a GAN are read after both optimizers have stepped', gan);

test('two loops in turns do not end what the other one holds', async () => {
  const loop = async (pauses: number) => {
    const step = regression(false);
    const losses: Tensor[] = [];
    let before = step();
    for (let i = 0; i < STEPS; i++) {
      const now = step();
      losses.push(before.sub(now));
      before = now;
      if (i % pauses === 0) await turn();
    }
    return all(losses);
  };
  const [a, b] = await Promise.all([loop(11), loop(7)]);
  const alone = await loop(2 * STEPS);
  // Both begin with the same seed, but the second draws its data after the first: only the first is the same alone.
  assert.equal(a, alone);
  assert.ok(b.every(Number.isFinite));
});

test('results of noGrad are collected', async () => {
  const net = new nn.Linear(4, 2);
  const inputs = Array.from({ length: STEPS }, (_, i) => tensor([[i, 1, 2, 3]]));
  const returned = inputs.map((x) => noGrad(() => net.forward(x)));
  const pushed: Tensor[] = [];
  noGrad(() => {
    for (const x of inputs.slice(-200)) pushed.push(net.forward(x));
  });
  const weight = await net.weight.data();
  const bias = await net.bias!.data();
  for (const i of [0, 5, STEPS - 200, STEPS - 1]) {
    const want = [0, 1].map((o) => [i, 1, 2, 3].reduce((sum, v, k) => sum + v * weight[4 * o + k], bias[o]));
    close(await returned[i].data(), want, 1e-3);
    if (i >= STEPS - 200) close(await pushed[i - (STEPS - 200)].data(), want, 1e-3);
  }
});

for (const awaits of [false, true])
  test(`a replay buffer of 200 small states, ${awaits ? 'awaiting now and then' : 'never awaiting'}`, async () => {
    const net = new nn.Linear(4, 2);
    const optimizer = new optim.SGD(net.parameters(), { lr: 0 });
    let state = randn([4]);
    const buffer: Tensor[] = [];
    const most = await peak(async (look) => {
      for (let i = 0; i < STEPS; i++) {
        state = state.mul(0.9).add(i);
        buffer.push(state);
        if (buffer.length > 200) buffer.shift();
        net
          .forward(buffer[(7 * i) % buffer.length].unsqueeze(0))
          .mean()
          .backward();
        optimizer.step();
        optimizer.zeroGrad();
        if (awaits && i % 25 === 0) await turn();
        look();
      }
    });
    const [oldest, next] = [await buffer[0].data(), await buffer[1].data()];
    close(
      next,
      oldest.map((v: number) => 0.9 * v + STEPS - 199),
      1e-3,
    );
    assert.ok(most < 2 * MIB, `${most} bytes`);
  });

test('a loop whose steps throw, and never awaits, is bounded', async () => {
  const net = new nn.Linear(256, 256);
  const x = randn([256, 256]);
  let caught = 0;
  const most = await peak((look) => {
    for (let i = 0; i < STEPS; i++) {
      try {
        const y = net.forward(net.forward(x).tanh()); // 256 KiB each
        F.mseLoss(y.sigmoid(), randn([3])).backward();
      } catch {
        caught++;
      }
      look();
    }
  });
  assert.is(caught, STEPS);
  assert.ok(most < 200 * MIB, `${most} bytes`);
});

test('when a program has let go of everything, not a byte more is in use than before it', async () => {
  const run = async () => {
    const step = regression(false);
    const kept: Tensor[] = [];
    for (let i = 0; i < 100; i++) kept.push(step());
    assert.is((await all(kept)).length, 100);
  };
  await run();
  const before = await settled();
  await run();
  assert.is(await settled(), before);
});

test('inference without noGrad in a loop that never awaits is bounded, with its results or without', async () => {
  class Net extends nn.Module {
    readonly weight = new nn.Parameter(randn([65536]));
    override forward(x: Tensor): Tensor {
      return x.mul(this.weight).tanh().mul(this.weight).sigmoid().sum();
    }
  }
  const net = new Net();
  const x = randn([65536]);
  const results: Tensor[] = [];
  const most = await peak((look) => {
    for (let i = 0; i < STEPS; i++) {
      results.push(net.forward(x).detach());
      look();
    }
  });
  assert.ok(most < 70 * MIB, `${most} bytes`);
  const values = await all(results);
  assert.ok(values.every((v) => v === values[0]));
});

test('a hundred additions of 1 MiB inside one noGrad body do not stay', async () => {
  const x = randn([MIB / 4]);
  const most = await peak((look) => {
    noGrad(() => {
      let y = x;
      for (let i = 0; i < 100; i++) {
        y = y.add(1);
        look();
      }
      return y;
    });
  });
  assert.ok(most < 70 * MIB, `${most} bytes`);
});

test('a held loss lets go of its graph after backward(); what nobody holds goes', async () => {
  const net = new nn.Linear(64, 4096, { bias: false });
  const before = await settled();
  const losses: Tensor[] = [];
  const body = () => {
    for (let i = 0; i < 4; i++) {
      const y = net.forward(randn([64, 64]));
      const loss = y.mul(y).mean(); // 1 MiB each
      loss.backward();
      net.zeroGrad();
      losses.push(loss);
    }
    net.forward(randn([64, 64])).tanh(); // never used
  };
  body();
  const after = await settled();
  assert.ok(after - before < MIB, `${after - before} bytes for four numbers`);
  assert.is((await all(losses)).length, 4);
  losses.length = 0;
  device().stats();
});

test('with a memoryLimit the least recently used goes, and the error says what it was, where it was made and what to do', async () => {
  await init({ memoryLimit: 8 * MIB });
  try {
    const x = randn([MIB / 4]);
    const held: Tensor[] = [];
    const most = await peak((look) => {
      for (let i = 0; i < 20; i++) {
        held.push(x.mul(i));
        look();
      }
    });
    assert.ok(most <= 9 * MIB, `${most} bytes`);
    close([(await held[19].data())[0]], [19 * (await x.data())[0]]);
    assert.throws(
      () => held[0].add(1),
      (error: Error) =>
        error instanceof ReleasedError &&
        /\[262144\], made by 'mul'.*memoryLimit is 8\.00 MiB.*programs\.test\.ts:\d+.*keep\(.*init\(\{ memoryLimit \}\)/s.test(
          error.message,
        ),
    );
    const kept = Array.from({ length: 12 }, (_, i) => x.mul(i).keep());
    assert.is((await kept[0].data()).length, MIB / 4);
  } finally {
    await init({ memoryLimit: Infinity });
  }
});

test('small results that wait in one buffer survive writes in place, and end with their device', async () => {
  const values = Array.from({ length: 300 }, (_, i) => tensor([i]).mul(2));
  for (let i = 0; i < 4; i++) noGrad(() => undefined);
  assert.is(await values[7].item(), 14);
  values[8].assign_(5);
  for (let i = 0; i < 4; i++) noGrad(() => undefined);
  assert.equal(await all(values.slice(7, 11)), [14, 5, 18, 20]);
  shutdown();
  await init();
  const error = await values[20].item().catch((caught: Error) => caught);
  assert.match(String(error), /DeviceLostError/);
  assert.is(device().stats().heldBytes, 0);
});

test.run();
