// Containers by name and of parameters: keys, order, training, wrong calls.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nn, optim, type Tensor, tensor, zeros } from '../../src';
import { useGpu } from '../util';

useGpu();

class Net extends nn.Module {
  layers = new nn.ModuleDict({ first: new nn.Linear(2, 3), act: new nn.ReLU() });
  scales = new nn.ParameterList([new nn.Parameter(tensor([1, 2, 3])), new nn.Parameter(tensor([4]))]);
  named = new nn.ParameterDict({ shift: new nn.Parameter(zeros([3])) });

  override forward(x: Tensor): Tensor {
    const y = this.layers.get('act').forward(this.layers.get('first').forward(x));
    return y.mul(this.scales.at(0)).add(this.named.get('shift'));
  }
}

test('keys are those of PyTorch, all parameters are trained', async () => {
  const net = new Net();
  const keys = ['layers.first.weight', 'layers.first.bias', 'scales.0', 'scales.1', 'named.shift'];
  assert.equal(Object.keys(net.stateDict()), keys);
  assert.is(net.parameters().length, 5);
  const before = [...(await net.scales.at(0).data())];
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
  net
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  optimizer.step();
  assert.equal([...(await net.named.get('shift').data())], [Math.fround(-0.1), Math.fround(-0.1), Math.fround(-0.1)]);
  net.loadStateDict({ ...net.stateDict(), 'scales.0': tensor(before) });
  assert.equal([...(await net.scales.at(-2).data())], before);
  net.eval();
  assert.not.ok(net.layers.get('first').training);
  assert.equal(net.layers.keys(), ['first', 'act']);
  assert.equal([...net.layers].length, 2);
  assert.match(String(net), /\(first\): Linear/);
});

test('wrong calls say what there is', () => {
  const net = new Net();
  assert.throws(() => net.layers.get('second' as never), /no module 'second', there are first, act/);
  assert.throws(() => net.layers.set('a.b' as never, new nn.ReLU()), /text without dots/);
  assert.throws(() => net.layers.forward(), /ModuleDict: it has no forward/);
  assert.throws(() => net.named.get('scale'), /no parameter 'scale', there are shift/);
  assert.throws(() => net.scales.push(tensor([1]) as never), /item 2 is no Parameter/);
});

test.run();
