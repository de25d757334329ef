// Pictures of the page: any image file as 32×32 bytes, and what a network takes pictures for.

import { IMAGE_BYTES, type ImageDataset } from '../../../datasets/cifar';
import { ResidentImages } from '../../../datasets/resident';
import { type Classifier, F, noGrad } from '../../../src/index';
import { inEvaluation } from '../../../src/nn/module';
import { averaged } from '../../shared/averaged';
import type { Pictures, Predictions } from '../protocol';

const SIDE = 32;
/** Test images that are shown. */
export const SHOWN = 32;

/** Scales so that the shorter side is 32, crops around the centre, on white where transparent; 3·32·32 bytes, channels first. */
export async function decodePicture(file: Blob): Promise<Uint8Array> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file instanceof File ? file.name : 'the file'}: not an image that this browser can read`);
  }
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser draws no images in workers');
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = 'high';
  const scale = SIDE / Math.min(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const area = SIDE * SIDE;
  return Uint8Array.from({ length: IMAGE_BYTES }, (_, i) => data[4 * (i % area) + Math.floor(i / area)] ?? 0);
}

/** The first test images. */
export function testPictures({ test }: ImageDataset): Pictures {
  const count = Math.min(SHOWN, test.count);
  return { bytes: test.images.slice(0, count * IMAGE_BYTES), count, labels: [...test.labels.subarray(0, count)] };
}

/** What the network takes pictures for, on pictures that have `size` pixels a side for it. */
export class Guesser {
  readonly #images: ResidentImages;
  readonly #size: number | undefined;

  constructor({ bytes, count }: Pictures, { mean, std }: ImageDataset, size?: number) {
    const images = Uint8Array.from(bytes);
    this.#images = new ResidentImages({ images, labels: new Uint8Array(count), count }, { mean, std });
    this.#size = size;
  }

  async guess(model: Classifier): Promise<Predictions> {
    const { count } = this.#images;
    const classes: number[] = [];
    const probabilities: number[] = [];
    for (const { images } of averaged(this.#images, this.#size).batches({ batchSize: count })) {
      const all = await inEvaluation(model, () => noGrad(() => F.softmax(model.forward(images), 1))).data();
      const width = all.length / count;
      for (let i = 0; i < count; i++) {
        const row = [...all.subarray(i * width, (i + 1) * width)];
        const most = Math.max(...row);
        classes.push(row.indexOf(most));
        probabilities.push(most);
      }
    }
    return { classes, probabilities };
  }

  dispose(): void {
    this.#images.dispose();
  }
}
