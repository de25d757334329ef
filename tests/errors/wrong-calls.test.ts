// Wrong calls, one a row: each throws before anything reaches the GPU, and its message has the operation, the shapes, a hint and the
// line of the caller.
import { runInThisContext } from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DawnfieldError, device, F, models, nn, optim, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { useGpu } from '../util';

useGpu();

interface Row {
  what: string;
  call: () => unknown;
  /** What starts the message. */
  op: string;
  /** Shapes that the message shows. */
  shapes?: string[];
  /** What to do about it. */
  hint: RegExp;
}

/** The operands of all rows, made before the counters are read. */
function operands() {
  const x = zeros([2, 3], { requiresGrad: true });
  const used = x.mul(2).sum();
  used.backward();
  const overwritten = new nn.Parameter(zeros([3]));
  const square = overwritten.mul(overwritten).sum();
  const optimizer = new optim.SGD([overwritten], { lr: 1 });
  overwritten.grad = zeros([3]);
  optimizer.step();
  return {
    a: zeros([2, 3]),
    b: zeros([4, 5]),
    x,
    vector: zeros([3]),
    doubled: x.mul(2),
    used,
    square,
    labels: tensor(new Int32Array([0, 1, 2])),
    integers: zeros([2, 3], { dtype: 'int32' }),
    bits: zeros([2, 3], { dtype: 'bool' }),
    image: zeros([2, 3, 8, 8]),
    kernel: zeros([4, 3, 3, 3]),
    net: new nn.Linear(3, 5),
    none: undefined as unknown as Tensor,
  };
}

