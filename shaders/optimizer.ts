// Optimizer updates in place, four numbers to a thread. With the weight w, its gradient g and t = 1, 2, …:
//
//   first      d = g + weightDecay·w, or decoupled: d = g and w shrinks by 1 − lr·weightDecay
//   SGD        b = d at the first step, momentum·b + (1 − dampening)·d later;  w ← w − lr·(nesterov ? d + momentum·b : b)
//   Adam       m = β₁m + (1 − β₁)d;  v = β₂v + (1 − β₂)d²;  w ← w − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + eps)
//              (AMSGrad: the largest v so far)
//   Adamax     m as Adam;  u = max(β₂u, |d| + eps);  w ← w − lr · m/(1 − β₁ᵗ) / u
//   Adagrad    a = a + d²;  w ← w − lr · d / (√a + eps)
//   RMSprop    a = αa + (1 − α)d²;  centred: c = αc + (1 − α)d and a − c² in place of a;  q = d / (√a + eps), or d / √(a + eps);
//              w ← w − lr · q, with momentum b = momentum·b + q and w ← w − lr · b
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare } from './build';
import { functionsFor } from './functions';
import type { Kernel } from './kernel';

const WORKGROUP = 64;
/** Numbers that one workgroup updates. */
export const UPDATE_TILE = 4 * WORKGROUP;

/** The scalars of each rule, in the order of the uniform struct after n. Complements 1 − β are rounded once, so they come from the host. */
export const updateScalars = {
  sgd: ['lr', 'weightDecay', 'first', 'momentum', 'dampening'],
  adam: ['lr', 'weightDecay', 'beta1', 'beta2', 'rest1', 'rest2', 'correction1', 'correction2', 'eps'],
  adamax: ['lr', 'weightDecay', 'beta1', 'beta2', 'rest1', 'correction1', 'eps'],
  adagrad: ['lr', 'weightDecay', 'eps'],
  rmsprop: ['lr', 'weightDecay', 'alpha', 'rest', 'momentum', 'eps'],
} as const;

export interface UpdateOptions {
  rule: keyof typeof updateScalars;
  /** Weight decay shrinks the weight instead of joining the gradient. */
  decoupled?: boolean;
  momentum?: boolean;
  nesterov?: boolean;
  amsgrad?: boolean;
  centered?: boolean;
  /** RMSprop: eps is added under the root. */
  epsInside?: boolean;
}

/** The buffers of a rule in the order of their bindings, and the statements that make `step`, what lr is multiplied with. */
function ruleOf(o: UpdateOptions): { buffers: string[]; body: string } {
  switch (o.rule) {
    case 'sgd':
      if (!o.momentum) return { buffers: [], body: 'let step = d;' };
      return {
        buffers: ['b'],
        body: `b[i] = select(p.momentum * b[i] + (1.0 - p.dampening) * d, d, p.first != 0.0);
  let step = ${o.nesterov ? 'd + p.momentum * b[i]' : 'b[i]'};`,
      };
    case 'adam':
      return {
        buffers: o.amsgrad ? ['m', 'v', 'most'] : ['m', 'v'],
        body: `m[i] = p.beta1 * m[i] + p.rest1 * d;
  v[i] = p.beta2 * v[i] + p.rest2 * d * d;
  ${o.amsgrad ? 'most[i] = maxOf4(most[i], v[i]);' : ''}
  let step = m[i] / p.correction1 / (sqrt(${o.amsgrad ? 'most' : 'v'}[i] / p.correction2) + p.eps);`,
      };
    case 'adamax':
      return {
        buffers: ['m', 'u'],
        body: `m[i] = p.beta1 * m[i] + p.rest1 * d;
  u[i] = maxOf4(p.beta2 * u[i], abs(d) + p.eps);
  let step = m[i] / p.correction1 / u[i];`,
      };
    case 'adagrad':
      return { buffers: ['a'], body: 'a[i] += d * d;\n  let step = d / (sqrt(a[i]) + p.eps);' };
    case 'rmsprop':
      return {
        buffers: ['a', ...(o.centered ? ['c'] : []), ...(o.momentum ? ['b'] : [])],
        body: `a[i] = p.alpha * a[i] + p.rest * d * d;
  ${o.centered ? 'c[i] = p.alpha * c[i] + p.rest * d;' : ''}
  let square = ${o.centered ? 'maxOf4(vec4f(), a[i] - c[i] * c[i])' : 'a[i]'};
  let q = d / (${o.epsInside ? 'sqrt(square + p.eps)' : 'sqrt(square) + p.eps'});
  ${o.momentum ? 'b[i] = p.momentum * b[i] + q;' : ''}
  let step = ${o.momentum ? 'b[i]' : 'q'};`,
      };
  }
}

/** Bindings: w (x), g (r), and the buffers of the rule (x). Constants: n, then the rule's `updateScalars`. */
export const updateKernel = (o: UpdateOptions): Kernel => cached(['update', o], () => build(o));

function build(o: UpdateOptions): Kernel {
  const { buffers, body } = ruleOf(o);
  const { head, io } = declare(
    ['n: u32', ...updateScalars[o.rule].map((name) => `${name}: f32`)].join(', '),
    ...['x w', 'r g', ...buffers.map((name) => `x ${name}`)].map((buffer) => `${buffer}: vec4f`),
  );
  const code = wgsl`
${head}
${functionsFor(body)}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let i = (group.y * groups.x + group.x) * ${WORKGROUP}u + l;
  if (4u * i >= p.n) { return; }
#if ${!!o.decoupled}
  let x = w[i] - p.lr * p.weightDecay * w[i];
  let d = g[i];
#else
  let x = w[i];
  let d = g[i] + p.weightDecay * x;
#endif
  ${body}
  w[i] = x - p.lr * step;
}`;
  return { name: o.rule, code, ...io, flat: UPDATE_TILE };
}
