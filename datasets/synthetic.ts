// A synthetic data set in CIFAR's format that is really learnable: drawn shapes and textures in random colours, sizes
// and places, over clutter and noise. It stands in for CIFAR in tests and where there is neither data nor network.
//
// Every image is a pure function of (seed, split, index), and no step but + − × ÷ and √ touches a pixel: IEEE fixes the
// result of those to the last bit, so all platforms draw the same bytes. Pixels are read by index within the canvas,
// `as number` without a check for each.
import { at } from '../shaders/checked';
import { IMAGE_BYTES, type ImageDataset, type Split } from './cifar';
import { Rng, Stream } from './random';

const SIDE = 32;
const AREA = SIDE * SIDE;

/** Negative inside, positive outside, roughly the distance to the outline; the shape fills |u|, |v| ≤ 1. */
type Shape = (u: number, v: number) => number;
/** In [−1, 1], the sign chooses between two colours; x and y count periods of the pattern. */
type Texture = (x: number, y: number) => number;

const { abs, floor, max, min, sqrt } = Math;

const SHAPES = {
  disc: (u, v) => sqrt(u * u + v * v) - 1,
  square: (u, v) => max(abs(u), abs(v)) - 0.85,
  triangle: (u, v) => max(v - 0.75, 0.88 * abs(u) - 0.47 * v - 0.5),
  cross: (u, v) => min(max(abs(u) - 1, abs(v) - 0.32), max(abs(u) - 0.32, abs(v) - 1)),
  ring: (u, v) => abs(sqrt(u * u + v * v) - 0.75) - 0.25,
  frame: (u, v) => abs(max(abs(u), abs(v)) - 0.68) - 0.2,
  diamond: (u, v) => 0.7 * (abs(u) + abs(v) - 1.1),
  saltire: (u, v) => max(0.7 * abs(abs(u) - abs(v)) - 0.28, max(abs(u), abs(v)) - 0.9),
  'half-disc': (u, v) => max(sqrt(u * u + v * v) - 1, 0.1 - v),
  bar: (u, v) => max(abs(u) - 1, abs(v) - 0.3),
} satisfies Record<string, Shape>;

/** Triangle wave of period 1 between −1 and 1. */
const wave = (x: number): number => 1 - 4 * abs(x - floor(x) - 0.5);

const TEXTURES = {
  plain: () => 1,
  'horizontal stripes': (_, y) => wave(y),
  'vertical stripes': (x) => wave(x),
  'diagonal stripes': (x, y) => wave(0.7 * (x + y)),
  checker: (x, y) => 2 * wave(x) * wave(y),
  dots: (x, y) => wave(x) + wave(y) - 0.5,
  grid: (x, y) => max(wave(x), wave(y)) - 0.55,
  zigzag: (x, y) => wave(y + 0.35 * wave(0.7 * x)),
  ripples: (x, y) => wave(0.8 * sqrt(x * x + y * y)),
  bricks: (x, y) => max(wave(y), wave(0.5 * x + 0.5 * floor(y + 0.5))) - 0.6,
} satisfies Record<string, Texture>;

const shapes: readonly Shape[] = Object.values(SHAPES);
const textures: readonly Texture[] = Object.values(TEXTURES);
const shapeNames = Object.keys(SHAPES);
const textureNames = Object.keys(TEXTURES);

/** Ten classes: five shapes in one colour, and five textures in any shape. */
const TEN = [...shapeNames.slice(0, 5), ...textureNames.slice(1, 6)];
/** A hundred: every shape with every texture. */
const HUNDRED = shapeNames.flatMap((shape) => textureNames.map((texture) => `${shape}, ${texture}`));

/** Shape and texture of an image of class `label`; what the class leaves open is drawn. */
function content(label: number, classes: 10 | 100, rng: Rng): [Shape, Texture] {
  const free = rng.int(10);
  const [shape, texture] =
    classes === 100 ? [floor(label / 10), label % 10] : label < 5 ? [label, 0] : [free, label - 4];
  return [at(shapes, shape), at(textures, texture)];
}

type Colour = readonly [number, number, number];

const CHANNELS = [0, 1, 2] as const;

const colour = (rng: Rng): Colour => [rng.int(256), rng.int(256), rng.int(256)];

/** A colour at least `distance` (sum over channels) away from each of `others`. */
function contrasting(rng: Rng, distance: number, others: readonly Colour[]): Colour {
  for (;;) {
    const c = colour(rng);
    if (others.every((o) => abs(c[0] - o[0]) + abs(c[1] - o[1]) + abs(c[2] - o[2]) >= distance)) return c;
  }
}

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.uniform();
const clamp01 = (x: number): number => min(1, max(0, x));