function table(o: ReturnType<typeof operands>): Row[] {
  const { a, b, x, image, kernel, labels, integers, none } = o;
  const A = '[2, 3]';
  const B = '[4, 5]';
  const I = '[2, 3, 8, 8]';
  const K = '[4, 3, 3, 3]';
  return [
    // Elementwise
    { what: 'shapes that do not broadcast', call: () => a.add(b), op: 'add', shapes: [A, B], hint: /reshape/ },
    { what: 'where', call: () => F.where(o.bits, b, 1), op: 'where', shapes: [A, B], hint: /equal or 1/ },
    { what: 'a string', call: () => a.mul('2' as never), op: 'mul', shapes: [A], hint: /tensor or a number/ },
    { what: 'no operand', call: () => a.add(none), op: 'add', shapes: [A], hint: /tensor or a number/ },
    { what: 'no tensor', call: () => F.relu([1] as never), op: 'relu', hint: /tensor\(data\)/ },
    { what: 'minus a boolean', call: () => o.bits.neg(), op: 'neg', hint: /to\('int32'\)/ },
    { what: 'limit', call: () => F.clamp(a, '0' as never), op: 'clamp', shapes: [A], hint: /tensor or a number/ },
    { what: 'nothing to choose', call: () => F.where(o.bits, none, 1), op: 'where', shapes: [A], hint: /a number/ },
    { what: 'type', call: () => a.cast('float64' as never), op: 'cast', hint: /Use .*float32/ },
    // Matrix products
    { what: 'inner dimensions', call: () => a.matmul(b), op: 'matmul', shapes: [A, B], hint: /transpose/ },
    {
      what: 'batches',
      call: () => zeros([2, 3, 4]).matmul(zeros([3, 4, 5])),
      op: 'matmul',
      shapes: ['[2, 3, 4]', '[3, 4, 5]'],
      hint: /batches/,
    },
    { what: 'integers', call: () => integers.matmul(b), op: 'matmul', shapes: [A, B], hint: /to\('float32'\)/ },
    { what: 'times a number', call: () => a.matmul(2 as never), op: 'matmul', shapes: [A], hint: /tensor\(data\)/ },
    { what: 'features', call: () => o.net.forward(b), op: 'linear', shapes: [B, '[5, 3]'], hint: /input features/ },
    {
      what: 'bias',
      call: () => F.linear(a, zeros([4, 3]), o.vector),
      op: 'linear',
      shapes: ['[4, 3]', '[3]'],
      hint: /\[4\]/,
    },
    // Convolution, pooling, norm
    { what: 'no image', call: () => F.conv2d(a, kernel), op: 'conv2d', shapes: [A, K], hint: /\[C, H, W\]/ },
    {
      what: 'channels',
      call: () => F.conv2d(image, zeros([4, 5, 3, 3])),
      op: 'conv2d',
      shapes: [I, '[4, 5, 3, 3]'],
      hint: /N, C, H, W/,
    },
    {
      what: 'kernel larger than image',
      call: () => F.conv2d(image, zeros([4, 3, 9, 9])),
      op: 'conv2d',
      shapes: [I, '[4, 3, 9, 9]'],
      hint: /padding/,
    },
    {
      what: 'groups',
      call: () => F.conv2d(image, kernel, null, { groups: 2 }),
      op: 'conv2d',
      shapes: [I, K],
      hint: /multiples/,
    },
    {
      what: 'stride 0',
      call: () => F.conv2d(image, kernel, null, { stride: 0 }),
      op: 'conv2d',
      shapes: [I],
      hint: /positive integer/,
    },
    { what: 'no weight', call: () => F.conv2d(image, none), op: 'conv2d', shapes: [I], hint: /tensor\(data\)/ },
    {
      what: 'bias of a convolution',
      call: () => F.conv2d(image, kernel, o.vector),
      op: 'conv2d',
      shapes: [I, K, '[3]'],
      hint: /\[4\]/,
    },
    {
      what: 'same with a stride',
      call: () => F.conv2d(image, kernel, null, { padding: 'same', stride: 2 }),
      op: 'conv2d',
      shapes: [I, K],
      hint: /as a number/,
    },
    {
      what: 'channels of a transposed convolution',
      call: () => F.convTranspose2d(image, kernel),
      op: 'convTranspose2d',
      shapes: [I, K],
      hint: /N, C, H, W/,
    },
    { what: 'window', call: () => F.maxPool2d(image, { kernel: 9 }), op: 'maxPool2d', shapes: [I], hint: /smaller/ },
    {
      what: 'padding of a window',
      call: () => F.avgPool2d(image, { kernel: 2, padding: 3 }),
      op: 'avgPool2d',
      shapes: [I],
      hint: /below/,
    },
    {
      what: 'channels of a norm',
      call: () => new nn.BatchNorm2d(4).forward(image),
      op: 'BatchNorm2d',
      shapes: [I],
      hint: /dimension 1/,
    },
    {
      what: 'one value a channel',
      call: () => new nn.BatchNorm2d(3).forward(zeros([1, 3, 1, 1])),
      op: 'batchNorm',
      shapes: ['[1, 3, 1, 1]'],
      hint: /larger batch/,
    },
    { what: 'no input', call: () => new nn.BatchNorm2d(3).forward(none), op: 'BatchNorm2d', hint: /tensor\(data\)/ },
    { what: 'no image to pool', call: () => F.maxPool2d(none, { kernel: 2 }), op: 'maxPool2d', hint: /tensor\(data\)/ },
    {
      what: 'normalised shape',
      call: () => F.layerNorm(a, [4]),
      op: 'layerNorm',
      shapes: [A, '[4]'],
      hint: /ends with it/,
    },
    { what: 'probability', call: () => F.dropout(a, { p: 2 }), op: 'dropout', shapes: [A], hint: /0 … 1/ },
    // Losses
    {
      what: 'labels',
      call: () => F.crossEntropy(a, labels),
      op: 'crossEntropy',
      shapes: [A, '[3]'],
      hint: /without its class/,
    },
    {
      what: 'float labels',
      call: () => F.crossEntropy(a, o.vector),
      op: 'crossEntropy',
      shapes: [A, '[3]'],
      hint: /int32/,
    },
    { what: 'target', call: () => F.mseLoss(a, b), op: 'mseLoss', shapes: [A, B], hint: /equal or 1/ },
    { what: 'delta', call: () => F.huberLoss(a, a, { delta: 0 }), op: 'huberLoss', shapes: [A], hint: /positive/ },
    // Shapes
    { what: 'elements', call: () => a.reshape([4, 2]), op: 'reshape', shapes: [A, '[4, 2]'], hint: /−1/ },
    { what: 'order', call: () => a.permute([0, 0]), op: 'permute', shapes: [A], hint: /once/ },
    { what: 'dimension', call: () => a.transpose(0, 5), op: 'transpose', shapes: [A], hint: /-2 … 1/ },
    { what: 'squeeze', call: () => a.squeeze(0), op: 'squeeze', shapes: [A], hint: /size 1/ },
    { what: 'expand', call: () => a.expand([4, 3]), op: 'expand', shapes: [A, '[4, 3]'], hint: /equal or 1/ },
    { what: 'too many indices', call: () => a.slice([{}, {}, {}]), op: 'slice', shapes: [A], hint: /at most one/ },
    { what: 'step 0', call: () => a.slice([{ step: 0 }]), op: 'slice', shapes: [A], hint: /non-zero/ },
    { what: 'position', call: () => a.select(0, 9), op: 'select', shapes: [A], hint: /Negative/ },
    { what: 'part', call: () => a.narrow(0, 1, 5), op: 'narrow', shapes: [A], hint: /axis, start, length/ },
    { what: 'parts', call: () => a.split([1, 3], 0), op: 'split', shapes: [A], hint: /single number/ },
    { what: 'concat', call: () => F.concat([a, b], 0), op: 'concat', shapes: [A, B], hint: /stack/ },
    { what: 'nothing to join', call: () => F.concat([], 0), op: 'concat', hint: /at least one/ },
    { what: 'stack', call: () => F.stack([a, b]), op: 'stack', shapes: [A, B], hint: /concat/ },
    { what: 'pad', call: () => a.pad([[0, 0]]), op: 'pad', shapes: [A], hint: /\[before, after\]/ },
    {
      what: 'mirror',
      call: () =>
        a.pad(
          [
            [5, 0],
            [0, 0],
          ],
          { mode: 'reflect' },
        ),
      op: 'pad',
      shapes: [A],
      hint: /At most 1/,
    },
    { what: 'index', call: () => F.gather(a, 0, labels), op: 'gather', shapes: [A, '[3]'], hint: /indexSelect/ },
    { what: 'float index', call: () => F.gather(a, 0, a), op: 'gather', shapes: [A], hint: /cast/ },
    {
      what: 'matrix of indices',
      call: () => F.indexSelect(a, 0, integers),
      op: 'indexSelect',
      shapes: [A],
      hint: /It is \[N\]/,
    },
    { what: 'table', call: () => F.embedding(o.vector, labels), op: 'embedding', shapes: ['[3]'], hint: /\[V, D\]/ },
    { what: 'classes', call: () => F.oneHot(labels, 0), op: 'oneHot', shapes: ['[3]'], hint: /positive integer/ },
    { what: 'too many of the best', call: () => F.topk(a, 9), op: 'topk', shapes: [A], hint: /0 … 3/ },
    // Reductions
    { what: 'axis', call: () => a.sum(2), op: 'sum', shapes: [A], hint: /-2 … 1/ },
    { what: 'axis twice', call: () => a.sum([0, -2]), op: 'sum', shapes: [A], hint: /once/ },
    { what: 'maximum of nothing', call: () => zeros([0, 3]).max(0), op: 'max', shapes: ['[0, 3]'], hint: /size 0/ },
    { what: 'softmax', call: () => F.softmax(a, 3), op: 'softmax', shapes: [A], hint: /-2 … 1/ },
    // Making tensors
    { what: 'null', call: () => tensor(null as never), op: 'tensor', hint: /numbers or booleans/ },
    { what: 'strings', call: () => tensor(['1'] as never), op: 'tensor', hint: /numbers or booleans/ },
    { what: 'a type of PyTorch', call: () => zeros([2], { dtype: 'long' as never }), op: 'full', hint: /int32/ },
    { what: 'fractions', call: () => tensor([1.5], { dtype: 'int32' }), op: 'tensor', hint: /Round/ },
    { what: 'ragged', call: () => tensor([[1, 2], [3]]), op: 'tensor', shapes: ['[2, 2]'], hint: /same length/ },
    {
      what: 'number of values',
      call: () => tensor([1, 2, 3], { shape: [2, 2] }),
      op: 'tensor',
      shapes: ['[2, 2]'],
      hint: /Leave/,
    },
    {
      what: 'too large',
      call: () => zeros([70000, 70000]),
      op: 'full',
      shapes: ['[70000, 70000]'],
      hint: /Split/,
    },
    {
      what: 'too many dimensions',
      call: () => zeros([1, 1, 1, 1, 1, 1, 1, 1, 1]),
      op: 'full',
      shapes: ['[1, 1, 1, 1, 1, 1, 1, 1, 1]'],
      hint: /reshape/,
    },
    // Gradients
    { what: 'nothing to differentiate', call: () => a.backward(), op: 'backward', shapes: [A], hint: /requiresGrad/ },
    { what: 'many losses', call: () => o.doubled.backward(), op: 'backward', shapes: [A], hint: /mean, sum/ },
    {
      what: 'gradient',
      call: () => o.doubled.backward({ gradient: b }),
      op: 'backward',
      shapes: [A, B],
      hint: /element by element/,
    },
    { what: 'twice', call: () => o.used.backward(), op: 'backward', shapes: ['[]'], hint: /retainGraph/ },
    { what: 'after the update', call: () => o.square.backward(), op: 'backward', shapes: ['[3]'], hint: /before opt/ },
    {
      what: 'gradient of integers',
      call: () => integers.requiresGrad_(),
      op: 'requiresGrad_',
      shapes: [A],
      hint: /float32/,
    },
    {
      what: 'gradient of a result',
      call: () => o.doubled.requiresGrad_(),
      op: 'requiresGrad_',
      shapes: [A],
      hint: /detach/,
    },
    // Modules, optimizers, compiled steps
    {
      what: 'state dict',
      call: () => o.net.loadStateDict({ weight: a, other: b }),
      op: 'loadStateDict',
      shapes: [A, '[5, 3]', '[4, 5]'],
      hint: /missing: bias \[5\][\s\S]*unexpected: other/,
    },
    { what: 'groups', call: () => new nn.Conv2d(3, 4, 3, { groups: 2 }), op: 'Conv2d', hint: /do not divide/ },
    { what: 'fans', call: () => nn.init.kaimingNormal([3]), op: 'init', shapes: ['[3]'], hint: /two dimensions/ },
    { what: 'plain tensors', call: () => new optim.SGD([x as never], { lr: 1 }), op: 'SGD', hint: /new Parameter/ },
    { what: 'nothing to train', call: () => new optim.SGD([], { lr: 1 }), op: 'SGD', hint: /empty/ },
    { what: 'rate', call: () => new optim.SGD(o.net.parameters(), { lr: -1 }), op: 'SGD', hint: /≥ 0/ },
    { what: 'model', call: () => models.createModel('resnet21'), op: "model 'resnet21'", hint: /6n \+ 2.*resnet20/ },
  ];
}

