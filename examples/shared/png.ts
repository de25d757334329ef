// SVG figures as PNG files, for programs that show no SVG.

import sharp from 'sharp';
import { writeAtomic } from '../../src/train/files.node.js';

/** Draws the document at twice its size. Its text needs a font of the system's. */
export async function writePng(path: string, svg: string): Promise<void> {
  writeAtomic(path, await sharp(Buffer.from(svg), { density: 144 }).png().toBuffer());
}
