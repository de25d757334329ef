// An operation with a gradient rule of one's own, several outputs and an argument that is no tensor, checked and trained with.
import assert from 'node:assert/strict';
import type { FunctionContext, Tensor } from 'dawnfield';
import { compile, customFunction, F, gradcheck, init, jvp, manualSeed, nn, optim, randn, shutdown } from 'dawnfield';

/** x in polar coordinates: radius and angle, both scaled. */
const polar = customFunction({
  name: 'polar',
  forward(ctx: FunctionContext<{ scale: number; radius: Tensor }>, x: Tensor, y: Tensor, scale: number) {
    ctx.save(x, y);
    ctx.scale = scale;
    ctx.radius = F.hypot(x, y);
    return [ctx.radius.mul(scale), F.atan2(y, x).mul(scale)];
  },
  backward(ctx, gRadius, gAngle) {
    const [x, y] = ctx.saved;
    const [r, along, across] = [ctx.radius, gRadius.mul(ctx.scale), gAngle.mul(ctx.scale)];
    const [cos, sin] = [x.div(r), y.div(r)];
    return [
      along.mul(cos).sub(across.mul(sin).div(r)),
      ctx.needsInputGrad[1] ? along.mul(sin).add(across.mul(cos).div(r)) : null,
      null,
    ];
  },
  jvp(ctx, tx, ty) {
    const [x, y] = ctx.saved;
    const r = ctx.radius;
    return [x.mul(tx).add(y.mul(ty)).div(r).mul(ctx.scale), x.mul(ty).sub(y.mul(tx)).div(r.square()).mul(ctx.scale)];
  },
});

await init();
manualSeed(0);
const [x, y] = [randn([4]).abs().add(1), randn([4])];
const inputs = [x.detach().requiresGrad_(), y.detach().requiresGrad_()];
const [p = x, q = y] = inputs;
assert.ok((await gradcheck((a, b) => polar(a, b, 2), [p, q])).error < 2e-3);
const { tangent } = jvp((a) => polar(a, y, 2)[0], [x], [x]);
assert.ok(
  (await tangent
    .sub(x.square().div(F.hypot(x, y)).mul(2))
    .abs()
    .max()
    .item()) < 1e-5,
);

const layer = new nn.Linear(2, 2);
const optimizer = new optim.SGD(layer.parameters(), { lr: 0.05 });
const target = randn([16, 2]);
const batch = randn([16, 2]);
const step = compile(() => {
  const [a, b] = layer.forward(batch).chunk(2, 1);
  assert.ok(a && b);
  const [radius, angle] = polar(a, b, 0.5);
  const loss = radius
    .square()
    .mean()
    .add(
      angle
        .sub(target.narrow(1, 0, 1))
        .square()
        .mean(),
    );
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  return loss;
});
const losses: number[] = [];
for (let i = 0; i < 30; i++) losses.push(await step().item());
const [first = Number.NaN] = losses;
assert.ok((losses.at(-1) ?? Number.NaN) < first, losses.join(' '));
shutdown();