function message(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    assert.instance(error, DawnfieldError, `threw a plain ${(error as Error).stack}`);
    return (error as Error).message;
  }
  return assert.unreachable('nothing was thrown') as never;
}

test('wrong calls throw before anything is submitted, with operation, shapes and hint', () => {
  const rows = table(operands());
  assert.ok(rows.length >= 40);
  for (const { what, call, op, shapes = [], hint } of rows) {
    const { submits, dispatches } = device().stats();
    const text = message(call);
    const after = device().stats();
    assert.equal([after.submits, after.dispatches], [submits, dispatches], `${what}: something was launched`);
    assert.ok(text.startsWith(`${op}: `), `${what}: '${text}' does not start with ${op}`);
    for (const shape of shapes) assert.ok(text.includes(shape), `${what}: '${text}' lacks ${shape}`);
    assert.match(text, hint, what);
  }
});

test('the message names the line that called', () => {
  const { a, b } = operands();
  assert.match(
    message(() => a.matmul(b)),
    /called from .*wrong-calls\.test\.ts:\d+:\d+/,
  );
  assert.match(
    message(() => a.select(0, 9)),
    /called from .*wrong-calls\.test\.ts:\d+:\d+/,
  );
});

test("the user's folders may have the framework's names", () => {
  const filename = '/home/me/app/src/models/net.js';
  const multiply = runInThisContext('(a, b) => a.matmul(b)', { filename });
  const { a, b } = operands();
  assert.match(
    message(() => multiply(a, b)),
    /called from .*\/home\/me\/app\/src\/models\/net\.js:1:\d+/,
  );
});

