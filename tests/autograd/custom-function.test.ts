// customFunction: rules of the user's own on the tape. Values, gradients and tangents are compared with those of the operations that a function
// is made of, in every mode.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arange,
  checkpoint,
  compile,
  customFunction,
  detectAnomaly,
  F,
  type FunctionContext,
  grad,
  gradcheck,
  jvp,
  noGrad,
  Tensor,
  tensor,
  zeros,
} from '../../src/index.node.js';
import { close, numbers, useGpu } from '../util';

useGpu();

const leaf = (seed: number, shape = [2, 3]) =>
  tensor(
    Float32Array.from(
      numbers(
        shape.reduce((a, b) => a * b),
        seed,
      ),
    ),
    { shape, requiresGrad: true },
  );
const data = async (x: Tensor | null | undefined) => Array.from(await x!.data());

/** slope·x below 0. */
const leaky = customFunction({
  name: 'leaky',
  forward(ctx: FunctionContext<{ slope: number }>, x: Tensor, slope: number) {
    ctx.save(x);
    ctx.slope = slope;
    return F.where(x.gt(0), x, x.mul(slope));
  },
  backward(ctx, g) {
    const [x] = ctx.saved;
    return [F.where(x.gt(0), g, g.mul(ctx.slope)), null];
  },
});

/** sin and cos of a + b, and the sign of a + b, which has no gradient. */
const circle = customFunction({
  name: 'circle',
  forward(ctx: FunctionContext<{ angle: Tensor }>, a: Tensor, b: Tensor) {
    ctx.angle = a.add(b);
    const sign = ctx.angle.sign();
    ctx.markNonDifferentiable(sign);
    return [ctx.angle.sin(), sign, ctx.angle.cos()];
  },
  backward(ctx, gSin, gSign, gCos) {
    assert.equal(gSign.shape, ctx.angle.shape);
    const g = gSin.mul(ctx.angle.cos()).sub(gCos.mul(ctx.angle.sin()));
    return [ctx.needsInputGrad[0] ? g : null, ctx.needsInputGrad[1] ? g : null];
  },
  jvp(ctx, ta, tb) {
    const t = ta.add(tb);
    return [t.mul(ctx.angle.cos()), null, t.neg().mul(ctx.angle.sin())];
  },
});

test('one output, an argument that is no tensor, a field of its own', async () => {
  const [x, z] = [leaf(1), leaf(1)];
  const y = leaky(x, 0.1);
  assert.ok(y.requiresGrad && !y.isLeaf);
  y.square().sum().backward();
  F.leakyRelu(z, 0.1).square().sum().backward();
  assert.equal(await data(x.grad), await data(z.grad));
});

test('several outputs: all used, some used, used twice, shared inputs', async () => {
  const cases: ((sin: Tensor, cos: Tensor) => Tensor)[] = [
    (sin, cos) => sin.mul(cos).sum(),
    (sin) => sin.sum(),
    (_, cos) => cos.mul(cos).add(cos.mul(3)).sum(),
  ];
  for (const use of cases) {
    const [a, b, c, d] = [leaf(1), leaf(2), leaf(1), leaf(2)];
    const [sin, sign, cos] = circle(a, b);
    assert.equal(
      [sin, sign, cos].map((y) => y.requiresGrad),
      [true, false, true],
    );
    use(sin, cos).backward();
    use(c.add(d).sin(), c.add(d).cos()).backward();
    close(await data(a.grad), await data(c.grad), 1e-6);
    assert.equal(await data(a.grad), await data(b.grad));
  }
  const [x, z] = [leaf(3), leaf(3)];
  const [sin, , cos] = circle(x, x);
  sin.mul(cos).sum().backward();
  z.add(z).sin().mul(z.add(z).cos()).sum().backward();
  close(await data(x.grad), await data(z.grad), 1e-6);
});

test('each output has its hooks, its retained gradient, its graph', async () => {
  const a = leaf(1);
  const [sin, , cos] = circle(a, zeros([2, 3]));
  sin.registerHook((g) => g.mul(2));
  cos.retainGrad();
  sin.add(cos.mul(3)).sum().backward({ retainGraph: true });
  assert.equal(await data(cos.grad), new Array(6).fill(3));
  const angle = await data(a);
  close(
    await data(a.grad),
    angle.map((v) => 2 * Math.cos(v) - 3 * Math.sin(v)),
    1e-5,
  );
  const [g] = grad(sin, [a], { gradient: zeros([2, 3]).add(1) });
  close(
    await data(g),
    angle.map((v) => 2 * Math.cos(v)),
    1e-5,
  );
  assert.throws(() => cos.sum().backward(), /the graph of 'circle' was used before/);
});

