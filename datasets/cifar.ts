// CIFAR-10 and CIFAR-100 as the official binary files hold them: record format, class names, normalisation.
// A record is the label bytes (CIFAR-10: label; CIFAR-100: coarse, fine), then 3072 bytes: the planes R, G, B of 32 × 32.
// Indices of images are checked where they enter: `as number` stands for the label of one.
import { Rng, Stream } from './random';

export const IMAGE_BYTES = 3 * 32 * 32;

export type CifarKind = 'cifar10' | 'cifar100';
export type SplitName = 'train' | 'test';

/** Plain memory, as WebGPU's queue takes it. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Images of one split: image i is bytes [3072 i, 3072 (i + 1)) in C, H, W order. */
export interface Split {
  readonly images: Bytes;
  readonly labels: Bytes;
  /** CIFAR-100's 20 superclasses. */
  readonly coarseLabels?: Bytes;
  readonly count: number;
}

export interface ImageDataset {
  readonly name: string;
  readonly classes: readonly string[];
  /** A split that was not asked for has count 0. */
  readonly train: Split;
  readonly test: Split;
  /** Per channel, of pixel values scaled to [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  /** Where the images came from, for people. */
  readonly source: string;
  readonly synthetic: boolean;
}

export interface CifarFormat {
  readonly title: string;
  /** Folder and archive as published, and the archive's address and checksum. */
  readonly folder: string;
  readonly archive: string;
  readonly url: string;
  readonly md5: string;
  /** Files of each split with the records that each file holds. */
  readonly files: Readonly<Record<SplitName, readonly string[]>>;
  readonly recordsPerFile: Readonly<Record<SplitName, number>>;
  readonly labelBytes: 1 | 2;
  readonly classes: readonly string[];
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

const words = (text: string): string[] => text.trim().split(/\s+/);

export const CIFAR100_COARSE_CLASSES = words(`
  aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
  insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
  medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2`);

/** The superclass of each of CIFAR-100's classes, by their numbers. */
export const CIFAR100_COARSE_OF: readonly number[] = [
  ...[4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11],
  ...[6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5],
  ...[5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17],
  ...[10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13],
  ...[16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13],
];

export const CIFAR: Readonly<Record<CifarKind, CifarFormat>> = {
  cifar10: {
    title: 'CIFAR-10',
    folder: 'cifar-10-batches-bin',
    archive: 'cifar-10-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    md5: 'c32a1d4ab5d03f1284b67883e8d87530',
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ['test_batch.bin'] },
    recordsPerFile: { train: 10000, test: 10000 },
    labelBytes: 1,
    classes: words('airplane automobile bird cat deer dog frog horse ship truck'),
    mean: [0.4914, 0.48216, 0.44653],
    std: [0.24703, 0.24349, 0.26159],
  },
  cifar100: {
    title: 'CIFAR-100',
    folder: 'cifar-100-binary',
    archive: 'cifar-100-binary.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
    md5: '03b5dce01913d631647c71ecec9e9cb8',
    files: { train: ['train.bin'], test: ['test.bin'] },
    recordsPerFile: { train: 50000, test: 10000 },
    labelBytes: 2,
    classes: words(`
      apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
      caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
      flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man
      maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
      plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail
      snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout
      tulip turtle wardrobe whale willow_tree wolf woman worm`),
    mean: [0.5071, 0.4865, 0.4409],
    std: [0.2673, 0.2564, 0.2762],
  },
};

/**
 * Parses one official binary file of CIFAR-10 or CIFAR-100.
 *
 * Throws when the file has not the official size, since a file cut at a record's end would else pass for a smaller data
 * set, and when a label is out of range; both name the file and the remedy.
 */
export function parse(bytes: Uint8Array, kind: CifarKind, split: SplitName, fileName: string): Split {
  const { title, labelBytes, recordsPerFile, classes, url } = CIFAR[kind];
  const remedy = `Delete it and unpack it again from ${url}.`;
  const record = labelBytes + IMAGE_BYTES;
  const count = recordsPerFile[split];
  if (bytes.length !== count * record) {
    const state = bytes.length < count * record ? 'truncated' : 'not such a file';
    throw new Error(
      `${fileName}: expected ${count * record} bytes (${count} ${title} records of ${record} bytes), ` +
        `found ${bytes.length}: the file is ${state}. ${remedy}`,
    );
  }
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  const coarseLabels = labelBytes === 2 ? new Uint8Array(count) : undefined;
  for (let i = 0; i < count; i++) {
    const [first = 0, second = 0] = bytes.subarray(i * record, i * record + 2);
    labels[i] = checkLabel(coarseLabels ? second : first, classes.length, 'label', i);
    if (coarseLabels) coarseLabels[i] = checkLabel(first, CIFAR100_COARSE_CLASSES.length, 'coarse label', i);
    images.set(bytes.subarray(i * record + labelBytes, (i + 1) * record), i * IMAGE_BYTES);
  }
  return { images, labels, count, ...(coarseLabels && { coarseLabels }) };

  function checkLabel(label: number, limit: number, what: string, index: number): number {
    if (label < limit) return label;
    throw new Error(
      `${fileName}: record ${index} has ${what} ${label}, ${title} has ${what}s 0 to ${limit - 1}: ` +
        `the file is damaged or belongs to another data set. ${remedy}`,
    );
  }
}

/** The images of several splits one after another. */
export function concatSplits(parts: readonly Split[]): Split {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const join = (arrays: readonly Bytes[]): Bytes => {
    const all = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
    let at = 0;
    for (const array of arrays) {
      all.set(array, at);
      at += array.length;
    }
    return all;
  };
  const coarse = parts.flatMap((part) => (part.coarseLabels ? [part.coarseLabels] : []));
  return {
    images: join(parts.map((part) => part.images)),
    labels: join(parts.map((part) => part.labels)),
    ...(coarse.length > 0 && { coarseLabels: join(coarse) }),
    count: parts.reduce((sum, part) => sum + part.count, 0),
  };
}

/**
 * `n` images drawn without replacement, the same number of each class (± 1 where n is no multiple of the classes, more
 * where a class has too few), reproducibly from `seed`, in the order of the full split.
 */
export function subset(split: Split, n: number, seed: number): Split {
  if (!Number.isInteger(n) || n < 1 || n > split.count) {
    throw new RangeError(`subset of ${n} images: expected an integer from 1 to ${split.count}, the size of the split`);
  }
  const byClass = new Map<number, number[]>();
  for (const index of new Rng(seed, Stream.subset).permutation(split.count)) {
    const label = split.labels[index] as number;
    const members = byClass.get(label);
    if (members) members.push(index);
    else byClass.set(label, [index]);
  }
  const chosen: number[] = [];
  for (let round = 0; chosen.length < n; round++) {
    for (const members of byClass.values()) {
      const member = members[round];
      if (member !== undefined && chosen.length < n) chosen.push(member);
    }
  }
  chosen.sort((a, b) => a - b);
  const images = new Uint8Array(n * IMAGE_BYTES);
  chosen.forEach((from, to) => {
    images.set(split.images.subarray(from * IMAGE_BYTES, (from + 1) * IMAGE_BYTES), to * IMAGE_BYTES);
  });
  const pick = (labels: Uint8Array): Bytes => Uint8Array.from(chosen, (index) => labels[index] as number);
  return {
    images,
    labels: pick(split.labels),
    ...(split.coarseLabels && { coarseLabels: pick(split.coarseLabels) }),
    count: n,
  };
}
