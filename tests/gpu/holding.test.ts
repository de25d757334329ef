// Kernels of float32 whose text is changed to hold some tensors as halves.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storage } from '../../shaders/build';
import { elementsOf, F16, F32, U32 } from '../../shaders/elements';
import { heldLike } from '../../shaders/holding';
import type { Kernel } from '../../shaders/kernel';

function kernelOf(body: string): Kernel {
  const { bindings, access } = storage('r x: f32', 'r index: u32', 'x y: vec4f');
  return { name: 'example', code: `${bindings}\nfn main() {\n${body}\n}`, access, grid: { tile: 64 }, flat: true };
}
const elements = (...list: number[]) => list.map((element) => ({ element }));
const lines = ({ code }: Kernel) => code.slice(code.indexOf('{\n') + 2, code.indexOf('\n}')).split('\n');

test('reads are widened, what is stored is rounded, also where one stands in the other', () => {
  const kernel = kernelOf(`let a = x[index[i] + 1u] + p.x[2];
y[i] = vec4f(x[i], a, f32(index[i]), 0.0) + y[i + 1u];
let near = y[i].x == y[2u].y;`);
  const half = heldLike(kernel, elements(F16, U32, F16));
  assert.equal(lines(half), [
    'let a = f32(x[index[i] + 1u]) + p.x[2];',
    'y[i] = toHalf4(vec4f(f32(x[i]), a, f32(index[i]), 0.0) + vec4f(y[i + 1u]));',
    'let near = vec4f(y[i]).x == vec4f(y[2u]).y;',
  ]);
  assert.match(half.code, /^enable f16;\n/);
  assert.match(half.code, 'fn toHalf4(');
  assert.equal(
    elementsOf(half).map(({ element }) => element),
    [F16, U32, F16],
  );
  assert.is(half.flat, undefined, 'rewrites count in words');
  assert.is(heldLike(kernel, elements(F16, U32, F16)), half, 'one kernel, and one pipeline');
  const [first] = lines(heldLike(kernel, elements(F32, U32, F16)));
  assert.is(first, 'let a = x[index[i] + 1u] + p.x[2];');
});

test('without halves it is the kernel itself', () => {
  const kernel = kernelOf('y[0] = vec4f(x[0]);');
  assert.is(heldLike(kernel, elements(F32, U32, F32)), kernel);
});

test('lengths that nothing reaches are doubled; what cannot be changed is refused', () => {
  const zero = kernelOf('let zero = arrayLength(&y) >> 27u;');
  assert.equal(lines(heldLike(zero, elements(F32, U32, F16))), ['let zero = arrayLength(&y) >> 28u;']);
  const refused: Record<string, RegExp> = {
    'let n = arrayLength(&y);': /example cannot hold 'y' as halves: it is used by its address/,
    'y[i] += vec4f(1.0);': /it is changed in place/,
    'y[i].x = 1.0;': /a component of it is stored/,
  };
  for (const [body, why] of Object.entries(refused))
    assert.throws(() => heldLike(kernelOf(body), elements(F32, U32, F16)), why);
});

test.run();
