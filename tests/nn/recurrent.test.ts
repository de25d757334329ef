// RNN, LSTM, GRU and their cells as modules: names, layouts, layers and directions, compiled steps. Their arithmetic: ops/recurrent.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { autocast, compile, device, F, manualSeed, nn, optim, type Tensor, tensor } from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

const draw = (shape: number[], seed: number) =>
  tensor(
    Float32Array.from(
      numbers(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ),
    ),
    { shape },
  );
const shapes = (module: nn.AnyModule) =>
  Object.fromEntries(Object.entries(module.stateDict()).map(([key, t]) => [key, t.shape.join()]));
const same = async (a: Tensor, b: Tensor, what: string) => {
  assert.equal(a.shape, b.shape, what);
  close(await a.data(), await b.data(), 1e-6, what);
};

test("PyTorch's keys in PyTorch's order", () => {
  const lstm = new nn.LSTM(6, 5, { projSize: 3, numLayers: 2, bidirectional: true });
  const rows = (inputs: number) => [`20,${inputs}`, '20,3', '20', '20', '3,5'];
  const names = ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh', 'weight_hr'];
  const want = [
    ['l0', 6],
    ['l0_reverse', 6],
    ['l1', 6],
    ['l1_reverse', 6],
  ].flatMap(([suffix, inputs]) => names.map((name, i) => [`${name}_${suffix}`, rows(Number(inputs))[i]]));
  assert.equal(Object.entries(shapes(lstm)), want);
  assert.equal(shapes(new nn.RNN(3, 4, { bias: false })), { weight_ih_l0: '4,3', weight_hh_l0: '4,4' });
  assert.equal(shapes(new nn.GRUCell(2, 3)), { weight_ih: '9,2', weight_hh: '9,3', bias_ih: '9', bias_hh: '9' });
  assert.is(lstm.weight_hr_l1_reverse.shape.join(), '3,5');
  assert.is(lstm.toString().split(' · ')[0], 'LSTM(6, 5, numLayers=2, bidirectional=true, projSize=3)');
});

test('weights start uniform in ±1/√hiddenSize', async () => {
  const { weight_ih_l0, bias_hh_l0 } = new nn.LSTM(30, 25);
  for (const parameter of [weight_ih_l0, bias_hh_l0]) {
    const data = [...(await parameter.data())];
    assert.ok(Math.max(...data.map(Math.abs)) <= 0.2);
    assert.ok(Math.max(...data.map(Math.abs)) > 0.19);
  }
});

test('batchFirst and one sequence without a batch are other layouts of the same', async () => {
  const lstm = new nn.LSTM(3, 4, { numLayers: 2, bidirectional: true });
  const batchFirst = new nn.LSTM(3, 4, { numLayers: 2, bidirectional: true, batchFirst: true });
  batchFirst.loadStateDict(lstm.stateDict());
  const x = draw([5, 2, 3], 1);
  const [h0, c0] = [draw([4, 2, 4], 2), draw([4, 2, 4], 3)];
  const [y, [hn, cn]] = lstm.forward(x, [h0, c0]);
  assert.equal(
    [y.shape, hn.shape, cn.shape],
    [
      [5, 2, 8],
      [4, 2, 4],
      [4, 2, 4],
    ],
  );
  const [z, [h, c]] = batchFirst.forward(x.transpose(0, 1), [h0, c0]);
  await same(z.transpose(0, 1), y, 'y with batchFirst');
  await same(h, hn, 'hn with batchFirst');
  await same(c, cn, 'cn with batchFirst');
  for (const module of [lstm, batchFirst]) {
    const [y1, [h1, c1]] = module.forward(x.select(1, 1), [h0.select(1, 1), c0.select(1, 1)]);
    await same(y1, y.select(1, 1), 'y of one sequence');
    await same(h1, hn.select(1, 1), 'hn of one sequence');
    await same(c1, cn.select(1, 1), 'cn of one sequence');
  }
});

