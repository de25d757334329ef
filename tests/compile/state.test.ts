// What a compiled step finds and leaves outside of itself: gradients, frozen parameters, state that is made late, arguments with gradients,
// changed variables. Steps do what they do eagerly, call by call, bit by bit.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  compile,
  device,
  F,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { numbers, useGpu } from '../util';

useGpu();

const input = (i: number) => tensor(Float32Array.from(numbers(12, i)), { shape: [4, 3] });

class Net extends nn.Module {
  readonly first = new nn.Linear(3, 5);
  readonly second = new nn.Linear(5, 2);
  override forward(x: Tensor): Tensor {
    return this.second.forward(this.first.forward(x).tanh());
  }
}

interface Run {
  net: Net;
  optimizer: optim.Optimizer<{ lr: number }>;
  /** Compiles a part of the program, or leaves it as it is. */
  maybe: <A extends unknown[], R>(f: (...args: A) => R) => (...args: A) => R;
}

/** Values that `program` gives after each of some rounds, and all weights, eagerly and compiled. */
async function sameBits(
  what: string,
  program: (run: Run) => (i: number) => Tensor | null,
  make: (net: Net) => optim.Optimizer<{ lr: number }> = (net) =>
    new optim.SGD(net.parameters(), { lr: 0.1, momentum: 0.9 }),
) {
  const results: unknown[] = [];
  for (const compiled of [false, true]) {
    manualSeed(1);
    const net = new Net();
    const maybe: Run['maybe'] = (f) => (compiled ? (compile(f) as typeof f) : f);
    const round = program({ net, optimizer: make(net), maybe });
    const seen: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      const value = round(i);
      seen.push(value && [...(await value.data())]);
      for (const p of net.parameters()) seen.push([...(await p.data())], p.grad && [...(await p.grad.data())]);
    }
    results.push(seen);
  }
  assert.equal(results[1], results[0], what);
}

const loss = (net: Net, i: number | Tensor) =>
  net
    .forward(typeof i === 'number' ? input(i) : i)
    .square()
    .mean();

test('gradients may be cleared first, by the module, or outside of the step', async () => {
  await sameBits('first', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor) => {
      optimizer.zeroGrad();
      const l = loss(net, x);
      l.backward();
      optimizer.step();
      return l;
    });
    return (i) => step(input(i));
  });
  await sameBits('by the module', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor) => {
      const l = loss(net, x);
      l.backward();
      optimizer.step();
      net.zeroGrad();
      return l;
    });
    return (i) => step(input(i));
  });
  await sameBits('outside', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor) => {
      const l = loss(net, x);
      l.backward();
      return l;
    });
    return (i) => {
      const l = step(input(i));
      optimizer.step();
      if (i % 2) optimizer.zeroGrad();
      else for (const p of net.parameters()) p.grad = null;
      return l;
    };
  });
});

test('several backward() add up: in one step, over calls, and with a gradient that eager code has left', async () => {
  await sameBits('in one step', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor, y: Tensor) => {
      loss(net, x).backward();
      const l = loss(net, y);
      l.backward();
      optim.clipGradNorm(net.parameters(), 0.5);
      optimizer.step();
      optimizer.zeroGrad();
      return l;
    });
    return (i) => step(input(i), input(i + 1));
  });
  await sameBits('over calls', ({ net, optimizer, maybe }) => {
    const part = maybe((x: Tensor) => {
      const l = loss(net, x);
      l.backward();
      return l;
    });
    return (i) => {
      for (let k = 0; k < 3; k++) part(input(10 * i + k));
      if (i === 4) loss(net, 99).backward();
      const l = part(input(10 * i + 3));
      optimizer.step();
      optimizer.zeroGrad();
      return l;
    };
  });
});

test('accumulating over calls needs a plan that begins and one that adds, however often it is done', () => {
  const net = new Net();
  const part = compile((x: Tensor) => {
    const l = loss(net, x);
    l.backward();
    return l;
  });
  for (let i = 0; i < 20; i++) {
    for (let k = 0; k < 3; k++) part(input(k));
    net.zeroGrad();
  }
  assert.is(part.plans.length, 3, 'one more adds to what the first call, an eager one, has left');
});

test('a gradient that the step changes by hand is changed in every call', () =>
  sameBits('scaled', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor) => {
      const l = loss(net, x);
      l.backward();
      for (const p of net.parameters()) p.grad = p.grad!.mul(0.5);
      optimizer.step();
      optimizer.zeroGrad();
      return l;
    });
    return (i) => step(input(i));
  }));

test('freezing and thawing after the trace; state that a parameter gets late', async () => {
  const freezing = ({ net, optimizer, maybe }: Run) => {
    for (const p of net.first.parameters()) p.requiresGrad = false;
    const step = maybe((x: Tensor) => {
      const l = loss(net, x);
      l.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return l;
    });
    return (i: number) => {
      for (const p of net.first.parameters()) p.requiresGrad = i >= 3;
      net.second.bias!.requiresGrad = i < 5;
      return step(input(i));
    };
  };
  await sameBits('momentum', freezing);
  await sameBits('Adam', freezing, (net) => new optim.Adam(net.parameters(), { lr: 0.01 }));
});

