// Tensors without dimensions take the dimensions 0 and −1, as in PyTorch; and where a number is expected, a tensor is no number.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arange, F, full, InputError, linspace, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { useGpu } from '../util';

useGpu();

const refused = (e: Error) => e instanceof InputError && !/undefined|memory"/.test(e.message);
const zero = () => tensor(0, { dtype: 'int32' });

/** What each operation makes of 3 along dimension d, and the gradient. */
const rows: [
  name: string,
  f: (x: Tensor, d: number) => Tensor,
  value: number[],
  gradient?: number,
  shape?: number[],
][] = [
  ['sum', (x, d) => x.sum(d), [3], 1],
  ['sum of a list', (x, d) => x.sum([d], true), [3], 1],
  ['mean', (x, d) => x.mean(d), [3], 1],
  ['prod', (x, d) => x.prod(d), [3], 1],
  ['max', (x, d) => x.max(d), [3], 1],
  ['argmin', (x, d) => x.argmin(d), [0]],
  ['all', (x, d) => x.all(d), [1]],
  ['var', (x, d) => x.var(d, false, 0), [0], 0],
  ['std', (x, d) => x.std(d), [NaN], NaN],
  ['logsumexp', (x, d) => x.logsumexp(d), [3], 1],
  ['norm', (x, d) => x.norm(2, d), [3], 1],
  ['cumsum', (x, d) => x.cumsum(d), [3], 1],
  ['cumprod', (x, d) => x.cumprod(d), [3], 1],
  ['softmax', (x, d) => x.softmax(d), [1], 0],
  ['sort', (x, d) => x.sort({ dim: d }).values, [3], 1],
  ['topk', (x, d) => x.topk(1, { dim: d }).values, [3], 1],
  ['squeeze', (x, d) => x.squeeze(d), [3], 1],
  ['flip', (x, d) => x.flip(d), [3], 1],
  ['transpose', (x, d) => x.transpose(0, d), [3], 1],
  ['flatten', (x, d) => x.flatten(d, d), [3], 1, [1]],
  ['unsqueeze', (x, d) => x.unsqueeze(d), [3], 1, [1]],
  ['gather', (x, d) => x.gather(d, zero()), [3], 1],
  ['indexSelect', (x, d) => x.indexSelect(d, tensor([0], { dtype: 'int32' })), [3], 1],
  ['scatterAdd', (x, d) => x.scatterAdd(d, zero(), tensor(2)), [5], 1],
];

test('a tensor without dimensions has the dimensions 0 and −1', async () => {
  for (const [name, f, value, gradient, shape = []] of rows) {
    for (const d of [0, -1]) {
      const x = tensor(3, { requiresGrad: true });
      const y = f(x, d);
      assert.equal([[...y.shape], [...(await y.data())]], [shape, value], `${name} along ${d}`);
      if (gradient === undefined) continue;
      y.sum().backward();
      assert.equal(await x.grad!.item(), gradient, `gradient of ${name}`);
    }
    assert.throws(() => f(tensor(3), 1), /dimension 1 of a tensor with \d dimension.*Use -1 … 0/, name);
  }
  for (const part of [F.select, F.narrow, F.split, F.chunk] as ((x: Tensor, ...rest: number[]) => unknown)[])
    assert.throws(() => part(tensor(3), 0, 0, 1), refused);
});

test('a tensor where a number is expected is refused, not read as NaN or 0', () => {
  const x = zeros([2, 3]);
  const t = tensor(1) as never;
  const calls: (() => unknown)[] = [
    () => x.leakyRelu(t),
    () => x.threshold(0, t),
    () => F.softplus(x, t),
    () => x.sum(t),
    () => x.cumsum(t),
    () => x.var(0, false, t),
    () => x.norm(t),
    () => x.narrow(0, t, 1),
    () => x.select(0, t),
    () => x.slice([t]),
    () => x.slice([{ start: t }]),
    () => x.slice(t),
    () => x.topk(t),
    () => x.split(t),
    () => x.chunk(t),
    () => x.reshape(t),
    () => x.permute(t),
    () => x.expand(t),
    () => x.tile(t),
    () => F.pad(x, t),
    () =>
      F.pad(
        x,
        [
          [0, 1],
          [0, 0],
        ],
        { value: t },
      ),
    () => F.oneHot(tensor([0], { dtype: 'int32' }), t),
    () => F.groupNorm(x, t),
    () => F.layerNorm(x, t),
    () => F.adaptiveAvgPool2d(zeros([1, 1, 2, 2]), t),
    () => full([2], t),
    () => zeros(t),
    () => arange(t),
    () => linspace(0, t, 3),
  ];
  for (const call of calls)
    assert.throws(call, (e: Error) => e instanceof InputError && !/undefined|memory"/.test(e.message), String(call));
  assert.throws(() => x.slice([{ start: 0.5 }]), refused);
});

test.run();
