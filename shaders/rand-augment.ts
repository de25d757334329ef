// RandAugment (Cubuk et al. 2019) in the batch kernel: after crop and flip, `operations` of torchvision's fourteen one after the other, each drawn for
// the image and the epoch, all with the same magnitude.
//
// An image of 32 × 32 is one workgroup, and lies in its memory as bytes. All arithmetic is of integers, with the magnitudes in fixed point, so that every
// adapter gives the same bytes; datasets/rand-augment.ts has the same on the CPU. Pixels that come from outside are black, and the nearest pixel is taken.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { type AugmentOptions, augmentHead } from './augment';
import { cached } from './build';
import type { Kernel } from './kernel';

/** The operations, in the order of their numbers. */
export const OPERATIONS = [
  ...['identity', 'shearX', 'shearY', 'translateX', 'translateY', 'rotate', 'brightness', 'color', 'contrast'],
  ...['sharpness', 'posterize', 'solarize', 'autocontrast', 'equalize'],
] as const;

/** What the operations do at a magnitude of 0 … 30: torchvision's table for images of 32 × 32, in fixed point. */
export function magnitudes(magnitude: number) {
  const part = magnitude / 30;
  const angle = (Math.PI / 6) * part;
  return {
    /** Pixels sideways a pixel down, times 2¹⁶. */
    shear: Math.round(2 ** 16 * 0.3 * part),
    /** Whole pixels. */
    translate: Math.trunc((150 / 331) * 32 * part),
    /** Cosine and sine of up to 30°, times 2¹⁶. */
    cos: Math.round(2 ** 16 * Math.cos(angle)),
    sin: Math.round(2 ** 16 * Math.sin(angle)),
    /** What a factor of brightness, colour, contrast or sharpness differs from 1, times 2¹⁰. */
    blend: Math.round(2 ** 10 * 0.9 * part),
    /** Low bits that posterize drops. */
    dropped: Math.round(4 * part),
    /** Solarize inverts values of which the double is at least this. */
    threshold: 510 - 17 * magnitude,
  };
}

export interface RandAugmentOptions extends AugmentOptions {
  /** How many operations an image gets, and how strong they are: 0 … 30. */
  readonly randAugment: readonly [operations: number, magnitude: number];
}

const THREADS = 256;

/** As `augment`, bindings and uniforms too. One workgroup an image: [1, N, 1]. */
export const randAugment = (o: RandAugmentOptions): Kernel => cached(['randAugment', o], () => build(o));

