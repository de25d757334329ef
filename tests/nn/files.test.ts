// Buffers, hooks before forward, freezing, and weights in files: save(path), load(path), bytes where there are no files.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { device, load, nn, save, type Tensor, tensor, zeros } from '../../src/index.node.js';
import { useGpu } from '../util';

useGpu();
const folder = mkdtempSync(join(tmpdir(), 'dawnfield-weights-'));
test.after(() => rmSync(folder, { recursive: true }));

class Centred extends nn.Module {
  readonly inner = new nn.Linear(2, 1);
  readonly mean = this.registerBuffer('mean', tensor([1, 2]));
  readonly scratch = this.registerBuffer('scratch', zeros([3]), { persistent: false });
  override forward(x: Tensor): Tensor {
    return this.inner.forward(x.sub(this.mean));
  }
}

test('buffers have names, are saved when persistent, and collide with nothing', () => {
  const net = new Centred();
  assert.equal(
    [...net.namedBuffers()].map(([name]) => name),
    ['mean', 'scratch'],
  );
  assert.is(net.buffers()[0], net.mean);
  assert.equal(Object.keys(net.stateDict()), ['mean', 'inner.weight', 'inner.bias']);
  assert.throws(
    () => net.registerBuffer('inner', zeros([1])),
    /Centred\.registerBuffer: there is a field 'inner' already/,
  );
  assert.throws(() => net.registerBuffer('forward', zeros([1])), /there is a field 'forward' already/);
  assert.throws(() => net.registerBuffer('a.b', zeros([1])), /'a\.b' is no name/);
});

test('requiresGrad_ freezes all parameters, and a hook before forward sees and changes the inputs', async () => {
  const net = new Centred().requiresGrad_(false);
  assert.not(net.forward(tensor([[1, 2]])).requiresGrad);
  assert.ok(net.requiresGrad_().forward(tensor([[1, 2]])).requiresGrad);
  const seen: Tensor[] = [];
  const remove = net.onForwardPre((_, [x]) => {
    seen.push(x);
    return [net.mean.reshape([1, 2])];
  });
  const [at] = await net.forward(tensor([[9, 9]])).data();
  assert.equal([at], [...(await net.inner.bias!.data())]);
  assert.equal([...(await seen[0].data())], [9, 9]);
  remove();
  assert.is.not((await net.forward(tensor([[9, 9]])).data())[0], at);
  net.onForwardPre((() => 3) as never);
  assert.throws(() => net.forward(tensor([[9, 9]])), /Centred: a hook before forward returns its inputs as an array/);
});

test('tensors are read back side by side, as many as memory allows', async () => {
  const own = device();
  const read = own.read;
  let [now, most, bytes] = [0, 0, 0];
  const mostDuring = async (dict: Record<string, Tensor>) => {
    most = bytes = 0;
    own.read = async (...args) => {
      most = Math.max(most, ++now);
      bytes += args[2] ?? 0;
      try {
        return await read.apply(own, args);
      } finally {
        now--;
      }
    };
    try {
      load(await save(dict));
    } finally {
      own.read = read;
    }
    return { most, bytes };
  };
  const named = (count: number, size: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, zeros([size])]));
  assert.equal(await mostDuring(named(100, 3)), { most: 100, bytes: 1200 });
  assert.is((await mostDuring(named(200, 1))).most, 128);
  assert.is((await mostDuring(named(5, 2 ** 23))).most, 2); // 32 MiB each
});

test('weights go through a file, and through bytes', async () => {
  const path = join(folder, 'weights.safetensors');
  const [a, b, c] = [new Centred(), new Centred(), new Centred()];
  await a.save(path);
  assert.equal(readdirSync(folder), ['weights.safetensors']);
  assert.equal(b.load(path), { missing: [], unexpected: [] });
  c.load(await a.save());
  const x = tensor([[3, -1]]);
  for (const net of [b, c]) assert.equal(await net.forward(x).data(), await a.forward(x).data());
  await save({ 'a.b': tensor([1, 2]), steps: tensor([3], { dtype: 'int32' }) }, path);
  const dict = load(path);
  assert.equal([...(await dict['a.b'].data())], [1, 2]);
  assert.is(dict.steps.dtype, 'int32');
});

test('wrong files are named, and a file that does not fit changes nothing', async () => {
  const net = new Centred();
  const before = await net.inner.weight.data();
  const missing = join(folder, 'none.safetensors');
  assert.throws(() => net.load(missing), /none\.safetensors: could not be read \(no such file/);
  const odd = join(folder, 'odd.safetensors');
  writeFileSync(odd, 'no weights');
  assert.throws(() => load(odd), /odd\.safetensors/);
  writeFileSync(odd, 'PK\u0003\u0004');
  assert.throws(() => load(odd), /zip archive, as torch\.save writes: use parseTorch/);
  const { 'inner.bias': _, ...part } = net.stateDict();
  await save({ ...part, more: zeros([1]) }, odd);
  assert.throws(() => net.load(odd), /missing: inner\.bias \[1\]\n.*unexpected: more/);
  assert.equal(net.load(odd, { strict: false }), { missing: ['inner.bias'], unexpected: ['more'] });
  assert.equal(await net.inner.weight.data(), before);
  assert.throws(() => load(3 as never), /load: give a path/);
  let refusal = '';
  await save({ mask: zeros([2]).eq(0) }, odd).catch((error) => (refusal = error.message));
  assert.match(refusal, /a bool tensor of shape \[2\] cannot be stored/);
});

test.run();
