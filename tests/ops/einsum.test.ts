// einsum against nested loops over all letters.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { einsum } from '../../src/ops/einsum';
import { zeros } from '../../src/tensor/create';
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

test('refuses what does not fit', () => {
  assert.throws(
    () => einsum('ij,jk->ik', zeros([2, 3]), zeros([4, 5])),
    /einsum: 'j' .* is both 3 and 4.*\[2, 3\].*\[4, 5\]/s,
  );
  assert.throws(() => einsum('ii->i', zeros([2, 2])), /does not fit/);
  assert.throws(() => einsum('ij->ik', zeros([2, 2])), /does not fit/);
  assert.throws(() => einsum('ij', zeros([2])), /is for 2 dimensions/);
});

test.run();
