// The gate for element types: what a kernel's WGSL declares is compared with the tensors that it is given, at every launch.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ANY, elementsOf, F32, I32, U32 } from '../../shaders/elements';
import type { Kernel } from '../../shaders/kernel';
import { f32, InputError } from '../../src/gpu';
import { type DType, device, tensor, zeros } from '../../src/index.node.js';
import { bind } from '../../src/tensor/elementwise';
import { useGpu } from '../util';

useGpu();

const kernel = (code: string, access = 'r'): Kernel => ({ name: 'mine', code, access });

test('elements are read off every form of declaration', () => {
  const forms: [string, number][] = [
    ['array<f32>', F32],
    ['array<vec4f>', F32],
    ['array<vec2<i32>, 8>', I32],
    ['atomic<u32>', U32],
    ['array<atomic<i32>>', I32],
    ['vec3u', U32],
    ['array<Word>', ANY],
    ['array<Index>', I32 | U32],
  ];
  for (const [type, element] of forms)
    assert.equal(
      elementsOf(kernel(`@group(0)\n  @binding(0) var<storage, read_write> data : ${type};`)),
      [{ name: 'data', element }],
      type,
    );
  const swapped = '@group(0) @binding(1) var<storage> b: array<u32>; @group(0) @binding(0) var<storage> a: array<f32>;';
  assert.equal(
    elementsOf(kernel(swapped, 'rr')).map(({ name }) => name),
    ['a', 'b'],
    'in the order of the bindings',
  );
  assert.throws(
    () => elementsOf(kernel('struct S { a: f32 } @group(0) @binding(0) var<storage> s: array<S>;')),
    /mine/,
  );
  assert.throws(() => elementsOf(kernel('@group(0) @binding(0) var<storage> a: array<f32>;', 'rr')), /binding 1/);
});

test('every storage declaration in shaders/ can be read', () => {
  const folder = new URL('../../shaders/', import.meta.url);
  let seen = 0;
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )) {
    const source = readFileSync(new URL(file, folder), 'utf8');
    for (const [declaration] of source.matchAll(/@group\(0\) @binding\(\d+\) var<storage.*?;/g)) {
      const line = declaration.replace(/\$\{[^}]*\}/g, 'f32'); // a type or name that is made of a kernel's options
      const at = /@binding\((\d+)\)/.exec(line)![1];
      assert.ok(elementsOf({ name: file, code: line, access: '' })[Number(at)], `${file}: ${line}`);
      seen++;
    }
  }
  assert.ok(seen > 5);
});

const scale: Kernel = {
  name: 'scale',
  access: 'rw',
  uniforms: 16,
  code: `
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(1) @binding(0) var<uniform> factor: f32;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&result)) { result[id.x] = factor * source[id.x]; }
}`,
};

test('a launch refuses tensors of another type by name, and nothing is lost', async () => {
  const run = (from: DType, to: DType) => {
    const y = zeros([3], { dtype: to }).keep();
    device().launch(scale, [bind(tensor([1, 0, 1], { dtype: from })), bind(y)], [f32(2)], [1, 1, 1]);
    return y;
  };
  const good = tensor([1, 2, 3]).mul(2);
  const before = device().stats().dispatches;
  for (const dtype of ['int32', 'uint32', 'bool'] as const) {
    assert.throws(
      () => run(dtype, 'float32'),
      (e: Error) =>
        e instanceof InputError &&
        /^scale: 'source' \(binding 0\) is memory of float32, .*given a tensor of u?int32/.test(e.message),
    );
    assert.throws(() => run('float32', dtype), /scale: 'result' \(binding 1\)/);
  }
  assert.is(device().stats().dispatches, before);
  assert.equal([...(await run('float32', 'float32').data())], [2, 0, 2]);
  assert.equal([...(await good.data())], [2, 4, 6]);
});

test.run();
