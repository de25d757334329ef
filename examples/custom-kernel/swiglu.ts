// SwiGLU (Shazeer 2020, GLU Variants Improve Transformer), silu(a) · b: one launch forward, one for both gradients.

import { customFunction, defineKernel, type Tensor } from '../../src/index.node.js';

const forward = defineKernel({
  name: 'swiglu',
  bindings: { a: 'read float32', b: 'read float32', y: 'write float32' },
  code: 'y[i] = a[i] / (1.0 + exp(-a[i])) * b[i];',
});

/** With σ = sigmoid(a): ∂/∂a = g · b · σ (1 + a (1 − σ)) and ∂/∂b = g · a · σ. */
const backward = defineKernel({
  name: 'swiglu.backward',
  bindings: {
    ...{ a: 'read float32', b: 'read float32', g: 'read float32' },
    ...{ da: 'write float32', db: 'write float32' },
  },
  code: `
    let s = 1.0 / (1.0 + exp(-a[i]));
    da[i] = g[i] * b[i] * s * (1.0 + a[i] * (1.0 - s));
    db[i] = g[i] * a[i] * s;`,
});

/** silu(a) · b for two tensors of one shape. */
export const swiglu = customFunction({
  name: 'swiglu',
  forward(ctx, a: Tensor, b: Tensor) {
    if (`${a.shape}` !== `${b.shape}`) throw new Error(`swiglu: [${a.shape}] and [${b.shape}] must be one shape`);
    ctx.save(a, b);
    return forward({ a, b, y: a.shape }).y;
  },
  backward(ctx, g) {
    const [a, b] = ctx.saved;
    const { da, db } = backward({ a, b, g, da: a.shape, db: b.shape });
    return [da, db];
  },
  /** The Jacobian is diagonal in each argument, so the kernel of the gradient pushes tangents forward as well. */
  jvp(ctx, ta, tb) {
    const [a, b] = ctx.saved;
    const along = (g: Tensor) => backward({ a, b, g, da: a.shape, db: b.shape });
    return along(ta).da.add(along(tb).db);
  },
});