test('layers and directions are single ones, put together', async () => {
  const both = new nn.GRU(3, 4, { bidirectional: true, numLayers: 2 });
  const dict = both.stateDict();
  const part = (suffix: string, inputs: number) => {
    const one = new nn.GRU(inputs, 4);
    const own = Object.keys(one.stateDict()).map((key) => [key, dict[key.replace('_l0', suffix)]]);
    one.loadStateDict(Object.fromEntries(own));
    return one;
  };
  const x = draw([5, 2, 3], 4);
  let y = x;
  const states: Tensor[] = [];
  for (const [layer, inputs] of [
    [0, 3],
    [1, 8],
  ]) {
    const [forward, h] = part(`_l${layer}`, inputs).forward(y);
    const [backward, hr] = part(`_l${layer}_reverse`, inputs).forward(y.flip(0));
    states.push(h, hr);
    y = F.concat([forward, backward.flip(0)], 2);
  }
  const [got, hn] = both.forward(x);
  await same(got, y, 'y');
  await same(hn, F.concat(states, 0), 'hn');
});

test('dropout stands between layers, in training', async () => {
  const rnn = new nn.RNN(3, 4, { numLayers: 2, dropout: 1, nonlinearity: 'relu' });
  const x = draw([2, 3, 3], 5);
  const bare = new nn.RNN(4, 4, { nonlinearity: 'relu' });
  const upper = Object.entries(rnn.stateDict()).filter(([key]) => key.endsWith('l1'));
  bare.loadStateDict(Object.fromEntries(upper.map(([key, t]) => [key.replace('l1', 'l0'), t])));
  const [want] = bare.forward(F.mul(draw([2, 3, 4], 6), 0));
  await same(rnn.forward(x)[0], want, 'everything dropped');
  rnn.eval();
  const [a] = rnn.forward(x);
  assert.not.equal(await a.data(), await want.data());
});

test('a cell is one step of its layer', async () => {
  for (const [cell, layer] of [
    [new nn.RNNCell(3, 4, { nonlinearity: 'relu' }), new nn.RNN(3, 4, { nonlinearity: 'relu' })],
    [new nn.GRUCell(3, 4), new nn.GRU(3, 4)],
  ] as const) {
    const own = Object.entries(cell.stateDict()).map(([key, t]) => [`${key}_l0`, t]);
    layer.loadStateDict(Object.fromEntries(own));
    const [x, h] = [draw([1, 2, 3], 7), draw([1, 2, 4], 8)];
    await same(cell.forward(x.select(0, 0), h.select(0, 0)), layer.forward(x, h)[0].select(0, 0), `${cell}`);
    await same(cell.forward(x.select(0, 0)), layer.forward(x)[0].select(0, 0), `${cell} without a state`);
  }
  const cell = new nn.LSTMCell(3, 4);
  const x = draw([2, 3], 9);
  const first = cell.forward(x);
  const [h, c] = cell.forward(x, first);
  const [h1, c1] = cell.forward(x.select(0, 1), [first[0].select(0, 1), first[1].select(0, 1)]);
  await same(h1, h.select(0, 1), 'h of one row');
  await same(c1, c.select(0, 1), 'c of one row');
});

test('wrong calls', () => {
  const lstm = new nn.LSTM(3, 4, { bidirectional: true });
  const x = draw([5, 2, 3], 1);
  assert.throws(() => lstm.forward(draw([5, 2, 4], 1)), /LSTM.*inputSize 3.*\[5, 2, 4\]/);
  assert.throws(() => lstm.forward(draw([3], 1)), /\[T, N, features\]/);
  assert.throws(() => lstm.forward(x, [draw([1, 2, 4], 1), draw([2, 2, 4], 1)]), /state h must be \[2, 2, 4\]/);
  assert.throws(() => lstm.forward(draw([0, 2, 3], 1)), /no time steps/);
  assert.throws(() => lstm.forward(x.to('int32')), /x is int32, not float32/);
  assert.throws(() => lstm.forward(x, x as never), /no pair.*\[h, c\]/);
  assert.throws(() => new nn.LSTM(3, 4, { projSize: 4 }), /projSize is 4.*below hiddenSize/);
  assert.throws(() => new nn.GRU(3, 4, { projSize: 2 } as never), /GRU: there is no option 'projSize'/);
  assert.throws(() => new nn.RNN(3, 4, { nonlinearity: 'sigmoid' as never }), /nonlinearity.*'tanh' or 'relu'/);
  assert.throws(() => new nn.RNN(3, 0), /hiddenSize is 0/);
  assert.throws(() => new nn.RNN(3, 4, { dropout: 2 }), /dropout is 2/);
  assert.throws(() => new nn.GRUCell(3, 4).forward(draw([2, 3], 1), draw([3, 4], 1)), /state h must be \[2, 4\]/);
});