test('a step that switches requiresGrad inside', () =>
  sameBits('switches', ({ net, optimizer, maybe }) => {
    const step = maybe((x: Tensor) => {
      for (const p of net.first.parameters()) p.requiresGrad = false;
      const l = loss(net, x);
      l.backward();
      optimizer.step();
      optimizer.zeroGrad();
      for (const p of net.first.parameters()) p.requiresGrad = true;
      return l;
    });
    return (i) => {
      const l = step(input(i));
      assert.ok(net.first.weight.requiresGrad);
      return l;
    };
  }));

test('state that a module makes late is made once', async () => {
  class Late extends nn.Module<[x: Tensor, late: boolean]> {
    mean: nn.State | null = null;
    override forward(x: Tensor, late: boolean): Tensor {
      if (!late) return x.mul(1);
      this.mean ??= new nn.State(zeros([3]));
      noGrad(() => this.mean!.assign_(this.mean!.mul(0.5).add(x.mean(0))));
      return x.sub(this.mean);
    }
  }
  const runs = [false, true].map((compiled) => {
    const net = new Late();
    const body = (x: Tensor, late: boolean) => net.forward(x, late);
    return compiled ? compile(body) : body;
  });
  for (let i = 0; i < 7; i++) {
    const [a, b] = await Promise.all(runs.map(async (step) => [...(await step(input(i), i > 1).data())]));
    assert.equal(b, a, `call ${i}`);
  }
});

test('an argument with a gradient gets it; one with a history is refused', async () => {
  const w = tensor([1, 2, 3]);
  for (const compiled of [false, true]) {
    const body = (x: Tensor) => {
      const l = x.mul(x).mul(w).sum();
      l.backward();
      return l;
    };
    const step = compiled ? compile(body) : body;
    for (let i = 0; i < 4; i++) {
      const x = tensor([1, i, 2], { requiresGrad: true });
      step(x);
      step(x);
      assert.equal([...(await x.grad!.data())], [4, 8 * i, 24], `call ${i}`);
    }
  }
  const step = compile((x: Tensor) => x.sum());
  const x = tensor([1, 2], { requiresGrad: true });
  step(x);
  assert.throws(() => step(x.mul(2)), /compile: an argument was computed from tensors with gradients.*detach\(\)/s);
  assert.is(await step(noGrad(() => x.mul(2))).item(), 6);
});

test('an argument that the step writes into is written in every call', async () => {
  for (const debug of [false, true]) {
    const step = compile((x: Tensor, y: Tensor) => [x.mul_(2).add_(y), x.sum()] as const, { debug });
    const frame = tensor([9, 1, 9, 2, 9, 3]);
    const view = frame.reshape([3, 2]).select(1, 1);
    const whole = tensor([1, 2, 3]);
    for (const x of [whole, whole, view, whole, view]) {
      const now = [...(await x.data())].map((v) => 2 * v + 1);
      const [same, total] = step(x, tensor([1, 1, 1]));
      assert.is(same, x);
      assert.equal([...(await x.data())], now);
      assert.is(
        await total.item(),
        now.reduce((a, b) => a + b),
      );
    }
    assert.equal([...(await frame.data())], [9, 7, 9, 11, 9, 15], 'beside the view nothing is written');
  }
});

test('a written argument keeps the rules of in-place methods', async () => {
  const step = compile((x: Tensor, y: Tensor) => x.add_(y));
  const [x, one] = [zeros([2]), tensor([1, 1])];
  step(x, one);
  step(x, one);
  const w = tensor([3, 4], { requiresGrad: true });
  const loss = w.mul(x).sum();
  step(x, one);
  assert.throws(() => loss.backward(), /'mul' needs for its gradient was overwritten/);
  assert.throws(() => step(x, x), /compile: the step writes into an argument whose memory another argument shares/);
  assert.throws(() => step(ones([1]).expand([2]), one), /compile: elements of the target share memory/);
  const between = w.mul(1);
  assert.throws(() => step(between, one), /compile: .* computed from tensors with gradients/);
  noGrad(() => step(between, one));
  assert.equal([...(await between.data())], [4, 5], 'as in PyTorch');
  assert.equal([...(await x.data())], [3, 3]);
});

test('an argument that the step also takes from outside is refused where either is written', async () => {
  const w = tensor([1, 2]);
  let calls = 0;
  const count = () =>
    device().effect(() => {
      calls++;
      return () => void calls--;
    });
  const steps: ((x: Tensor) => Tensor)[] = [
    (x) => (count(), w.add_(1), x.mul(2)),
    (x) => (count(), x.add_(1), w.mul(2)),
  ];
  for (const body of steps) {
    const step = compile(body);
    w.assign_(tensor([1, 2]));
    assert.equal([...(await step(w).data())], [4, 6], 'not compiled yet');
    const before = calls;
    for (const x of [w, w, w.narrow(0, 0, 2)]) {
      assert.throws(
        () => step(x),
        /compile: the step takes an argument also from outside, and writes into one of the two/,
      );
      assert.equal([...(await w.data())], [2, 3], 'nothing has run');
    }
    assert.is(calls, before, 'what the host had counted while it was traced');
    for (const x of [10, 20]) assert.is((await step(tensor([x, x])).data()).length, 2, 'other arguments');
    assert.throws(() => step(w), /also from outside/);
  }
  const reading = compile((x: Tensor) => x.add(w));
  w.assign_(tensor([1, 2]));
  for (let i = 0; i < 3; i++) assert.equal([...(await reading(w).data())], [2, 4], 'both are read alone');
});