test('a wrong shape deep inside a network: the path of the module, and the line outside of the framework', () => {
  const net = new models.PreActResNet({ blocks: 2 });
  const find = (name: string) => [...net.namedModules()].find(([path]) => path === name)![1];
  const conv = find('layer2.1.conv1') as nn.Conv2d;
  Object.assign(conv, { weight: new nn.Parameter(zeros([32, 5, 3, 3])) });
  const text = message(() => net.forward(zeros([1, 3, 8, 8])));
  assert.match(text, /^conv2d: .*\[1, 32, 4, 4\].*\[32, 5, 3, 3\].*in module layer2\.1\.conv1\./);
  assert.match(text, /called from .*wrong-calls\.test\.ts/);
});

test("the path is that of the user's own modules too", () => {
  class Head extends nn.Module {
    readonly first = new nn.Linear(4, 4);
    override forward(x: Tensor): Tensor {
      return this.first.forward(x).matmul(zeros([3, 3]));
    }
  }
  class Net extends nn.Module {
    readonly heads = [new Head(), new Head()];
    override forward(x: Tensor): Tensor {
      return this.heads[1].forward(x);
    }
  }
  const text = message(() => new Net().forward(zeros([2, 4])));
  assert.match(text, /^matmul: .*in module heads\.1\./);
});

test('memory beyond the limits of the adapter: the operation and both sizes, before anything is submitted', () => {
  const most = device().limits.maxStorageBufferBindingSize / 4;
  const row = zeros([1]);
  const { submits, dispatches, liveBytes } = device().stats();
  const text = message(() => row.expand([most + 1024]).add(1));
  assert.match(text, /^add\b.*iB.*maxStorageBufferBindingSize|^add\b.*iB.*maxBufferSize/);
  const after = device().stats();
  assert.equal([after.submits, after.dispatches], [submits, dispatches]);
  assert.ok(after.liveBytes >= liveBytes);
});

test.run();
