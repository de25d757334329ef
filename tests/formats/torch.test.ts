// Files of torch.save. Those in tests/fixtures/formats were written by PyTorch 2.13: a state dict with views, every dtype and a parameter, beside
// numbers and text, as an archive and in the form before 1.6; the state dict of a Linear(2, 1), the module itself, and a pickle that calls os.system.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type StoredTensor, toFloat32 } from '../../src/formats/safetensors';
import { fromStored, loadTorch, loadWeights, models, nn, parseSafetensors, parseTorch } from '../../src/index.node.js';
import { sharedPath } from '../shared';
import { useGpu } from '../util';

useGpu();

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/formats/${name}`, import.meta.url));
const bytesOf = (name: string) => readFileSync(fixture(name));
const plain = ({ dtype, shape, data }: StoredTensor) => [
  dtype,
  shape,
  Array.from(data as ArrayLike<number>, String).join(),
];

for (const name of ['archive.pt', 'legacy.pt'])
  test(`${name}: tensors of every dtype, views, plain values`, () => {
    const { tensors, value } = loadTorch(fixture(name));
    const expected: Record<string, unknown[]> = {
      weight: ['F32', [3, 4], '0,1,2,3,4,5,6,7,8,9,10,11'],
      transposed: ['F32', [4, 3], '0,4,8,1,5,9,2,6,10,3,7,11'],
      row: ['F32', [4], '4,5,6,7'],
      corner: ['F32', [2, 2], '6,7,10,11'],
      expanded: ['F32', [2, 3], '5,5,5,5,5,5'],
      double: ['F64', [2], '1.5,-2.25'],
      steps: ['I64', [], '7'],
      mask: ['BOOL', [2], '1,0'],
      bytes: ['U8', [2], '1,255'],
      small: ['I8', [2], '-1,2'],
      short: ['I16', [1], '-300'],
      int: ['I32', [1], '-70000'],
      empty: ['F32', [0, 3], ''],
      parameter: ['F32', [2], '3,4'],
    };
    for (const [key, want] of Object.entries(expected)) assert.equal(plain(tensors.get(key)!), want, key);
    assert.equal([...toFloat32(tensors.get('half')!)], [1, 0.5]);
    assert.equal([...toFloat32(tensors.get('brain')!)], [1, -2]);
    if (name === 'archive.pt') assert.equal(plain(tensors.get('wide')!), ['U16', [2], '1,65535']);
    const { state_dict: _, ...rest } = Object.fromEntries(value as Map<string, unknown>);
    const about = { epoch: 3, best: 0.25, name: 'réseau', sizes: [1, [2, 3]], flag: true, none: null, big: 2n ** 70n };
    assert.equal(rest, about);
  });

test('a state dict loads into a module', async () => {
  const { tensors } = parseTorch(bytesOf('linear.pt'));
  const linear = new nn.Linear(2, 1);
  loadWeights(linear, Object.fromEntries(tensors));
  assert.equal(await linear.weight.toArray(), await fromStored(tensors.get('weight')!).toArray());
});

test('what is more than data is refused by name', () => {
  assert.throws(
    () => loadTorch(fixture('module.pt')),
    /module\.pt: it holds a torch\.nn\.modules\.linear\.Linear.*state_dict/,
  );
  assert.throws(() => loadTorch(fixture('command.pt')), /command\.pt: it holds a posix\.system/);
});

test('damaged files say so', () => {
  for (const name of ['linear.pt', 'legacy.pt']) {
    const bytes = bytesOf(name);
    for (let length = 0; length < bytes.length; length += 13)
      assert.throws(() => parseTorch(bytes.subarray(0, length), 'cut.pt'), /^cut\.pt: /, `${name}, ${length} bytes`);
  }
  assert.throws(
    () => parseTorch(new Uint8Array([1, 2, 3]), 'x'),
    'x: it is neither an archive nor a file of torch.save',
  );
});

const old = sharedPath('checkpoints', 'resnet20-12fca82f.th');
(old ? test : test.skip)('a published checkpoint of 2018 equals its safetensors', () => {
  const { tensors } = loadTorch(old!);
  const converted = parseSafetensors(readFileSync(sharedPath('checkpoints', 'resnet20.safetensors')!)).tensors;
  const bare = (name: string) => name.replace(/^module\./, '');
  const byName = new Map([...tensors].map(([name, tensor]) => [bare(name), tensor]));
  for (const [name, { data, shape }] of converted) {
    assert.equal(byName.get(bare(name))?.shape, [...shape], name);
    assert.equal([...(byName.get(bare(name))!.data as Float32Array)], [...(data as Float32Array)], name);
  }
  const model = models.createModel('resnet20-post-a');
  loadWeights(model, Object.fromEntries(tensors));
});

test.run();
