// RandAugment of shaders/rand-augment.ts on the CPU, for tests and for reading: bytes to bytes, in integers.
import { magnitudes, OPERATIONS } from '../shaders/rand-augment';
import { IMAGE_BYTES } from './cifar';
import { checkSeed, philox4x32, Stream } from './random';

/** One operation, by its number in `OPERATIONS`, and whether its magnitude is taken negative. */
export interface DrawnOperation {
  readonly operation: number;
  readonly negative: boolean;
}

/** What (seed, epoch, image) draws. */
export const drawOperations = (seed: number, epoch: number, image: number, operations: number): DrawnOperation[] =>
  Array.from({ length: operations }, (_, k) => {
    const [w = 0, sign = 0] = philox4x32([image, epoch, k + 1, 0], [checkSeed(seed), Stream.augment]);
    return { operation: w % OPERATIONS.length, negative: (sign & 1) === 1 };
  });

const SIDE = 32;
const PIXELS = SIDE * SIDE;
type Rgb = readonly [number, number, number];

const clamp = (x: number, most: number): number => Math.min(Math.max(x, 0), most);
const grey = ([r, g, b]: Rgb): number => (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;

/** An image's bytes [3, 32, 32] after some operations at a magnitude of 0 … 30. */
export function randAugment(image: Uint8Array, drawn: readonly DrawnOperation[], magnitude: number): Uint8Array {
  return drawn.reduce((now, { operation, negative }) => apply(now, operation, negative ? -1 : 1, magnitude), image);
}

function apply(image: Uint8Array, operation: number, s: number, magnitude: number): Uint8Array {
  const m = magnitudes(magnitude);
  const at = (x: number, y: number): Rgb => {
    if (Math.min(x, y) < 0 || Math.max(x, y) >= SIDE) return [0, 0, 0];
    const [r = 0, g = 0, b = 0] = [0, 1, 2].map((c) => image[c * PIXELS + y * SIDE + x]);
    return [r, g, b];
  };
  const each = (v: Rgb, f: (value: number, c: number) => number): Rgb => [f(v[0], 0), f(v[1], 1), f(v[2], 2)];
  const factor = 1024 + s * m.blend;
  const blend = (v: Rgb, other: (c: number) => number): Rgb =>
    each(v, (value, c) => clamp(factor * value + (1024 - factor) * other(c), 261120) >> 10);
  const planes = [0, 1, 2].map((c) => image.subarray(c * PIXELS, (c + 1) * PIXELS));
  const tables = planes.map(equalized);
  const ranges = planes.map((plane) => [Math.min(...plane), Math.max(...plane)] as const);
  const total = Array.from({ length: PIXELS }, (_, i) => grey(at(i % SIDE, i >> 5))).reduce((a, b) => a + b);
  const changed = (x: number, y: number): Rgb => {
    const v = at(x, y);
    switch (OPERATIONS[operation]) {
      case 'shearX':
        return at(((2 * x + 1) * 65536 + s * m.shear * (2 * y + 1)) >> 17, y);
      case 'shearY':
        return at(x, ((2 * y + 1) * 65536 + s * m.shear * (2 * x + 1)) >> 17);
      case 'translateX':
        return at(x - s * m.translate, y);
      case 'translateY':
        return at(x, y - s * m.translate);
      case 'rotate': {
        const [dx, dy] = [2 * x - 31, 2 * y - 31];
        const turn = (a: number, b: number) => (m.cos * a + s * m.sin * b + 32 * 65536) >> 17;
        return at(turn(dx, dy), turn(dy, -dx));
      }
      case 'brightness':
        return blend(v, () => 0);
      case 'color':
        return blend(v, () => grey(v));
      case 'contrast':
        return each(v, (value) => clamp(factor * 1024 * value + (1024 - factor) * total, 255 * 2 ** 20) >> 20);
      case 'sharpness': {
        if (Math.min(x, y) < 1 || Math.max(x, y) > 30) return v;
        const near = Array.from({ length: 9 }, (_, i) => at(x + (i % 3) - 1, y + Math.floor(i / 3) - 1));
        const sum = (c: number) => 4 * (v[c] ?? 0) + near.reduce((a, pixel) => a + (pixel[c] ?? 0), 0);
        return blend(v, (c) => Math.floor((2 * sum(c) + 13) / 26));
      }
      case 'posterize':
        return each(v, (value) => (value >> m.dropped) << m.dropped);
      case 'solarize':
        return each(v, (value) => (2 * value >= m.threshold ? 255 - value : value));
      case 'autocontrast':
        return each(v, (value, c) => {
          const [low, high] = ranges[c] ?? [0, 255];
          return low === high ? value : Math.floor(((value - low) * 255) / (high - low));
        });
      case 'equalize':
        return each(v, (value, c) => tables[c]?.[value] ?? value);
      default:
        return v;
    }
  };
  const out = new Uint8Array(IMAGE_BYTES);
  for (let i = 0; i < PIXELS; i++)
    for (const [c, value] of changed(i % SIDE, i >> 5).entries()) out[c * PIXELS + i] = value;
  return out;
}

/** Where equalize sends each value of a plane: PIL's table. */
function equalized(plane: Uint8Array): number[] {
  const counts = new Array<number>(256).fill(0);
  for (const value of plane) counts[value] = (counts[value] ?? 0) + 1;
  const step = Math.floor((PIXELS - (counts[Math.max(...plane)] ?? 0)) / 255);
  let below = 0;
  return counts.map((count, value) => {
    const to = step ? Math.min(255, Math.floor((below + Math.floor(step / 2)) / step)) : value;
    below += count;
    return to;
  });
}
