// Hooks of modules in the backward pass, as PyTorch's full backward hooks.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  checkpoint,
  compile,
  F,
  grad,
  gradcheck,
  InputError,
  jvp,
  nn,
  noGrad,
  type Tensor,
  tensor,
} from '../../src/index.node.js';
import { close, useGpu } from '../util';

useGpu();

/** y = 3a and y = a·b, from two inputs. */
class Two extends nn.Module<[a: Tensor, b: Tensor], [Tensor, Tensor]> {
  forward(a: Tensor, b: Tensor): [Tensor, Tensor] {
    return [a.mul(3), a.mul(b)];
  }
}

class Cube extends nn.Module {
  forward(x: Tensor): Tensor {
    return x.mul(x).mul(x);
  }
}

const leaf = (...values: number[]) => tensor(values, { requiresGrad: true });
const values = async (list: readonly (Tensor | null)[]) =>
  Promise.all(list.map(async (t) => t && [...(await t.data())]));

test('hooks see the gradients of inputs and outputs, once a backward pass, until they are removed', async () => {
  const module = new Two();
  const [a, b] = [leaf(2, 3), leaf(5, 7)];
  const seen: (readonly (Tensor | null)[])[] = [];
  const order: string[] = [];
  const removePre = module.onBackwardPre((m, gradOutputs) => {
    assert.is(m, module);
    order.push('pre');
    seen.push(gradOutputs);
  });
  const remove = module.onBackward((m, gradInputs, gradOutputs) => {
    assert.is(m, module);
    order.push('post');
    seen.push(gradInputs, gradOutputs);
  });
  const [p, q] = module.forward(a, b);
  p.add(q.mul(10)).sum().backward();
  assert.equal(order, ['pre', 'post']);
  const outputs = [
    [1, 1],
    [10, 10],
  ];
  assert.equal(await values(seen[0]), outputs);
  assert.equal(await values(seen[1]), [
    [53, 73],
    [20, 30],
  ]);
  assert.equal(await values(seen[2]), outputs);
  close(await a.grad!.data(), [53, 73]);
  close(await b.grad!.data(), [20, 30]);
  removePre();
  remove();
  module.forward(a, b)[1].sum().backward();
  assert.is(order.length, 2);
});

test('what has no gradient is null: outputs that nobody uses, inputs without one, numbers', async () => {
  class Scaled extends nn.Module<[x: Tensor, by: number, y: Tensor], [Tensor, Tensor]> {
    forward(x: Tensor, by: number, y: Tensor): [Tensor, Tensor] {
      return [x.mul(by).add(y), x.mul(2)];
    }
  }
  const module = new Scaled();
  let seen: (number[] | null)[][] = [];
  module.onBackward((_, gradInputs, gradOutputs) => {
    seen = [gradInputs, gradOutputs].map((list) => list.map((t) => t && [...t.shape]));
  });
  module
    .forward(leaf(1, 2), 3, tensor([1, 1]))[0]
    .sum()
    .backward();
  assert.equal(seen, [
    [[2], null, null],
    [[2], null],
  ]);
});

test('hooks replace gradients: of the outputs before the module, of the inputs behind it, one after the other', async () => {
  const layer = new nn.Linear(2, 1, { bias: false });
  const x = leaf(1, 2);
  layer.onBackwardPre((_, [g]) => [g!.mul(10)]);
  layer.onBackward((_, [g], [out]) => {
    assert.is(out!.size, 1);
    return [g!.mul(0).add(4)];
  });
  layer.onBackward((_, [g]) => [g!.add(1)]);
  layer.forward(x).sum().backward();
  close(await layer.weight.grad!.data(), [10, 20]);
  close(await x.grad!.data(), [5, 5]);
});

test('a module whose inputs have no gradient: hooks see that of the outputs, and cannot replace any', async () => {
  const layer = new nn.Linear(2, 1);
  const seen: unknown[] = [];
  const remove = layer.onBackward((_, gradInputs, [g]) => void seen.push(gradInputs, g?.shape));
  layer
    .forward(tensor([[1, 2]]))
    .sum()
    .backward();
  assert.equal(seen, [[null], [1, 1]]);
  remove();
  layer.onBackward((_, __, [g]) => [g]);
  const y = layer.forward(tensor([[1, 2]])).sum();
  assert.throws(() => y.backward(), /onBackward: the hook has returned a gradient 0, and there is none to replace/);
});

