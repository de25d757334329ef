// Module: what it finds in itself, state dicts, modes, hooks, containers, the tree as text, summary.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, InputError, MeanField, models, nn, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

class Block extends nn.Module {
  convA = new nn.Conv2d(2, 2, 1, { bias: false });
  bn1 = new nn.BatchNorm2d(2);
  override forward(x: Tensor): Tensor {
    return this.bn1.forward(this.convA.forward(x));
  }
}

/** Fields, arrays, plain objects and containers. */
class Net extends nn.Module {
  stemConv = new nn.Conv2d(1, 2, 1);
  blocks = [new Block(), new Block()];
  heads = { left: new nn.Linear(2, 1), right: new nn.Linear(2, 3) };
  rest = new nn.Sequential(new nn.ReLU(), new nn.Linear(3, 3));
  scale = new nn.Parameter(tensor([1]));
  offsets = [new nn.Parameter(zeros([2])), new nn.Parameter(zeros([3]))];
  counter = new nn.State(zeros([1]), false);
  notTrained = zeros([7]);
  #hidden = new nn.Linear(1, 1);

  override forward(x: Tensor): Tensor {
    let y = this.stemConv.forward(x);
    for (const block of this.blocks) y = block.forward(y);
    void this.#hidden;
    return this.rest.forward(this.heads.right.forward(F.globalAvgPool2d(y)));
  }
}

test('modules and tensors by their dotted names, in the order of the fields', () => {
  const net = new Net();
  assert.equal(
    [...net.namedModules()].map(([name]) => name),
    [
      '',
      'stemConv',
      'blocks.0',
      'blocks.0.convA',
      'blocks.0.bn1',
      'blocks.1',
      'blocks.1.convA',
      'blocks.1.bn1',
      'heads.left',
      'heads.right',
      'rest',
      'rest.0',
      'rest.1',
    ],
  );
  assert.equal(
    [...net.namedParameters()].map(([name]) => name),
    [
      ...['scale', 'offsets.0', 'offsets.1', 'stemConv.weight', 'stemConv.bias'],
      ...['blocks.0.convA.weight', 'blocks.0.bn1.weight', 'blocks.0.bn1.bias'],
      ...['blocks.1.convA.weight', 'blocks.1.bn1.weight', 'blocks.1.bn1.bias'],
      ...['heads.left.weight', 'heads.left.bias', 'heads.right.weight', 'heads.right.bias'],
      ...['rest.1.weight', 'rest.1.bias'],
    ],
  );
  const state = Object.keys(net.stateDict());
  assert.ok(state.includes('blocks.1.bn1.running_mean') && state.includes('blocks.1.bn1.running_var'));
  assert.not(state.includes('counter'), 'states that are not persistent stay out');
  assert.ok([...net.namedTensors()].some(([name]) => name === 'counter'));
  const sizes = [1, 2, 3, 2, 2, 4, 2, 2, 4, 2, 2, 2, 1, 6, 3, 9, 3];
  assert.is(
    net.parameterCount,
    sizes.reduce((a, b) => a + b),
  );
});

test('a module or parameter that is shared counts once, and is written and read under each of its names', async () => {
  class Tied extends nn.Module {
    first = new nn.Linear(2, 2);
    second = this.first;
    weight = this.first.weight;
    override forward(x: Tensor): Tensor {
      return this.second.forward(this.first.forward(x));
    }
  }
  const tied = new Tied();
  const names = ['weight', 'first.weight', 'first.bias', 'second.weight', 'second.bias'];
  assert.equal(Object.keys(tied.stateDict()), names);
  assert.equal(
    [...tied.namedParameters()].map(([name]) => name),
    ['weight', 'first.bias'],
  );
  for (const name of names.filter((n) => n.endsWith('weight'))) {
    tied.loadStateDict({ [name]: zeros([2, 2]).add(3), 'second.bias': zeros([2]) });
    close(await tied.weight.data(), [3, 3, 3, 3], 0, `loaded as ${name}`);
    tied.weight.detach().zero_();
  }
  assert.throws(() => tied.loadStateDict({ 'first.bias': zeros([2]) }), /missing: weight.*missing: first\.weight/s);
  assert.is(tied.modules().length, 2);
  assert.is(tied.parameterCount, 6);
  assert.match(tied.toString(), /· 6 parameters$/);
  tied
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  assert.equal([...(await tied.weight.grad!.data())].length, 4);
});

