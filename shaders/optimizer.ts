// Optimizer updates in place, four numbers to a thread: one kernel over the weight w, its gradient g and the rule's state.
//
// A rule is WGSL statements on vec4f (src/optim/rule.ts). They read `d`, the gradient with weight decay, and scalars; they change `x`, the weight,
// and the state, each by its name. They stand in a block of their own, so that what they declare hides nothing of this kernel.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { arithmetic } from './arithmetic';
import { cached, declare } from './build';
import type { Kernel } from './kernel';

const WORKGROUP = 64;
/** Numbers that one workgroup updates. */
const UPDATE_TILE = 4 * WORKGROUP;

/** Names that a rule cannot give to its scalars and state. */
export const TAKEN: readonly string[] = ['x', 'd', 'w', 'g', 'n', 'p', 'i', 'l', 'group', 'groups', 'main'];

export interface UpdateOptions {
  name: string;
  /** f32 numbers, in the order of the uniform struct after n. */
  scalars: readonly string[];
  /** Tensors of the parameter's shape, in the order of their bindings. */
  state: readonly string[];
  /** Weight decay joins the gradient, or the weight shrinks by lr·weightDecay first. */
  decay: 'none' | 'gradient' | 'weight';
  /** Goes up the gradient instead of down. */
  maximize?: boolean;
  code: string;
  /** One more binding: a number that is not 0 where nothing may change. */
  guarded?: boolean;
}

/** Bindings: w (x), g (r), the state (x), and where it is guarded that number (r, u32). Constants: n, then the scalars. */
export const updateKernel = (o: UpdateOptions): Kernel => cached(['update', o], () => build(o));

function build({ name, scalars, state, decay, maximize, code, guarded = false }: UpdateOptions): Kernel {
  const { head, io } = declare(
    ['n: u32', ...scalars.map((scalar) => `${scalar}: f32`)].join(', '),
    ...['x w', 'r g', ...state.map((buffer) => `x ${buffer}_`)].map((buffer) => `${buffer}: vec4f`),
    guarded && 'r skip__: u32',
  );
  const before = wgsl`
${head}
${code.includes('maxOf4(') ? arithmetic.maxOf4 : ''}${code.includes('signOf4(') ? arithmetic.signOf4 : ''}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let i = (group.y * groups.x + group.x) * ${WORKGROUP}u + l;
  if (4u * i >= p.n${guarded ? ' || skip__[0] != 0u' : ''}) { return; }
  ${scalars.map((scalar) => `let ${scalar} = p.${scalar};`).join(' ')}
  var x = w[i]${decay === 'weight' ? ' - lr * weightDecay * w[i]' : ''};
  let d = ${maximize ? '-' : ''}g[i]${decay === 'gradient' ? ' + weightDecay * x' : ''};
  ${state.map((buffer) => `var ${buffer} = ${buffer}_[i];`).join(' ')}
  {
`;
  const after = `
  }
  w[i] = x;
  ${state.map((buffer) => `${buffer}_[i] = ${buffer};`).join(' ')}
}`;
  const from = before.split('\n').length;
  return {
    name,
    code: before + code + after,
    ...io,
    grid: { tile: UPDATE_TILE },
    ...(!guarded && { flat: true as const }),
    userCode: { from, lines: code.split('\n').length },
  };
}
