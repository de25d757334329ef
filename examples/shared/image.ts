// Any image file as the square of bytes that a CIFAR network looks at; figures as PNG files.

import { existsSync } from 'node:fs';
import { writeAtomic } from '../../src/files/files.node.js';

/** The package that reads and draws images: native and large, so the package leaves it to those who need it. */
const loadSharp = async () => (await import('sharp').catch(() => null))?.default ?? null;

/**
 * Reads an image (PNG, JPEG, WebP, GIF, …): turned as its camera says, on white where transparent, scaled so that the
 * shorter side is `size`, cropped around the centre. Returns 3·size·size bytes, channels first (RGB).
 * Throws an error that names the file when it is missing or no image.
 */
export async function loadImage(path: string, size = 32): Promise<Uint8Array> {
  if (!existsSync(path)) throw new Error(`${path}: no such image`);
  const sharp = await loadSharp();
  if (!sharp) throw new Error('reading images needs the package sharp: npm i sharp');
  let pixels: Buffer;
  try {
    pixels = await sharp(path)
      .rotate()
      .flatten({ background: '#ffffff' })
      .resize(size, size, { fit: 'cover', position: 'centre' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer();
  } catch (error) {
    throw new Error(`${path}: not an image that can be read (${(error as Error).message})`, { cause: error });
  }
  const area = size * size;
  const planes = new Uint8Array(3 * area);
  // sRGB without alpha: three bytes a pixel, so that the cast needs no check.
  for (let c = 0; c < 3; c++) for (let i = 0; i < area; i++) planes[c * area + i] = pixels[3 * i + c] as number;
  return planes;
}

/** Draws an SVG document at twice its size, for programs that show no SVG. Its text needs a font of the system's. Without sharp it only says so. */
export async function writePng(path: string, svg: string): Promise<void> {
  const sharp = await loadSharp();
  if (!sharp) return void process.stderr.write(`${path} is not drawn: that needs the package sharp (npm i sharp)\n`);
  writeAtomic(path, await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer());
}
