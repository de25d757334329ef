// nn.Sequential says which module gives no tensor to the next one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { InputError, nn, type Tensor, tensor, zeros } from '../../src/index';
import { useGpu } from '../util';

useGpu();

test('a module whose output the next one cannot take is named, with what it gave', () => {
  class Forgetful extends nn.Module<Tensor, Tensor> {
    override forward(): Tensor {
      return undefined as never;
    }
  }
  const pool = new nn.MaxPool2d({ kernel: 2, returnIndices: true }) as unknown as nn.Module;
  const cases: [nn.Sequential, RegExp][] = [
    [
      new nn.Sequential(new nn.ReLU(), pool, new nn.Flatten()),
      /item 1, MaxPool2d, has given { values, indices } and no/,
    ],
    [new nn.Sequential(new Forgetful(), new nn.ReLU()), /item 0, Forgetful, has given undefined and no tensor/],
  ];
  for (const [model, told] of cases)
    assert.throws(
      () => model.forward(zeros([1, 1, 4, 4])),
      (e: Error) => e instanceof InputError && e.message.startsWith('Sequential: ') && told.test(e.message),
    );
});

test('the last module may give anything, as in PyTorch', async () => {
  const pool = new nn.MaxPool2d({ kernel: 2, returnIndices: true }) as unknown as nn.Module;
  const y = new nn.Sequential(new nn.ReLU(), pool).forward(
    tensor([
      [
        [
          [1, 2],
          [3, 4],
        ],
      ],
    ]),
  ) as unknown as { indices: Tensor };
  assert.equal([...(await y.indices.data())], [3]);
});

test.run();