test('nothing is called where nothing is recorded', () => {
  const layer = new nn.Linear(2, 1);
  layer.onBackward(() => assert.unreachable());
  layer.onBackwardPre(() => assert.unreachable());
  noGrad(() => layer.forward(leaf(1, 2)));
  layer.requiresGrad_(false);
  assert.not(layer.forward(tensor([1, 2])).requiresGrad);
});

test('within checkpoint they are called once, with the same gradients', async () => {
  const module = new Cube();
  let calls = 0;
  module.onBackward((_, [g]) => {
    calls++;
    return [g!.mul(2)];
  });
  const x = leaf(1, 2);
  checkpoint((t) => module.forward(t).mul(5), x)
    .sum()
    .backward();
  assert.is(calls, 1);
  close(await x.grad!.data(), [30, 120]);
});

test('second derivatives pass through hooks, and what a hook computes is part of them', async () => {
  const module = new Cube();
  const remove = module.onBackward(() => undefined);
  assert.ok(await gradcheck((x) => module.forward(x), [leaf(0.5, -1)]));
  const x = leaf(2, 3);
  const [g] = grad(module.forward(x).sum(), [x], { createGraph: true });
  close(await grad(g!.sum(), [x])[0]!.data(), [12, 18]);
  remove();
  module.onBackward((_, [first]) => [first!.mul(first!)]); // (3x²)²
  const [h] = grad(module.forward(x).sum(), [x], { createGraph: true });
  // The second pass comes through the module as well, and its gradients, 36x³, are squared again.
  close(await grad(h!.sum(), [x])[0]!.data(), [(36 * 8) ** 2, (36 * 27) ** 2]);
});

test('jvp passes through a module with hooks', async () => {
  const module = new Two();
  module.onBackward(() => undefined);
  const { tangent } = jvp((a, b) => module.forward(a, b)[1], [tensor([2]), tensor([5])], [tensor([1]), tensor([0])]);
  close(await tangent.data(), [5]);
});

test('a compiled step replaces gradients in every call, and is traced again when hooks change', async () => {
  const layer = new nn.Linear(2, 1, { bias: false });
  let traced = 0;
  const remove = layer.onBackward((_, [g]) => {
    traced++;
    return [g!.mul(100)];
  });
  const before = new nn.Linear(2, 2, { bias: false });
  const step = compile((x: Tensor) => {
    before.zeroGrad();
    layer.forward(before.forward(x)).sum().backward();
    return before.weight.grad!.sum();
  });
  const x = tensor([[1, 1]]);
  const plain = async () => {
    const w = await layer.weight.data();
    return 2 * (w[0] + w[1]);
  };
  for (let i = 0; i < 3; i++) close(await step(x).data(), [100 * (await plain())], 1e-4);
  const calls = traced;
  remove();
  for (let i = 0; i < 2; i++) close(await step(x).data(), [await plain()], 1e-4);
  assert.is(traced, calls);
  layer.onForward((_, __, y) => y.mul(7));
  close(await step(x).data(), [7 * (await plain())], 1e-4);
});

test('wrong hooks, results and modules are refused', () => {
  const layer = new nn.Linear(2, 1);
  const run = () => layer.forward(leaf(1, 2)).sum().backward();
  assert.throws(() => layer.onBackward(3 as never), /hook 'backward': 3 is no function/);
  const wrong: [unknown, RegExp][] = [
    [[], /0 gradients in place of 1/],
    [5, /returned 5 in place of 1/],
    [[tensor([1, 2, 3])], /float32 as gradient 0 \(gradient \[2\], returned \[3\]/],
    [[tensor([1, 2], { dtype: 'int32' })], /int32 as gradient 0/],
  ];
  for (const [result, message] of wrong) {
    const remove = layer.onBackward(() => result as never);
    assert.throws(run, (error: Error) => error instanceof InputError && message.test(error.message));
    remove();
  }
  class Named extends nn.Module<[Tensor], { y: Tensor }> {
    forward(x: Tensor) {
      return { y: F.relu(x) };
    }
  }
  const named = new Named();
  named.forward(leaf(1));
  named.onBackward(() => undefined);
  assert.throws(() => named.forward(leaf(1)), /Named: a backward hook sees the gradients of a tensor/);
});

test.run();