test('fields may form a cycle of plain objects and arrays', () => {
  const net = new Net() as Net & { loop?: unknown[] };
  net.loop = [];
  net.loop.push(net.loop, { again: net.loop });
  assert.is(net.modules().length, 13);
});

test('modules and parameters in maps, sets and nested collections are found', () => {
  class Many extends nn.Module<[], void> {
    byName = new Map<string, unknown>([
      ['a', new nn.Linear(1, 1)],
      ['b', [{ deep: new nn.Parameter(zeros([1])) }]],
    ]);
    all = new Set([new nn.Linear(1, 2)]);
    bare = Object.assign(Object.create(null), { w: new nn.Parameter(zeros([3])) });
    byModule = new Map<object, number>([[new nn.ReLU(), 1]]);
    override forward(): void {}
  }
  const many = new Many();
  assert.equal(Object.keys(many.stateDict()), [
    ...['byName.b.0.deep', 'bare.w', 'byName.a.weight', 'byName.a.bias', 'all.0.weight', 'all.0.bias'],
  ]);
  (many as unknown as { lost: unknown }).lost = new Map([[{}, new nn.Linear(1, 1)]]);
  assert.throws(() => many.parameters(), /Many: a Linear in the map 'lost' has a key that is no name/);
});

test('names are those of the fields, snake_case is understood, and two tensors never share one', async () => {
  class Names extends nn.Module<[], void> {
    fooBar = new nn.Parameter(zeros([1]));
    foo_bar = new nn.Parameter(zeros([1]));
    myNorm = new nn.BatchNorm1d(2);
    override forward(): void {}
  }
  const names = new Names();
  const keys = [
    'fooBar',
    'foo_bar',
    ...['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].map((k) => `myNorm.${k}`),
  ];
  assert.equal(Object.keys(names.stateDict()), keys);
  const dict = filled(names, 1);
  dict.foo_bar = tensor([5]);
  names.loadStateDict(dict);
  assert.equal([...(await names.fooBar.data()), ...(await names.foo_bar.data())], [1, 5]);
  for (const key of keys.slice(2)) {
    dict[key.replace('myNorm', 'my_norm')] = dict[key].add(1).keep();
    delete dict[key];
  }
  names.loadStateDict(dict);
  assert.equal([...(await names.myNorm.runningVar.data())], [2, 2]);
  delete dict.fooBar;
  assert.throws(() => names.loadStateDict(dict), /missing: fooBar/);

  class Clash extends nn.Module<[], void> {
    'a.b' = new nn.Parameter(zeros([1]));
    a = { b: new nn.Parameter(zeros([1])) };
    override forward(): void {}
  }
  assert.throws(() => new Clash().stateDict(), /Clash: two tensors are called 'a\.b'/);
});

test('subclasses of containers and networks keep their own fields', () => {
  class Scaled extends nn.Sequential {
    scale = new nn.Parameter(tensor([2]));
    extra = new nn.Linear(1, 1);
  }
  assert.equal(Object.keys(new Scaled(new nn.Linear(1, 1)).stateDict()), [
    ...['scale', '0.weight', '0.bias', 'extra.weight', 'extra.bias'],
  ]);
  class List extends nn.ModuleList {
    extra = new nn.PReLU();
  }
  assert.equal(Object.keys(new List().stateDict()), ['extra.weight']);
  class Stack extends MeanField {
    head = new nn.Linear(1, 1);
  }
  const stack = new Stack(1, () => new nn.Linear(1, 1));
  assert.equal(Object.keys(stack.stateDict()), ['tau', '0.weight', '0.bias', 'head.weight', 'head.bias']);
  class Net extends models.MeanFieldResNet {
    head = new nn.Linear(1, 1);
  }
  const keys = Object.keys(new Net({ blocks: 1 }).stateDict());
  assert.ok(keys.includes('head.bias') && keys.includes('stage1.tau') && keys.includes('layer1.0.conv1.weight'));
  assert.not(keys.some((key) => key.startsWith('stage1.0')));
});

const filled = (net: nn.AnyModule, value: number) =>
  Object.fromEntries(Object.entries(net.stateDict()).map(([name, t]) => [name, zeros(t.shape).add(value).keep()]));

test('loadStateDict copies by name; num_batches_tracked may be missing', async () => {
  const net = new Net();
  const { weight } = net.stemConv;
  const { 'blocks.0.bn1.num_batches_tracked': count, ...uncounted } = filled(net, 2);
  assert.equal(net.loadStateDict(uncounted), { missing: [], unexpected: [] });
  assert.is(await net.stateDict()['blocks.0.bn1.num_batches_tracked']!.item(), 0);
  const report = net.loadStateDict({ ...uncounted, 'blocks.0.bn1.num_batches_tracked': count! });
  assert.equal(report, { missing: [], unexpected: [] });
  assert.is(net.stemConv.weight, weight, 'the tensors stay, their values change');
  for (const [name, t] of Object.entries(net.stateDict())) close(await t.data(), new Array(t.size).fill(2), 0, name);
  const twin = new Net();
  twin.loadStateDict(net.stateDict());
  net.stemConv.weight.detach().zero_();
  close(await twin.stemConv.weight.data(), [2, 2], 0, 'a copy');
});

test('a state dict that does not fit: every problem in one error, and nothing is loaded', async () => {
  const net = new Net();
  const before = await net.scale.data();
  const dict = filled(net, 9);
  delete dict['stemConv.bias'];
  dict.surplus = zeros([4]);
  dict['offsets.1'] = zeros([5]);
  try {
    net.loadStateDict(dict);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, InputError);
    const { message } = error as Error;
    assert.match(message, /does not fit Net; nothing was loaded/);
    assert.match(message, /missing: stemConv\.bias \[2\]/);
    assert.match(message, /unexpected: surplus \[4\]/);
    assert.match(message, /shape of offsets\.1: \[5\] in the state dict, \[3\] in the module/);
  }
  assert.equal(await net.scale.data(), before);
});