test('under autocast a layer takes and gives float16, with gradients in float32', async () => {
  if (!device().features.has('shader-f16')) return;
  const [linear, lstm, cell] = [new nn.Linear(3, 3), new nn.LSTM(3, 4, { numLayers: 2 }), new nn.GRUCell(4, 4)];
  const run = (x: Tensor) => {
    const [y, [h]] = lstm.forward(linear.forward(x));
    return { y, z: cell.forward(h.select(0, 1)) };
  };
  const x = draw([3, 2, 3], 1);
  const { y, z } = autocast(() => run(x));
  assert.equal([y.dtype, z.dtype], ['float16', 'float16']);
  const want = run(x);
  close(await y.data(), await want.y.data(), 4e-3);
  close(await z.data(), await want.z.data(), 4e-3);
  z.to('float32').sum().backward();
  assert.is(lstm.weight_hh_l0.grad!.dtype, 'float32');
});

class LanguageModel extends nn.Module<[x: Tensor, state: nn.LSTMState], [Tensor, nn.LSTMState]> {
  readonly embedding = new nn.Embedding(7, 5);
  readonly lstm = new nn.LSTM(5, 6, { numLayers: 2 });
  readonly output = new nn.Linear(6, 7);

  override forward(x: Tensor, state: nn.LSTMState): [Tensor, nn.LSTMState] {
    const [y, after] = this.lstm.forward(this.embedding.forward(x), state);
    return [this.output.forward(y), after];
  }
}

test('a compiled training step has the bits of the eager one, submits once and creates nothing', async () => {
  const [T, N] = [35, 2];
  const made = (compiled: boolean) => {
    manualSeed(11);
    const model = new LanguageModel();
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 });
    const body = (x: Tensor, labels: Tensor, h: Tensor, c: Tensor): [Tensor, Tensor, Tensor] => {
      const [logits, [hn, cn]] = model.forward(x, [h, c]);
      const loss = F.crossEntropy(logits.reshape([T * N, 7]), labels);
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return [loss, hn.detach(), cn.detach()];
    };
    return { model, step: compiled ? compile(body) : body };
  };
  const labels = (seed: number) => Int32Array.from(numbers(T * N, seed, 0, 7), Math.floor);
  const runs = [made(false), made(true)];
  const states = runs.map(() => [draw([2, N, 6], 1), draw([2, N, 6], 2)]);
  for (let i = 0; i < 4; i++) {
    const losses: number[] = [];
    for (const [k, { step }] of runs.entries()) {
      const [x, y] = [tensor(labels(i), { shape: [T, N] }), tensor(labels(i + 1))];
      const [loss, h, c] = step(x, y, states[k][0], states[k][1]);
      losses.push(await loss.item());
      states[k] = [h, c];
    }
    assert.is(losses[0], losses[1], `loss of step ${i}`);
  }
  const [a, b] = runs.map(({ model }) => model.stateDict());
  for (const key of Object.keys(a)) assert.equal(await a[key].data(), await b[key].data(), key);
  const [x, y] = [tensor(labels(0), { shape: [T, N] }), tensor(labels(1))];
  const call = () => runs[1].step(x, y, states[1][0], states[1][1]);
  call();
  const before = device().stats();
  for (let i = 0; i < 3; i++) call();
  const after = device().stats();
  assert.is(after.submits - before.submits, 3);
  for (const key of ['buffersCreated', 'bindGroupsCreated', 'pipelinesCreated'] as const)
    assert.is(after[key], before[key], key);
  // Two layers of one launch a step in each direction, and what a step has once.
  assert.ok((after.dispatches - before.dispatches) / 3 < 4 * T + 60, `${(after.dispatches - before.dispatches) / 3}`);
});

test.run();
