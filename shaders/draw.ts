/**
 * Random tensors: element 4b + j is made from word j of Philox4x32-10 with the counter (b, draw, 0, 0) and the key (seed, stream), as
 * datasets/random.ts counts, so that the same seed gives the same integers and uniforms on every adapter.
 *
 *   uniform   u = (word >> 8) · 2⁻²⁴ in [0, 1);  low + (high − low) · u
 *   normal    Box–Muller on pairs of words: √(−2 ln u₁) · (cos, sin)(2π u₂) with u₁ in (0, 1]; never infinite
 *   integer   low + ⌊word · (high − low) / 2³²⌋
 *   dropout   x / (1 − p) where u ≥ p, else 0
 */
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { cached, declare, perThread } from './build';
import type { Kernel } from './kernel';
import { philoxWgsl } from './random';

export type Drawing = 'uniform' | 'normal' | 'integer' | 'dropout';

/** Elements that one workgroup draws. */
const DRAW_TILE = 4 * 64;

/** Bindings: x where dropout, y. Uniforms: blocks of four, seed, stream, draw, two parameters. */
export const draw = (kind: Drawing): Kernel =>
  cached(['draw', kind], () => {
    const integer = kind === 'integer';
    const dropout = kind === 'dropout';
    const range = integer ? 'low: u32, width: u32' : 'low: f32, width: f32';
    const fields = `blocks: u32, seed: u32, stream: u32, draw: u32, ${range}`;
    const { head, io } = declare(fields, dropout && 'r x: vec4f', `w y: ${integer ? 'vec4u' : 'vec4f'}`);
    const code = wgsl`
${head}
${philoxWgsl()}
fn uniforms(words: vec4u) -> vec4f { return vec4f(words >> vec4u(8u)) * ${2 ** -24}; }
${perThread('i', 64, 'p.blocks')}
  let words = philox4x32(vec4u(i, p.draw, 0u, 0u), vec2u(p.seed, p.stream));
#if ${kind === 'uniform'}
  y[i] = p.low + p.width * uniforms(words);
#elif ${kind === 'normal'}
  let u = uniforms(words);
  let radius = sqrt(max(vec2f(), -2.0 * log(u.xz + ${2 ** -24})));
  let angle = 6.2831853 * u.yw;
  let pairs = vec4f(radius.x * cos(angle.x), radius.x * sin(angle.x), radius.y * cos(angle.y), radius.y * sin(angle.y));
  y[i] = p.low + p.width * pairs;
#elif ${integer}
  y[i] = p.low + vec4u(mulHigh(words.x, p.width), mulHigh(words.y, p.width), mulHigh(words.z, p.width), mulHigh(words.w, p.width));
#else
  y[i] = select(x[i] * p.width, vec4f(), uniforms(words) < vec4f(p.low));
#endif
}`;
    return { name: `random.${kind}`, code, ...io, grid: { tile: DRAW_TILE } };
  });