test('strict: false loads what fits and reports the rest; another shape is still an error', async () => {
  const net = new Net();
  const dict = filled(net, 9);
  delete dict['stemConv.bias'];
  dict.surplus = zeros([4]);
  assert.equal(net.loadStateDict(dict, { strict: false }), { missing: ['stemConv.bias'], unexpected: ['surplus'] });
  close(await net.scale.data(), [9]);
  dict.scale = zeros([2]);
  assert.throws(() => net.loadStateDict(dict, { strict: false }), /shape of scale/);
});

test('train and eval reach every module; apply visits children before their parent', () => {
  const net = new Net();
  assert.ok(net.modules().every((m) => m.training));
  assert.is(net.eval(), net);
  assert.ok(net.modules().every((m) => !m.training));
  net.blocks[0].train();
  assert.ok(net.blocks[0].bn1.training && !net.blocks[1].bn1.training);
  const order: nn.Module[] = [];
  assert.is(
    net.apply((m) => void order.push(m)),
    net,
  );
  assert.is(order.length, 13);
  assert.is(order.at(-1), net);
  assert.ok(order.indexOf(net.blocks[0].bn1) < order.indexOf(net.blocks[0]));
});

test('apply sets initial values', async () => {
  const net = new nn.Sequential(new nn.Linear(3, 3), new nn.Sequential(new nn.Linear(3, 2)));
  net.apply((m) => {
    if (m instanceof nn.Linear) m.bias!.detach().assign_(0.5);
  });
  for (const [name, p] of net.namedParameters())
    if (name.endsWith('bias')) close(await p.data(), new Array(p.size).fill(0.5));
});

test('hooks see module, inputs and output, in order, may replace the output, and can be removed', async () => {
  const layer = new nn.Linear(2, 2);
  const calls: string[] = [];
  const x = tensor([[1, 2]]);
  const removeFirst = layer.onForward((m, inputs, output) => {
    calls.push('first');
    assert.is(m, layer);
    assert.equal(inputs, [x]);
    return (output as Tensor).mul(0);
  });
  const removeSecond = layer.onForward((_, __, output) => {
    calls.push('second');
    return (output as Tensor).add(1);
  });
  close(await layer.forward(x).data(), [1, 1]);
  assert.equal(calls, ['first', 'second']);
  removeFirst();
  removeSecond();
  close(await layer.forward(x).data(), await F.linear(x, layer.weight, layer.bias).data());
  assert.is(calls.length, 2);
});

