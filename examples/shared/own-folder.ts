// The images of one's own that a network of the page was trained on, in Node: a folder with a folder of images for each class.
import { IMAGE_BYTES, type ImageDataset } from '../../datasets/cifar';
import { ImageFolder } from '../../src/index.node.js';
import { loadImage } from './image';
import { UsageError } from './options';
import { ownDataset } from './own-images';

/** Reads the data set; `weights` is the checkpoint that needs it. Without images (`{ images: false }`) only its classes are read. */
export async function loadOwnFolder(
  folder: string | undefined,
  weights: string,
  { images = true } = {},
): Promise<ImageDataset> {
  if (folder === undefined)
    throw new UsageError(
      `${weights} was trained on images of your own, which a checkpoint does not hold: pass --data FOLDER, the folder that the page was given, ` +
        'with a folder of images for each class',
    );
  const { classes, files } = new ImageFolder(folder);
  // A folder without images is no class in the page either.
  const used = classes.filter((_, label) => files.some((file) => file.label === label));
  const read = images ? files : [];
  const bytes = new Uint8Array(read.length * IMAGE_BYTES);
  for (const [i, { path }] of read.entries()) bytes.set(await loadImage(path), i * IMAGE_BYTES);
  const labels = read.map(({ label }) => used.indexOf(classes[label] ?? ''));
  return ownDataset(used, labels, bytes);
}
