// Images to train on: drawn at once, or from files that were dropped on the page and are kept in the browser.

import { CIFAR, type CifarKind, concatSplits, IMAGE_BYTES, type ImageDataset, parse } from '../../../datasets/cifar';
import { synthetic } from '../../../datasets/synthetic';
import { cutDataset } from '../../shared/dataset-names';
import { ownDataset } from '../../shared/own-images';
import type { Settings } from '../settings';
import { readTarGz } from './archive';
import { decodePicture } from './pictures';
import { hasData, loadData, storeData } from './storage';

const OWN = 'own.bin';
const fileOf = (kind: CifarKind, name: string): string => `${kind}.${name}`;
const KINDS = ['cifar10', 'cifar100'] as const;
const namesOf = (kind: CifarKind): string[] => [...CIFAR[kind].files.train, ...CIFAR[kind].files.test];

/** The data sets that lie in the browser. */
export async function storedData(): Promise<string[]> {
  const there: string[] = [];
  for (const kind of KINDS) {
    const files = await Promise.all(namesOf(kind).map((name) => hasData(fileOf(kind, name))));
    if (files.every(Boolean)) there.push(kind);
  }
  if (await hasData(OWN)) there.push('own');
  return there;
}

/** The images of an experiment. Throws an error that says what to drop where there are none. */
export async function loadImages(
  settings: Pick<Settings, 'data' | 'images' | 'testImages' | 'seed'>,
): Promise<ImageDataset> {
  const { data, seed } = settings;
  const [train, test] = [settings.images || undefined, settings.testImages || undefined];
  if (data === 'synthetic' || data === 'synthetic100') {
    return synthetic({ classes: data === 'synthetic' ? 10 : 100, ...(train && { train }), ...(test && { test }) });
  }
  const whole = data === 'own' ? await loadOwn() : await loadCifar(data);
  const most = (n: number | undefined, count: number) => n && Math.min(n, count);
  return cutDataset(whole, { train: most(train, whole.train.count), test: most(test, whole.test.count), seed });
}

async function loadCifar(kind: CifarKind): Promise<ImageDataset> {
  const { title, archive, url, files, classes, mean, std } = CIFAR[kind];
  const load = async (split: 'train' | 'test') =>
    concatSplits(
      await Promise.all(
        files[split].map(async (name) => {
          const bytes = await loadData(fileOf(kind, name));
          if (!bytes)
            throw new Error(`${title} is not here yet: download ${archive} from ${url} and drop it on the page`);
          return parse(bytes, kind, split, name);
        }),
      ),
    );
  const [train, test] = [await load('train'), await load('test')];
  return { name: kind, classes, train, test, mean, std, source: 'files of yours', synthetic: false };
}

/** Keeps dropped files: an archive or the binary files of CIFAR, or folders of images, one a class. Returns what to tell. */
export async function keepFiles(
  given: readonly { path: string; file: File }[],
  onProgress: (done: number, total: number) => void,
): Promise<string> {
  const archives = given.filter(({ path }) => /\.(tar\.gz|tgz)$/i.test(path));
  const binary = given.filter(({ path }) => /\.bin$/i.test(path));
  if (archives.length + binary.length) {
    const files = new Map<string, Uint8Array>();
    const known = (name: string) => KINDS.some((kind) => namesOf(kind).includes(name));
    for (const { file } of archives) for (const [name, bytes] of await readTarGz(file, known)) files.set(name, bytes);
    for (const { path, file } of binary)
      files.set(path.split('/').at(-1) ?? path, new Uint8Array(await file.arrayBuffer()));
    return keepCifar(files, onProgress);
  }
  return keepOwn(given, onProgress);
}

async function keepCifar(files: ReadonlyMap<string, Uint8Array>, onProgress: (done: number, total: number) => void) {
  const stored: string[] = [];
  let done = 0;
  for (const kind of KINDS)
    for (const split of ['train', 'test'] as const)
      for (const name of CIFAR[kind].files[split]) {
        const bytes = files.get(name);
        if (!bytes) continue;
        parse(bytes, kind, split, name); // a damaged file is refused now, not when training begins
        await storeData(fileOf(kind, name), bytes);
        stored.push(CIFAR[kind].title);
        onProgress(++done, files.size);
      }
  const [title] = stored;
  if (!title) {
    const wanted = KINDS.map((kind) => CIFAR[kind].archive).join(' or ');
    throw new Error(`no file of CIFAR in what was dropped: drop ${wanted}, or its .bin files`);
  }
  const kind = KINDS.find((k) => CIFAR[k].title === title) ?? 'cifar10';
  const files2 = await Promise.all(
    namesOf(kind).map(async (name) => ((await hasData(fileOf(kind, name))) ? [] : [name])),
  );
  const absent = files2.flat();
  return absent.length ? `${title}: ${absent.join(', ')} still to come` : `${title} is here, and stays in this browser`;
}

interface OwnHeader {
  readonly classes: string[];
  readonly labels: number[];
}

async function keepOwn(
  given: readonly { path: string; file: File }[],
  onProgress: (done: number, total: number) => void,
) {
  // Browsers give a folder's files in an order of their own; which ones are for testing goes by their names.
  const images = given.filter(({ file }) => file.type.startsWith('image/')).sort((a, b) => (a.path < b.path ? -1 : 1));
  const folderOf = (path: string) => path.split('/').at(-2) ?? '';
  const classes = [...new Set(images.map(({ path }) => folderOf(path)))].filter(Boolean).sort();
  if (classes.length < 2)
    throw new Error('own images come in folders, one for each class, at least two: drop the folder that holds them');
  if (classes.length > 256) throw new Error(`${classes.length} classes are too many: at most 256`);
  const labels: number[] = [];
  const bytes = new Uint8Array(images.length * IMAGE_BYTES);
  for (const [i, { path, file }] of images.entries()) {
    bytes.set(await decodePicture(file), labels.length * IMAGE_BYTES);
    labels.push(classes.indexOf(folderOf(path)));
    if (i % 20 === 0) onProgress(i, images.length);
  }
  const json = new TextEncoder().encode(JSON.stringify({ classes, labels } satisfies OwnHeader));
  const all = new Uint8Array(4 + json.length + bytes.length);
  new DataView(all.buffer).setUint32(0, json.length);
  all.set(json, 4);
  all.set(bytes, 4 + json.length);
  await storeData(OWN, all);
  return `${images.length} images of ${classes.length} classes are here, and stay in this browser`;
}

async function loadOwn(): Promise<ImageDataset> {
  const all = await loadData(OWN);
  if (!all) throw new Error('there are no images of yours yet: drop a folder with one folder of images for each class');
  const length = new DataView(all.buffer).getUint32(0);
  const { classes, labels } = JSON.parse(new TextDecoder().decode(all.subarray(4, 4 + length))) as OwnHeader;
  return ownDataset(classes, labels, all.subarray(4 + length));
}