test('zeroGrad drops the gradients', () => {
  const net = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
  net
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  assert.ok(net.parameters().every((p) => p.grad));
  net.zeroGrad();
  assert.ok(net.parameters().every((p) => p.grad === null));
});

test('frozen parameters get no gradient, the others do', () => {
  const net = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
  for (const p of net.layers[0].parameters()) p.requiresGrad_(false);
  net
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  assert.equal(
    net.parameters().map((p) => p.grad !== null),
    [false, false, true, true],
  );
});

test('errors name the path of the module', () => {
  const net = new Net();
  net.rest.layers.at(-1)!.onForward(() => zeros([2]).add(zeros([3])));
  assert.throws(() => net.forward(zeros([1, 1, 2, 2])), /add.*\[2\].*\[3\]/s);
  net.blocks[1].convA.onForward((_, __, y) => (y as Tensor).reshape([2, 1, 2, 2]));
  assert.throws(() => net.forward(zeros([1, 1, 2, 2])), /in module blocks\.1\.bn1/);
});

test('Sequential and ModuleList', async () => {
  const parts = [new nn.Linear(2, 3), new nn.Tanh(), new nn.Linear(3, 1)] as const;
  const net = new nn.Sequential(...parts);
  const x = tensor([[1, -1]]);
  close(await net.forward(x).data(), await parts[2].forward(parts[0].forward(x).tanh()).data());
  assert.equal(Object.keys(net.stateDict()), ['0.weight', '0.bias', '2.weight', '2.bias']);
  assert.is(new nn.Sequential().forward(x), x);
  assert.is(net.at(1), parts[1]);
  assert.is(net.push(new nn.ReLU()).length, 4);
  assert.equal([...net].slice(0, 3), [...parts]);
  assert.throws(() => new nn.Sequential(parts[0], F.relu as never), /Sequential: item 1 is no module/);

  const list = new nn.ModuleList([parts[0]]).push(parts[2]);
  assert.is(list.length, 2);
  assert.is(list.at(-1), parts[2]);
  assert.equal([...list], [parts[0], parts[2]]);
  assert.equal(Object.keys(list.stateDict()), ['0.weight', '0.bias', '1.weight', '1.bias']);
  assert.throws(() => list.at(2), /no module 2 among 2/);
  assert.throws(() => list.forward(), /no forward/);
});

test('toString shows the tree with options and parameter counts', () => {
  const net = new nn.Sequential(new nn.Linear(20, 60), new nn.Sequential(new nn.ReLU(), new nn.Linear(60, 1)));
  assert.is(
    String(net),
    `Sequential(
  (0): Linear(in=20, out=60) · 1,260 parameters
  (1): Sequential(
    (0): ReLU()
    (1): Linear(in=60, out=1) · 61 parameters
  ) · 61 parameters
) · 1,321 parameters`,
  );
});

test('summary: output shapes and own parameters, and modes and hooks are as before', async () => {
  const net = new Net();
  net.blocks[0].eval();
  const running = await net.blocks[1].bn1.runningMean.data();
  const { rows, parameters, table } = nn.summary(net, zeros([2, 1, 4, 4]));
  assert.is(parameters, net.parameterCount);
  assert.is(
    rows.reduce((sum, r) => sum + r.parameters, 0),
    parameters,
  );
  const row = (path: string) => rows.find((r) => r.path === path)!;
  assert.equal(row('blocks.1.convA'), {
    path: 'blocks.1.convA',
    type: 'Conv2d',
    output: [2, 2, 4, 4],
    parameters: 4,
  });
  assert.equal(row('').output, [2, 3]);
  assert.is(row('').parameters, 6);
  assert.is(row('heads.left').output, null);
  assert.match(table, /total +50$/);
  assert.not(net.blocks[0].training);
  assert.ok(net.blocks[1].training);
  assert.equal(await net.blocks[1].bn1.runningMean.data(), running);
});

test.run();
