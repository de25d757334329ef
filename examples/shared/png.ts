// SVG figures as PNG files, for programs that show no SVG.

import { renameSync } from 'node:fs';
import sharp from 'sharp';

/** Draws the document at twice its size. Its text needs a font of the system's; the file appears whole or not at all. */
export async function writePng(path: string, svg: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await sharp(Buffer.from(svg), { density: 144 }).png().toFile(temporary);
  renameSync(temporary, path);
}
