// The augmentation of shaders/augment.ts on the CPU: what the batch kernel must compute, for tests and for reading.
import { at, tuple } from '../shaders/checked';
import { IMAGE_BYTES } from './cifar';
import { type DrawnOperation, randAugment } from './rand-augment';
import { philox, Stream } from './random';

/** Offset of the crop window in the padded image (0 … 8, 4 is the centre) and whether it is mirrored. */
export interface Draw {
  readonly dy: number;
  readonly dx: number;
  readonly flip: boolean;
  /** Centre of the square that cutout leaves out. */
  readonly hole?: { readonly y: number; readonly x: number };
  /** What RandAugment does, and how strongly. */
  readonly operations?: readonly DrawnOperation[];
  readonly magnitude?: number;
}

/** What (seed, epoch, image index) draws; it does not depend on the batch that the image is in. */
export function drawAugmentation(seed: number, epoch: number, image: number): Draw {
  const [dy, dx, mirror, place] = tuple([...philox(seed, Stream.augment, image, epoch)], 4);
  const hole = { y: Math.floor(place / 32) % 32, x: place % 32 };
  return { dy: dy % 9, dx: dx % 9, flip: (mirror & 1) === 1, hole };
}

/**
 * Pad-4 crop, flip, the operations of RandAugment, normalise, a square of `cutout` pixels a side left out: bytes [3, 32, 32] to floats [3, 32, 32]. Without a
 * draw it only normalises. As in torchvision, the padding is black before the normalisation, and the flip follows the crop.
 */
export function augmentImage(
  image: Uint8Array,
  mean: readonly number[],
  std: readonly number[],
  draw: Draw = { dy: 4, dx: 4, flip: false },
  cutout = 0,
): Float32Array {
  const bytes = new Uint8Array(IMAGE_BYTES);
  for (let i = 0; i < IMAGE_BYTES; i++) {
    const y = ((i >> 5) & 31) + draw.dy - 4;
    const x = (draw.flip ? 31 - (i & 31) : i & 31) + draw.dx - 4;
    const inside = Math.min(x, y) >= 0 && Math.max(x, y) < 32;
    bytes[i] = inside ? (image[(i >> 10) * 1024 + y * 32 + x] ?? 0) : 0;
  }
  const isHole = (i: number): boolean => {
    if (!draw.hole) return false;
    const row = ((i >> 5) & 31) - draw.hole.y + (cutout >> 1);
    const column = (i & 31) - draw.hole.x + (cutout >> 1);
    return Math.min(row, column) >= 0 && Math.max(row, column) < cutout;
  };
  const seen = randAugment(bytes, draw.operations ?? [], draw.magnitude ?? 0);
  return Float32Array.from(seen, (value, i) => (isHole(i) ? 0 : (value / 255 - at(mean, i >> 10)) / at(std, i >> 10)));
}