test('gradients of unused outputs are null where that is asked for', () => {
  const seen: (boolean | null)[] = [];
  const split = customFunction({
    name: 'split',
    materializeGrads: false,
    forward: (_, x: Tensor) => [x.mul(1), x.mul(2)],
    backward(_, g, h) {
      seen.push(g && true, h && true);
      return g ?? h;
    },
  });
  split(leaf(1))[1].sum().backward();
  assert.equal(seen, [null, true]);
});

test('an input that is returned, or returned twice, becomes an output of its own', async () => {
  const twice = customFunction({
    name: 'twice',
    forward: (_, x: Tensor) => [x, x],
    backward: (_, g, h) => g.add(h),
  });
  const x = leaf(1);
  const [y, z] = twice(x);
  assert.ok(x.isLeaf && y !== x && z !== y && !y.isLeaf);
  y.add(z.mul(2)).sum().backward();
  assert.equal(await data(x.grad), new Array(6).fill(3));
});

test('modes: eager, compiled, checkpointed, inside noGrad, under detectAnomaly', async () => {
  const [a, b] = [leaf(1), leaf(2)];
  const body = (p: Tensor, q: Tensor): Tensor => {
    const [sin, , cos] = circle(leaky(p, 0.3), q);
    return sin.mul(cos).sum();
  };
  const gradients = async (run: () => unknown) => {
    a.grad = b.grad = null;
    await run();
    return [...(await data(a.grad)), ...(await data(b.grad))];
  };
  const eager = await gradients(() => body(a, b).backward());
  assert.equal(await gradients(() => checkpoint(body, a, b).backward()), eager);
  assert.equal(await gradients(() => detectAnomaly(() => body(a, b).backward())), eager);
  const step = compile((scale: Tensor) => {
    a.grad = b.grad = null;
    const loss = body(a, b).mul(scale);
    loss.backward();
    return loss;
  });
  const scale = tensor(1);
  const losses = [];
  for (let i = 0; i < 4; i++) losses.push(await step(scale).item());
  assert.is(new Set(losses).size, 1);
  assert.is(step.plans.length, 1);
  assert.equal(await gradients(() => void step(scale)), eager);
  const none = noGrad(() => circle(a, b));
  assert.ok(none.every((y) => !y.requiresGrad && y.isLeaf));
  const thrown = await detectAnomaly(() => circle(a, b.div(0))[0].sum().backward()).then(() => 'nothing', String);
  assert.match(thrown, /the result of 'div'/);
});

test('jvp pushes through the rule, or through that of the gradient; it names what has neither', async () => {
  const [a, b, ta, tb] = [1, 2, 3, 4].map((seed) => leaf(seed).detach());
  const own = jvp((x, y) => circle(x, y).reduce((p, q) => p.mul(q)), [a, b], [ta, tb]);
  const built = jvp((x, y) => x.add(y).sin().mul(x.add(y).sign()).mul(x.add(y).cos()), [a, b], [ta, tb]);
  close(await data(own.value), await data(built.value), 1e-6);
  close(await data(own.tangent), await data(built.tangent), 1e-6);
  const constant = jvp((x) => circle(x, b)[2], [a], [ta]);
  close(await data(constant.tangent), await data(jvp((x) => x.add(b).cos(), [a], [ta]).tangent), 1e-6);
  // Without a jvp the gradient rule is transposed.
  const plain = jvp((x) => x.mul(x.gt(0)).add(x.mul(x.le(0)).mul(0.1)), [a], [ta]);
  close(await data(jvp((x) => leaky(x, 0.1), [a], [ta]).tangent), await data(plain.tangent), 1e-6);
  const pair = customFunction({
    name: 'pair',
    forward: (_, x: Tensor): [Tensor, Tensor] => [x.mul(2), x.mul(3)],
    backward: (_, g, h) => g.mul(2).add(h.mul(3)),
  });
  const both = jvp((x) => pair(x).reduce((p, q) => p.mul(q)), [a], [ta]);
  close(await data(both.tangent), await data(jvp((x) => x.square().mul(6), [a], [ta]).tangent), 1e-6);
  const closed = customFunction({
    name: 'closed',
    forward: (ctx, x: Tensor): [Tensor, Tensor] => {
      const inner = x.exp(); // a result on the way, whose history is not recorded
      ctx.save(inner);
      return [inner.mul(2), inner.mul(3)];
    },
    backward: ({ saved: [inner] }, g, h) => inner.mul(g.mul(2).add(h.mul(3))),
  });
  assert.throws(() => jvp((x) => closed(x)[0], [a], [ta]), /closed/);
});

