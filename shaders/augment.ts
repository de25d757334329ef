// The batch kernel: uint8 images that lie on the GPU become one normalised float batch, cropped and flipped on the way.
//
//   image   = order[position + b]
//   w       = Philox(key = (seed, stream), counter = (image, epoch, 0, 0))
//   dy, dx  = w0 mod 9, w1 mod 9          a 32 × 32 window of the image padded by 4 pixels of value 0
//   flip    = w2 mod 2                    mirrored left to right after the crop, with probability 1/2
//   cy, cx  = ⌊w3 / 32⌋ mod 32, w3 mod 32         with cutout: the centre of the square that is left out
//   out[b, c, y, x] = (image[c, y + dy − 4, (flip ? 31 − x : x) + dx − 4] / 255 − mean[c]) / std[c]
//
// This is torchvision's RandomCrop(32, padding=4), RandomHorizontalFlip, ToTensor, Normalize: the padding is black before
// the normalisation. Cutout (DeVries and Taylor 2017) comes last, on the batch as it is seen: a square of `cutout` pixels a side, part of which may lie
// outside, becomes 0, the mean. The draw belongs to (seed, epoch, image), so it does not depend on the batch size.
// datasets/augment.ts is the same on the CPU. With RandAugment another kernel does it: rand-augment.ts.

import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare } from './build';
import type { Kernel, Workgroups } from './kernel';
import { philoxWgsl } from './random';

export interface AugmentOptions {
  /** Per channel, of pixel values scaled to [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  /** Side of the square that augmentation leaves out; 0, the default, for none. */
  readonly cutout?: number;
}

/** Four pixels of the three channels per thread, 64 threads in a workgroup: four workgroups per image. */
export const augmentWorkgroups = (batch: number): Workgroups => [4, batch, 1];

/** Bindings and uniforms of `augment`, Philox, the constants SCALE and SHIFT of the normalisation, and `byte` of an image, 0 outside. */
export function augmentHead({ mean, std }: AugmentOptions): ReturnType<typeof declare> {
  const vec = (values: readonly number[]): string =>
    `vec3f(${values.map((x) => Math.fround(x).toExponential(9)).join(', ')})`;
  const scale = std.map((s) => 1 / (255 * s));
  const shift = mean.map((m, c) => -m / (std[c] ?? 1));
  // x: what this launch leaves alone in the batch must stay.
  const written = ['x batch: vec4f', 'x batchLabels: i32'];
  const fields = 'seed: u32, stream: u32, epoch: u32, position: u32, size: u32, first: u32, count: u32, augment: u32';
  const { head, io } = declare(fields, 'r images: u32', 'r labels: i32', 'r order: u32', ...written);
  const shared = `${head}
const SCALE = ${vec(scale)};
const SHIFT = ${vec(shift)};
${philoxWgsl()}
fn byte(image: u32, channel: u32, y: i32, x: i32) -> u32 {
  if (min(x, y) < 0 || max(x, y) > 31) { return 0u; }
  let at = (image * 3u + channel) * 1024u + u32(y * 32 + x);
  return extractBits(images[at / 4u], 8u * (at % 4u), 8u);
}`;
  return { head: shared, io };
}

/**
 * Kernel of one launch per image buffer: it writes the images that its buffer holds and leaves the rest of the batch to
 * the launches for the other buffers.
 *
 * Bindings: images (u8 C, H, W, packed in u32), labels (i32, of the whole split), order (u32 image indices of the
 * epoch), batch (f32 [N, 3, 32, 32]), batch labels (i32 [N]).
 * Uniform, eight u32: seed, stream, epoch, position of the batch's first entry in `order`, batch size, first image that
 * this buffer holds, number of images that it holds, augment (0 only normalises).
 */
export function augment(options: AugmentOptions): Kernel {
  const { cutout = 0 } = options;
  const { head, io } = augmentHead(options);
  return {
    name: 'data.augment',
    ...io,
    code: wgsl`
${head}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.y >= p.size) { return; }
  let index = order[p.position + id.y];
  if (index < p.first || index - p.first >= p.count) { return; }
  let image = index - p.first;
  let y = i32(id.x / 8u);
  let x = i32(id.x % 8u) * 4;
  var dy = 0;
  var dx = 0;
  var flip = false;
#if ${cutout > 0}
  var keep = vec4<bool>(true);
#endif
  if (p.augment != 0u) {
    let w = philox4x32(vec4u(index, p.epoch, 0u, 0u), vec2u(p.seed, p.stream));
    dy = i32(w.x % 9u) - 4;
    dx = i32(w.y % 9u) - 4;
    flip = (w.z & 1u) == 1u;
#if ${cutout > 0}
    let top = i32((w.w / 32u) % 32u) - ${cutout >> 1};
    let left = vec4i(i32(w.w % 32u) - ${cutout >> 1});
    let column = vec4i(x, x + 1, x + 2, x + 3);
    keep = (column < left) | (column >= left + ${cutout}) | vec4<bool>(y < top || y >= top + ${cutout});
#endif
  }
  for (var c = 0u; c < 3u; c++) {
    var raw: vec4f;
    for (var i = 0; i < 4; i++) {
      raw[i] = f32(byte(image, c, y + dy, select(x + i, 31 - x - i, flip) + dx));
    }
#if ${cutout > 0}
    batch[(id.y * 3u + c) * 256u + id.x] = select(vec4f(), raw * SCALE[c] + SHIFT[c], keep);
#else
    batch[(id.y * 3u + c) * 256u + id.x] = raw * SCALE[c] + SHIFT[c];
#endif
  }
  if (id.x == 0u) { batchLabels[id.y] = labels[index]; }
}
`,
  };
}