/** Lays a textured shape over `canvas` (AREA × 3 values), its outline and pattern antialiased over about one pixel. */
function draw(
  canvas: Float64Array,
  rng: Rng,
  shape: Shape,
  texture: Texture,
  options: {
    centre: readonly [number, number];
    radius: number;
    colours: readonly [Colour, Colour];
  },
): void {
  const { centre, radius, colours } = options;
  // A rotation by up to about ±17°, from the rational points of the circle instead of sine and cosine.
  const t = between(rng, -0.15, 0.15);
  const cos = (1 - t * t) / (1 + t * t);
  const sin = (2 * t) / (1 + t * t);
  const period = between(rng, 4.5, 7);
  const [phaseX, phaseY] = [rng.uniform(), rng.uniform()];
  const reach = 1.5 * radius + 1;
  const first = (c: number): number => max(0, floor(c - reach));
  const last = (c: number): number => min(SIDE - 1, floor(c + reach));
  for (let y = first(centre[1]); y <= last(centre[1]); y++) {
    for (let x = first(centre[0]); x <= last(centre[0]); x++) {
      const dx = x - centre[0];
      const dy = y - centre[1];
      const across = cos * dx + sin * dy;
      const down = cos * dy - sin * dx;
      const cover = clamp01(0.5 - shape(across / radius, down / radius) * radius);
      if (cover === 0) continue;
      const mix = clamp01(0.5 + 0.35 * period * texture(across / period + phaseX, down / period + phaseY));
      for (const c of CHANNELS) {
        const place = c * AREA + y * SIDE + x;
        const under = canvas[place] as number;
        const paint = mix * colours[0][c] + (1 - mix) * colours[1][c];
        canvas[place] = under + cover * (paint - under);
      }
    }
  }
}

/** Draws image `rng` stands for: a background that fades between two colours, clutter, the object, noise. */
function render(out: Uint8Array, canvas: Float64Array, rng: Rng, label: number, classes: 10 | 100): void {
  const [shape, texture] = content(label, classes, rng);
  const from = colour(rng);
  const to = colour(rng);
  const [slopeX, slopeY] = [between(rng, -1, 1), between(rng, -1, 1)];
  for (let p = 0; p < AREA; p++) {
    const mix = clamp01(0.5 + (slopeX * ((p % SIDE) - 15.5) + slopeY * (floor(p / SIDE) - 15.5)) / SIDE);
    for (const c of CHANNELS) canvas[c * AREA + p] = from[c] + mix * (to[c] - from[c]);
  }
  for (let piece = rng.int(5) + 2; piece > 0; piece--) {
    const paint = colour(rng);
    draw(canvas, rng, at(shapes, rng.int(10)), TEXTURES.plain, {
      centre: [between(rng, 0, 31), between(rng, 0, 31)],
      radius: between(rng, 1.5, 4),
      colours: [paint, paint],
    });
  }
  const paint = contrasting(rng, 130, [from, to]);
  draw(canvas, rng, shape, texture, {
    centre: [between(rng, 12, 20), between(rng, 12, 20)],
    radius: between(rng, 7, 12),
    colours: [paint, contrasting(rng, 180, [paint])],
  });
  // Sums of two bytes: noise with a triangular distribution, two values from one draw.
  const strength = between(rng, 0.05, 0.25);
  for (let i = 0; i < IMAGE_BYTES; i += 2) {
    const bits = rng.u32();
    out[i] = toByte((canvas[i] as number) + strength * ((bits & 255) + ((bits >>> 8) & 255) - 255));
    out[i + 1] = toByte((canvas[i + 1] as number) + strength * (((bits >>> 16) & 255) + (bits >>> 24) - 255));
  }
}

const toByte = (x: number): number => floor(min(255, max(0, x)) + 0.5);

function drawSplit(count: number, classes: 10 | 100, seed: number, part: 0 | 1): Split {
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  const canvas = new Float64Array(IMAGE_BYTES);
  labels.forEach((label, i) => {
    const rng = new Rng(seed, Stream.synthetic, 2 * i + part);
    render(images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES), canvas, rng, label, classes);
  });
  return { images, labels, count };
}

export interface SyntheticOptions {
  /** 10 (five shapes, five textures) or 100 (ten shapes × ten textures). */
  classes?: 10 | 100;
  /** Images per split; image i has label i mod classes. */
  train?: number;
  test?: number;
  seed?: number;
}

/** Draws the synthetic data set; the images do not depend on how many are drawn. About 5,000 images a second. */
export function synthetic(options: SyntheticOptions = {}): ImageDataset {
  const { classes = 10, train = 10000, test = 2000, seed = 0 } = options;
  return {
    name: classes === 10 ? 'synthetic' : 'synthetic100',
    classes: classes === 10 ? TEN : HUNDRED,
    train: drawSplit(train, classes, seed, 0),
    test: drawSplit(test, classes, seed, 1),
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    source: `synthetic: ${classes} classes of drawn shapes and textures, seed ${seed}`,
    synthetic: true,
  };
}