test('gradcheck: several inputs and outputs, rules of both modes, and where they are wrong', async () => {
  const inputs = [leaf(1), leaf(2)];
  const f = (a: Tensor, b: Tensor) => circle(a, b).filter((_, k) => k !== 1);
  assert.ok((await gradcheck(f, inputs)).error < 1e-3);
  const off = (factor: number, tangent: number) =>
    customFunction({
      name: 'off',
      forward: (_, a: Tensor, b: Tensor) => a.add(b.mul(2)),
      backward: (_, g) => [g, g.mul(tensor([2, 2, factor]))],
      jvp: (_, ta, tb) => ta.add(tb.mul(tensor([2, tangent, 2]))),
    });
  const linear = { kind: 'linear' } as const;
  assert.ok((await gradcheck(off(2, 2), inputs, linear)).error < 1e-3);
  const message = async (factor: number, tangent: number) =>
    gradcheck(off(factor, tangent), inputs, linear).then(String, String);
  assert.match(
    await message(2.2, 2),
    /input 1 \[2, 3\], element [25]\) is .* by backward\(\) and .* by finite differences/,
  );
  assert.match(await message(2, 2.2), /input 1 \[2, 3\], element [14]\) is .* by jvp\(\) and/);
  assert.match(await message(Number.NaN, 2), /element [25]\) is NaN by backward/);
  assert.ok((await gradcheck(off(2.2, 2), inputs, { ...linear, atol: 1 })).error > 0.05);
});

test('what is neither returned nor saved is released; what is saved goes with the graph', () => {
  const inner: Tensor[] = [];
  const f = customFunction({
    name: 'f',
    forward(ctx, x: Tensor) {
      const [lost, saved] = [x.mul(2), x.mul(3)];
      inner.push(lost, saved);
      ctx.save(saved);
      return lost.add(saved);
    },
    backward: (ctx, g) => g.mul(ctx.saved[0]),
  });
  const y = f(leaf(1)).sum();
  assert.equal(
    inner.map((t) => t.memory.live),
    [false, true],
  );
  y.backward();
  assert.equal(
    inner.map((t) => t.memory.live),
    [false, false],
  );
});

test('a saved tensor that was overwritten is noticed, and so is an input that forward writes', () => {
  const x = leaf(1);
  const w = zeros([2, 3]);
  const product = customFunction({
    name: 'product',
    forward(ctx, a: Tensor, b: Tensor) {
      ctx.save(b);
      return a.mul(b);
    },
    backward: (ctx, g) => [g.mul(ctx.saved[0]), null],
  });
  const y = product(x, w).sum();
  w.add_(1);
  assert.throws(() => y.backward(), /a tensor that 'product' needs for its gradient was overwritten in place/);
  const writes = customFunction({ name: 'writes', forward: (_, a: Tensor) => a.zero_(), backward: (_, g) => g });
  assert.throws(() => writes(leaf(1)), /writes: forward has overwritten an input that requires a gradient/);
});

test('wrong answers of a rule are refused by name', () => {
  const x = leaf(1);
  const refuse = (answer: unknown, message: RegExp, tangent = false) => {
    const f = customFunction({
      name: 'wrong',
      forward: (_, a: Tensor, factor: number) => a.mul(factor),
      backward: (_) => answer as [Tensor, null],
      jvp: (_) => answer as Tensor,
    });
    assert.throws(tangent ? () => jvp((a) => f(a, 2), [x], [x]) : () => f(x, 2).sum().backward(), message);
  };
  refuse([x], /wrong: backward has returned 1 gradients for 2 arguments/);
  refuse(x, /wrong: backward has returned 1 gradients for 2 arguments/);
  refuse([x, x], /wrong: the gradient that backward has returned for argument 1 belongs to no tensor/);
  refuse([zeros([3]), null], /for argument 0 has another shape \(gradient \[3\], argument \[2, 3\]\)/);
  refuse([arange(6).view(2, 3), null], /for argument 0 is int32/);
  refuse([1, null], /for argument 0 is no tensor: 1/);
  refuse([x, x], /wrong: jvp has returned 2 tangents for 1 outputs/, true);
  refuse(zeros([3]), /the tangent that jvp has returned for output 0 has another shape/, true);
});

test('wrong functions are refused', () => {
  const x = leaf(1);
  const of = (forward: (ctx: object, a: Tensor) => unknown) =>
    customFunction({
      name: 'wrong',
      forward: forward as (ctx: object, a: Tensor) => Tensor,
      backward: () => null,
    }) as (...inputs: never[]) => Tensor as (...inputs: unknown[]) => Tensor;
  assert.throws(() => of(() => 3)(x), /wrong: forward has returned no tensor as output 0: 3/);
  assert.throws(() => of(async (_, a) => a)(x), /wrong: the body has returned a promise/);
  assert.throws(() => of((_, a) => a)([x]), /wrong: a tensor inside of argument 0 requires a gradient/);
  assert.throws(() => customFunction({ name: 'half' } as never), /customFunction: forward is missing/);
  assert.throws(() => customFunction({ nam: 'x' } as never), /there is no option 'nam'/);
  assert.ok(x instanceof Tensor);
});

test.run();
