// Numbers that fill tensors of another type, as PyTorch 2.13 converts them: integers lose the fraction, for bool all but 0 is true, and what the type does not
// hold is refused before anything is written.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, InputError, type Tensor, tensor } from '../../src/index';
import { useGpu } from '../util';

useGpu();

type Type = 'int32' | 'bool' | 'float32';
const first = () => tensor(Int32Array.of(0));
const mask = () => tensor([true, false, false]);
const fills: Record<string, (x: Tensor, value: number) => Tensor> = {
  assign_: (x, value) => (x.narrow(0, 0, 1).assign_(value), x),
  indexFill_: (x, value) => x.indexFill_(0, first(), value),
  scatter_: (x, value) => x.scatter_(0, first(), value),
  maskedFill_: (x, value) => x.maskedFill_(mask(), value),
  indexPut_: (x, value) => x.indexPut_([first()], value),
  maskedFill: (x, value) => x.maskedFill(mask(), value),
  indexFill: (x, value) => x.indexFill(0, first(), value),
  scatter: (x, value) => x.scatter(0, first(), value),
  pad: (x, value) => x.narrow(0, 1, 2).pad([1, 0], { value }),
};
const start = (dtype: Type) => tensor([1, 0, 1], { dtype });

test('fractions are cut off for integers, and true for bool', async () => {
  const want: [Type, number, number][] = [
    ['int32', 0.5, 0],
    ['int32', -1.7, -1],
    ['int32', 2 ** 31 - 0.5, 2 ** 31 - 1],
    ['int32', 2 ** 24 + 1, 2 ** 24 + 1],
    ['bool', 0.5, 1],
    ['bool', -3e9, 1],
    ['bool', Number.NaN, 1],
    ['bool', 0, 0],
    ['float32', 0.5, 0.5],
    ['float32', Infinity, Infinity],
    ['float32', Number.NaN, Number.NaN],
  ];
  for (const [name, fill] of Object.entries(fills))
    for (const [dtype, value, filled] of want) {
      const y = fill(start(dtype), value);
      assert.is(y.dtype, dtype, `${name}: ${value} into ${dtype}`);
      assert.equal([...(await y.data())], [filled, 0, 1], `${name}: ${value} into ${dtype}`);
    }
});

test('what a type does not hold is refused by name', async () => {
  const refused: [Type, number][] = [
    ['int32', 3e9],
    ['int32', -(2 ** 31) - 1],
    ['int32', Number.NaN],
    ['int32', Infinity],
    ['float32', 1e40],
  ];
  for (const [name, fill] of Object.entries(fills))
    for (const [dtype, value] of refused) {
      const x = start(dtype);
      const told = new RegExp(`^${name.replace(/^(?!assign)(.*)_$/, '$1')}: .* is no ${dtype}.* Use `);
      assert.throws(
        () => fill(x, value),
        (e: Error) => e instanceof InputError && told.test(e.message),
        `${name}: ${value} into ${dtype}`,
      );
      assert.equal([...(await x.data())], [1, 0, 1]);
    }
});

test('a tensor without dimensions that fills is converted like its number', async () => {
  const half = tensor(0.5);
  assert.equal([...(await start('int32').indexFill(0, first(), half).data())], [0, 0, 1]);
  assert.equal([...(await start('int32').maskedFill(mask(), half).data())], [0, 0, 1]);
});

test('arithmetic in place stays refused where its result is a float', () => {
  const x = start('int32');
  for (const call of [() => x.add_(0.5), () => x.mul_(0.5), () => x.clamp_(0.5, 2), () => x.pow_(0.5)])
    assert.throws(call, /the result is float32, the target int32/);
  assert.is(F.clamp(x, 0.5, 2).dtype, 'float32');
});

test.run();