function build(o: RandAugmentOptions): Kernel {
  const [operations, magnitude] = o.randAugment;
  const m = magnitudes(magnitude);
  const cutout = o.cutout ?? 0;
  const { head, io } = augmentHead(o);
  return {
    name: 'data.randAugment',
    ...io,
    code: wgsl`
${head}
var<workgroup> image: array<u32, 1024>; // a pixel: red in the lowest byte, then green, then blue
var<workgroup> counts: array<atomic<u32>, 768>; // how often each value is there, by channel
var<workgroup> table: array<u32, 768>; // what becomes of each value
var<workgroup> total: atomic<u32>; // of the grey values
var<workgroup> least: array<atomic<u32>, 3>;
var<workgroup> most: array<atomic<u32>, 3>;

fn channels(pixel: u32) -> vec3i { return vec3i(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u)); }
fn packed(v: vec3i) -> u32 { let u = vec3u(v); return u.x | (u.y << 8u) | (u.z << 16u); }
fn at(x: i32, y: i32) -> u32 {
  if (min(x, y) < 0 || max(x, y) > 31) { return 0u; }
  return image[y * 32 + x];
}
fn grey(v: vec3i) -> i32 { return (19595 * v.x + 38470 * v.y + 7471 * v.z + 32768) >> 16u; }
/** f · v + (1 − f) · other, f in 1024ths. */
fn blend(v: vec3i, other: vec3i, f: i32) -> vec3i { return clamp(f * v + (1024 - f) * other, vec3i(), vec3i(261120)) >> vec3u(10u); }
fn smoothed(x: i32, y: i32, v: vec3i) -> vec3i {
  if (min(x, y) < 1 || max(x, y) > 30) { return v; }
  var sum = 4 * v;
  for (var i = 0; i < 9; i++) { sum += channels(image[(y + i / 3 - 1) * 32 + x + i % 3 - 1]); }
  return (2 * sum + 13) / 26;
}
fn changed(op: u32, s: i32, x: i32, y: i32) -> u32 {
  let pixel = image[y * 32 + x];
  let v = channels(pixel);
  let factor = 1024 + s * ${m.blend};
  switch (op) {
    case 1u { return at(((2 * x + 1) * 65536 + s * ${m.shear} * (2 * y + 1)) >> 17u, y); }
    case 2u { return at(x, ((2 * y + 1) * 65536 + s * ${m.shear} * (2 * x + 1)) >> 17u); }
    case 3u { return at(x - s * ${m.translate}, y); }
    case 4u { return at(x, y - s * ${m.translate}); }
    case 5u {
      let d = vec2i(2 * x - 31, 2 * y - 31);
      let source = vec2i(${m.cos} * d.x + s * ${m.sin} * d.y, ${m.cos} * d.y - s * ${m.sin} * d.x) + 32 * 65536;
      return at(source.x >> 17u, source.y >> 17u);
    }
    case 6u { return packed(blend(v, vec3i(), factor)); }
    case 7u { return packed(blend(v, vec3i(grey(v)), factor)); }
    case 8u {
      let mean = i32(atomicLoad(&total));
      return packed(clamp(factor * 1024 * v + (1024 - factor) * mean, vec3i(), vec3i(267386880)) >> vec3u(20u));
    }
    case 9u { return packed(blend(v, smoothed(x, y, v), factor)); }
    case 10u { return pixel & ${((255 >> m.dropped) << m.dropped) * 0x10101}u; }
    case 11u { return packed(select(v, 255 - v, 2 * v >= vec3i(${m.threshold}))); }
    case 12u {
      let low = vec3i(vec3u(atomicLoad(&least[0]), atomicLoad(&least[1]), atomicLoad(&least[2])));
      let high = vec3i(vec3u(atomicLoad(&most[0]), atomicLoad(&most[1]), atomicLoad(&most[2])));
      return packed(select((v - low) * 255 / max(high - low, vec3i(1)), v, high == low));
    }
    case 13u { return packed(vec3i(vec3u(table[v.x], table[256 + v.y], table[512 + v.z]))); }
    default { return pixel; }
  }
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  if (group.y >= p.size) { return; }
  let index = order[p.position + group.y];
  if (index < p.first || index - p.first >= p.count) { return; }
  let w = philox4x32(vec4u(index, p.epoch, 0u, 0u), vec2u(p.seed, p.stream));
  let crop = select(vec2i(), vec2i(i32(w.y % 9u), i32(w.x % 9u)) - 4, p.augment != 0u);
  let flip = p.augment != 0u && (w.z & 1u) == 1u;
  let y = i32(t / 8u);
  let left = i32(t % 8u) * 4;
  for (var i = left; i < left + 4; i++) {
    let x = select(i, 31 - i, flip) + crop.x;
    let own = index - p.first;
    image[y * 32 + i] = byte(own, 0u, y + crop.y, x) | (byte(own, 1u, y + crop.y, x) << 8u) | (byte(own, 2u, y + crop.y, x) << 16u);
  }
  workgroupBarrier();
  let operations = select(0u, ${operations}u, p.augment != 0u);
  for (var k = 1u; k <= operations; k++) {
    let drawn = philox4x32(vec4u(index, p.epoch, k, 0u), vec2u(p.seed, p.stream));
    let op = drawn.x % ${OPERATIONS.length}u;
    let s = 1 - 2 * i32(drawn.y & 1u);
    if (op == 8u || op == 12u || op == 13u) {
      for (var i = t; i < 768u; i += ${THREADS}u) { atomicStore(&counts[i], 0u); }
      if (t == 0u) { atomicStore(&total, 0u); }
      if (t < 3u) { atomicStore(&least[t], 255u); atomicStore(&most[t], 0u); }
      workgroupBarrier();
      for (var i = left; i < left + 4; i++) {
        let v = channels(image[y * 32 + i]);
        atomicAdd(&total, u32(grey(v)));
        for (var c = 0; c < 3; c++) {
          atomicAdd(&counts[256 * c + v[c]], 1u);
          atomicMin(&least[c], u32(v[c]));
          atomicMax(&most[c], u32(v[c]));
        }
      }
      workgroupBarrier();
      if (op == 13u) {
        // Value t of each channel goes where its share of the pixels below it lies.
        for (var c = 0u; c < 3u; c++) {
          let step = (1024u - atomicLoad(&counts[256u * c + atomicLoad(&most[c])])) / 255u;
          var below = 0u;
          for (var i = 0u; i < t; i++) { below += atomicLoad(&counts[256u * c + i]); }
          table[256u * c + t] = select(min((below + step / 2u) / max(step, 1u), 255u), t, step == 0u);
        }
        workgroupBarrier();
      }
    }
    var next: vec4u;
    for (var i = 0; i < 4; i++) { next[i] = changed(op, s, left + i, y); }
    workgroupBarrier();
    for (var i = 0; i < 4; i++) { image[y * 32 + left + i] = next[i]; }
    workgroupBarrier();
  }
  let top = i32((w.w / 32u) % 32u) - ${cutout >> 1};
  let start = i32(w.w % 32u) - ${cutout >> 1};
  for (var c = 0u; c < 3u; c++) {
    var out: vec4f;
    for (var i = 0; i < 4; i++) {
      let x = left + i;
      let hole = p.augment != 0u && ${cutout > 0} && x >= start && x < start + ${cutout} && y >= top && y < top + ${cutout};
      out[i] = select(f32(extractBits(image[y * 32 + x], 8u * c, 8u)) * SCALE[c] + SHIFT[c], 0.0, hole);
    }
    batch[(group.y * 3u + c) * 256u + t] = out;
  }
  if (t == 0u) { batchLabels[group.y] = labels[index]; }
}
`,
  };
}
