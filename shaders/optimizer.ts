// Optimizer updates in place, one thread per number.
//
// SGD as in PyTorch:  d = g + weightDecay·w;  b = d at the first step, momentum·b + (1 − dampening)·d later;
//                     w ← w − lr·(nesterov ? d + momentum·b : b)
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import type { Kernel } from './kernel';

const WORKGROUP = 64;
/** Numbers that one workgroup updates. */
export const UPDATE_TILE = WORKGROUP;

const memo = new Map<string, Kernel>();

/** Bindings: w (x), g (r), and with momentum b (x). Constants: n, first (1 at the first step), lr, weightDecay, momentum, dampening. */
export function sgdKernel(momentum: boolean, nesterov: boolean): Kernel {
  const name = `sgd${momentum ? '.momentum' : ''}${nesterov ? '.nesterov' : ''}`;
  let kernel = memo.get(name);
  if (kernel) return kernel;
  const code = wgsl`
struct Params { n: u32, first: u32, lr: f32, weightDecay: f32, momentum: f32, dampening: f32 }
@group(0) @binding(0) var<storage, read_write> w: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
#if ${momentum}
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
#endif
@group(1) @binding(0) var<uniform> p: Params;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let i = (group.y * groups.x + group.x) * ${WORKGROUP}u + l;
  if (i >= p.n) { return; }
  var d = g[i] + p.weightDecay * w[i];
#if ${momentum}
  let v = select(p.momentum * b[i] + (1.0 - p.dampening) * d, d, p.first != 0u);
  b[i] = v;
#if ${nesterov}
  d = d + p.momentum * v;
#else
  d = v;
#endif
#endif
  w[i] = w[i] - p.lr * d;
}`;
  kernel = { name, code, access: momentum ? 'xrx' : 'xr', uniforms: 32 };
  memo.set(name, kernel);
  return kernel;
}
