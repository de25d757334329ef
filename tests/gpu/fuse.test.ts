// The passes that join launches of a traced step, on lists made by hand: what they join, and what they must leave alone.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Kernel } from '../../shaders/kernel';
import type { Binding, Block } from '../../src/gpu/blocks';
import { f32 } from '../../src/gpu/constants';
import { joinFlat, joinSegments } from '../../src/gpu/fuse';
import { type Launch, VirtualBlock } from '../../src/gpu/trace';

const ALIGN = 256;
const none: ReadonlySet<Block> = new Set();
const whole = (block: VirtualBlock, bytes = 1024): Binding => ({ block, offset: 0, bytes });
const block = (what: string) => new VirtualBlock(1024, what);

const flat: Kernel = { name: 'update', code: '', access: 'xr', uniforms: 8, grid: { tile: 256 }, flat: true };
const update = (weight: VirtualBlock, gradient: VirtualBlock, rate = 0.1): Launch => ({
  kernel: flat,
  bindings: [whole(weight), whole(gradient)],
  constants: [256, f32(rate)],
  grid: [1, 1, 1],
  path: '',
});

const family: Kernel = { name: 'sum.joined', code: '', access: 'rwr', uniforms: 16 };
const sum = (from: VirtualBlock, to: VirtualBlock): Launch => ({
  kernel: { name: 'sum', code: '', access: 'rw', segment: { family, groups: 2, words: [7] } },
  bindings: [whole(from), whole(to)],
  constants: [],
  grid: [2, 1, 1],
  path: '',
});
const other = (from: VirtualBlock, to: VirtualBlock): Launch => ({
  kernel: { name: 'other', code: '', access: 'rw' },
  bindings: [whole(from), whole(to)],
  constants: [],
  grid: [1, 1, 1],
  path: '',
});
const names = (launches: readonly Launch[]) => launches.map(({ kernel }) => kernel.name);

test('updates of the same numbers become one, over ranges laid side by side', () => {
  const [x, w1, w2, g1, g2] = ['x', 'w1', 'w2', 'g1', 'g2'].map(block);
  const out = joinFlat([other(x, g1), other(x, g2), update(w1, g1), update(w2, g2)], none, ALIGN);
  assert.equal(names(out), ['other', 'other', 'update']);
  const [first, second, joined] = out;
  assert.is(joined.constants[0], 512);
  assert.is(joined.bindings[1].bytes, 2048);
  // Those that wrote the gradients now write to where the update reads them.
  assert.is(first.bindings[1].block, joined.bindings[1].block);
  assert.is(second.bindings[1].block, joined.bindings[1].block);
  assert.equal([first.bindings[1].offset, second.bindings[1].offset], [0, 1024]);
});

test('updates of other numbers, or of memory that must stay where it is, stay apart', () => {
  const [w1, w2, g1, g2] = ['w1', 'w2', 'g1', 'g2'].map(block);
  assert.is(joinFlat([update(w1, g1), update(w2, g2, 0.2)], none, ALIGN).length, 2);
  assert.is(joinFlat([update(w1, g1), update(w2, g2)], new Set([g1]), ALIGN).length, 2);
});

test('ranges that a launch reads and writes are not laid into one buffer', () => {
  const [w1, w2, g1, g2] = ['w1', 'w2', 'g1', 'g2'].map(block);
  const out = joinFlat([other(g1, g2), update(w1, g1), update(w2, g2)], none, ALIGN);
  assert.equal(names(out), ['other', 'update', 'update']);
});

test('launches of a family become one, with a table of where each begins', () => {
  const [a, b, sa, sb, x, y] = ['a', 'b', 'sa', 'sb', 'x', 'y'].map(block);
  const launches = joinSegments([other(x, a), sum(a, sa), other(x, b), sum(b, sb), other(sa, y)], none, ALIGN);
  assert.equal(names(launches), ['other', 'other', 'sum.joined', 'other']);
  assert.equal([...launches[2].table!.slice(0, 4)], [0, 0, 1, 1], 'the segment of each workgroup');
  // Two records: where the operands start (in floats), the first workgroup, the family's own word.
  assert.equal([...launches[2].table!.slice(4)], [0, 0, 0, 7, 256, 256, 2, 7]);
});

test('a family is not joined across a launch that needs the one and makes the other', () => {
  const [a, b, sa, sb] = ['a', 'b', 'sa', 'sb'].map(block);
  const list = [sum(a, sa), other(sa, b), sum(b, sb)];
  assert.equal(names(joinSegments(list, none, ALIGN)), ['sum', 'other', 'sum']);
});

test.run();
