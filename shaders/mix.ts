// Mixed images: each with the one before it in the batch, the first with the last.
//
//   mixup   (Zhang et al. 2018)   out[b] = λ · x[b] + (1 − λ) · x[b − 1]
//   cutmix  (Yun et al. 2019)     out[b] = x[b − 1] inside of a box, x[b] outside;    λ = share of the pixels outside
//   targets[b, c] = λ · [c = label[b]] + (1 − λ) · [c = label[b − 1]]
//
// Both are one kernel: with a box, images are not blended. As torchvision's MixUp and CutMix, which roll the batch by one.
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { declare, perThread } from './build';
import type { Kernel } from './kernel';

const TILE = 64;

const fields = [
  ...['size', 'channels', 'height', 'width', 'classes', 'left', 'top', 'right', 'bottom'].map((name) => `${name}: u32`),
  ...['share', 'lambda'].map((name) => `${name}: f32`),
].join(', ');
const buffers = ['r images: f32', 'r labels: i32', 'w mixed: f32', 'w targets: f32', 'w larger: i32'];
const { head, io } = declare(fields, ...buffers);

/**
 * Bindings: images [N, C, H, W], labels [N], mixed images, targets [N, classes], and labels [N] of the larger share. Constants: N, C, H, W, classes,
 * the box (left, top, right, bottom: the last two exclusive), the share of x[b] outside of it, λ. Extent: N · (C · H · W + classes).
 */
export const mix: Kernel = {
  name: 'data.mix',
  ...io,
  grid: { tile: TILE },
  code: wgsl`
${head}
${perThread('i', TILE, 'p.size * (p.channels * p.height * p.width + p.classes)')}
  let pixels = p.channels * p.height * p.width;
  let isTarget = i >= p.size * pixels;
  let row = select(i / pixels, (i - p.size * pixels) / p.classes, isTarget);
  let other = select(row, p.size, row == 0u) - 1u;
  if (isTarget) {
    let c = i32((i - p.size * pixels) % p.classes);
    let own = labels[row];
    let partner = labels[other];
    targets[i - p.size * pixels] = select(select(0.0, p.lambda, c == own), select(1.0 - p.lambda, 1.0, c == own), c == partner);
    if (c == 0) { larger[row] = select(partner, own, p.lambda >= 0.5); }
    return;
  }
  let x = i % p.width;
  let y = i / p.width % p.height;
  let inside = x >= p.left && x < p.right && y >= p.top && y < p.bottom;
  let share = select(p.share, 0.0, inside);
  let a = images[i];
  let b = images[other * pixels + i % pixels];
  mixed[i] = select(select(fma(share, a - b, b), b, share == 0.0), a, share == 1.0);
}`,
};
