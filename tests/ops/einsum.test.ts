// einsum against nested loops over all letters.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { einsum } from '../../src/ops/einsum';
import { tensor, zeros } from '../../src/tensor/create';
import { size } from '../../src/tensor/shape';
import { checkOperation, numbers, useGpu } from '../util';

useGpu();

const sizes: Record<string, number> = { b: 2, i: 3, j: 4, k: 5, l: 2 };

function reference(inputs: string[], output: string, values: Float64Array[]): Float64Array {
  const letters = [...new Set(inputs.join(''))];
  const y = new Float64Array(size([...output].map((c) => sizes[c])));
  const at: Record<string, number> = {};
  const position = (labels: string) => [...labels].reduce((p, c) => p * sizes[c] + at[c], 0);
  const walk = (depth: number): void => {
    if (depth === letters.length) {
      y[position(output)] += inputs.reduce((product, labels, k) => product * values[k][position(labels)], 1);
      return;
    }
    for (at[letters[depth]] = 0; at[letters[depth]] < sizes[letters[depth]]; at[letters[depth]]++) walk(depth + 1);
  };
  walk(0);
  return y;
}

for (const [equation, output] of [
  ['bij,bjk->bik', 'bik'],
  ['ij->ji', 'ji'],
  ['ij', 'ij'],
  ['i,j->ij', 'ij'],
  ['ij,ij->', ''],
  ['bij,kj->ikb', 'ikb'],
  ['ij,jk,kl->il', 'il'],
  ['bij,j->b', 'b'],
  ['jk, ij', 'ik'],
  ['ijk,jkl', 'il'],
  ['ij,ij,jk->k', 'k'],
  ['ij,ij', ''],
  ['i,i->i', 'i'],
])
  test(`einsum '${equation}'`, async () => {
    const inputs = equation.replaceAll(' ', '').split('->')[0].split(',');
    const shapes = inputs.map((labels) => [...labels].map((c) => sizes[c]));
    await checkOperation(equation, {
      shapes,
      values: shapes.map((shape, k) => numbers(size(shape), k)),
      run: (...x) => einsum(equation, ...x),
      reference: (...x) => reference(inputs, output, x),
    });
  });

test('diagonals, ellipses, dimensions that are repeated, integers', async () => {
  const a = numbers(9, 1);
  const square = { shapes: [[3, 3]], values: [a] };
  const on = (x: Float64Array) => [x[0], x[4], x[8]];
  const total = (list: number[]) => list.reduce((s, v) => s + v, 0);
  await checkOperation('diagonal', { ...square, run: (x) => einsum('ii->i', x), reference: on });
  await checkOperation('trace', { ...square, run: (x) => einsum('ii', x), reference: (x) => [total(on(x))] });
  await checkOperation('diagonals of a batch', {
    shapes: [[2, 3, 3, 2]],
    values: [numbers(36, 2)],
    run: (x) => einsum('...iik->k...', x),
    reference: (x) => [0, 1].flatMap((k) => [0, 1].map((b) => total([0, 1, 2].map((i) => x[18 * b + 8 * i + k])))),
  });
  await checkOperation('batches that broadcast', {
    shapes: [
      [2, 1, 3, 2],
      [4, 2, 2],
    ],
    values: [numbers(12, 3), numbers(16, 4)],
    run: (x, y) => einsum('...ij,...jk', x, y),
    reference: (x, y) =>
      Float64Array.from({ length: 48 }, (_, n) => {
        const [k, i, c, b] = [n % 2, Math.floor(n / 2) % 3, Math.floor(n / 6) % 4, Math.floor(n / 24)];
        return total([0, 1].map((j) => x[6 * b + 2 * i + j] * y[4 * c + 2 * j + k]));
      }),
  });
  await checkOperation('a letter of size 1 and 3', {
    shapes: [
      [1, 2],
      [3, 2],
    ],
    values: [numbers(2, 3), numbers(6, 4)],
    run: (x, y) => einsum('ij,ij->i', x, y),
    reference: (x, y) => [0, 1, 2].map((i) => x[0] * y[2 * i] + x[1] * y[2 * i + 1]),
  });
  const whole = tensor([[1, 2], [3, 4]], { dtype: 'int32' }); // biome-ignore format: a matrix
  const y = einsum('ij,jk->ik', whole, whole);
  assert.is(y.dtype, 'int32');
  assert.equal([...(await y.data())], [7, 10, 15, 22]);
  assert.equal((await einsum('...,...', zeros([2, 0]), zeros([1]))).shape, [2, 0]);
  assert.equal([...(await einsum('ij,jk->ik', zeros([2, 0]), zeros([0, 2])).data())], [0, 0, 0, 0]);
});

test('refuses what does not fit', () => {
  assert.throws(
    () => einsum('ij,jk->ik', zeros([2, 3]), zeros([4, 5])),
    /einsum: 'j' .* is both 3 and 4.*\[2, 3\].*\[4, 5\]/s,
  );
  assert.throws(() => einsum('ii->i', zeros([2, 3])), /'i' in 'ii->i' is both 2 and 3/);
  assert.throws(() => einsum('ij->ii', zeros([2, 2])), /does not fit/);
  assert.throws(() => einsum('i.j', zeros([2, 2])), /does not fit/);
  assert.throws(() => einsum('ij...', zeros([2])), /is for 2 dimensions/);
  assert.throws(() => einsum('ij->ik', zeros([2, 2])), /does not fit/);
  assert.throws(() => einsum('ij', zeros([2])), /is for 2 dimensions/);
});

test.run();