test('empty tensors: arguments, results, constants, gradients', async () => {
  const weight = new nn.Parameter(zeros([0, 3]));
  const step = compile((x: Tensor) => {
    const none = x.narrow(0, 0, 0);
    const l = F.concat([none, x, weight]).sum().add(none.sum());
    l.backward();
    weight.grad = null;
    return { l, none, double: none.mul(2), made: zeros([0]) };
  });
  for (let i = 0; i < 4; i++) {
    const { l, none, double, made } = step(tensor([[1, 2, 3 + i]]));
    assert.is(await l.item(), 6 + i);
    assert.equal([...(await none.data()), ...(await double.data()), ...(await made.data())], []);
    assert.equal([...(await F.concat([made, double.flatten(), tensor([7])]).data())], [7]);
    assert.is((await step(zeros([0, 3])).l.data())[0], 0);
  }
});

test('debug: a variable that has changed since the trace is found, as number, shape, tensor and host data', () => {
  let factor = 2;
  let other = tensor([1, 2, 3]);
  const data = [1, 2, 3];
  const step = compile((x: Tensor) => x.mul(factor).add(other).add(tensor(data)), { debug: true });
  const x = tensor([1, 1, 1]);
  for (let i = 0; i < 4; i++) step(x);
  const fails = () => assert.throws(() => step(x), /compile: the step does something else.*must be arguments/s);
  factor = 3;
  fails();
  factor = 2;
  step(x);
  other = tensor([1, 2, 3]);
  fails();
});

test('debug: a training step that is as it should be', () =>
  sameBits(
    'debug',
    ({ net, optimizer, maybe }) => {
      const body = (x: Tensor) => {
        const l = loss(net, F.dropout(x, { p: 0.5 }));
        l.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return l;
      };
      const step = maybe(body) === body ? body : compile(body, { debug: true });
      return (i) => step(input(i));
    },
    (net) => new optim.Adam(net.parameters(), { lr: 0.01 }),
  ));

test('an error in a step spoils nothing after it', async () => {
  const net = new Net();
  const optimizer = new optim.SGD(net.parameters(), { lr: 0.1 });
  let bad = false;
  const step = compile((x: Tensor) => {
    const l = loss(net, x);
    l.backward();
    if (bad) throw new Error('mine');
    optimizer.step();
    optimizer.zeroGrad();
    return l;
  });
  const x = input(0);
  step(x);
  bad = true;
  assert.throws(() => step(x), /mine/);
  assert.ok(net.parameters().every((p) => p.grad === null));
  loss(net, 1).backward();
  assert.ok(Number.isFinite(await net.first.weight.grad!.sum().item()));
  optimizer.zeroGrad();
  bad = false;
  const first = await step(x).item();
  assert.ok((await step(x).item()) < first);
  await device().sync();
});

test('one parameter is written to another that lies in the same buffer', async () => {
  const net = new Net();
  const twin = new Net();
  new optim.SGD([...net.parameters(), ...twin.parameters()], { lr: 0.1 });
  noGrad(() => {
    net.parameters().forEach((p, i) => twin.parameters()[i].assign_(p));
  });
  assert.equal(await twin.first.weight.data(), await net.first.weight.data());
});

test('a result whose history stayed in the step is refused by backward(), not treated as a constant', async () => {
  const body = new nn.Linear(3, 3);
  const head = new nn.Linear(3, 1);
  const forward = compile((x: Tensor) => body.forward(x));
  const x = randn([2, 3]);
  for (let i = 0; i < 2; i++) {
    const features = forward(x);
    assert.ok(features.requiresGrad);
    const before = device().stats().dispatches;
    const l = head.forward(features).sum();
    const launched = device().stats().dispatches - before;
    assert.throws(
      () => l.backward(),
      /backward: no gradient passes 'a compiled step'.*call backward\(\) inside it, or take result\.detach\(\)/,
    );
    assert.is(device().stats().dispatches - before, launched, 'nothing ran');
    assert.is(head.weight.grad, null);
    head.forward(features.detach()).sum().backward();
    assert.ok(head.weight.grad);
    head.zeroGrad();
    assert.not(noGrad(() => forward(x)).requiresGrad);
  }
  const constant = compile((x: Tensor) => noGrad(() => body.forward(x)));
  head.forward(constant(x)).sum().backward();
  assert.ok(head.weight.grad);
});

test.run();
