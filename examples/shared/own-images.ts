// Images of one's own, of which no data set's name tells: how they become a data set, the same in the page and in Node.
import { IMAGE_BYTES, type ImageDataset } from '../../datasets/cifar';

/** Every fifth image of a class is for testing. */
const HELD_OUT = 5;

/**
 * The data set of images, one of 3·32·32 bytes for each label. Within a class they must come in the order of their names, so that the same ones
 * are held out for testing everywhere.
 */
export function ownDataset(classes: readonly string[], labels: readonly number[], images: Uint8Array): ImageDataset {
  const seen = classes.map(() => 0);
  const held = labels.map((label) => (seen[label] = (seen[label] ?? 0) + 1) % HELD_OUT === 0);
  const pick = (test: boolean) => {
    const mine = [...labels.keys()].filter((i) => held[i] === test);
    const picked = new Uint8Array(mine.length * IMAGE_BYTES);
    for (const [to, from] of mine.entries())
      picked.set(images.subarray(from * IMAGE_BYTES, (from + 1) * IMAGE_BYTES), to * IMAGE_BYTES);
    return { images: picked, labels: Uint8Array.from(mine, (i) => labels[i] ?? 0), count: mine.length };
  };
  return {
    name: 'own',
    classes,
    train: pick(false),
    test: pick(true),
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    source: 'yours',
    synthetic: false,
  };
}
