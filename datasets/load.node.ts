// Finds CIFAR-10 and CIFAR-100 on disk, downloads them, or falls back to the synthetic set: the data's file-system edge.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { list } from 'tar';
import {
  CIFAR,
  type CifarFormat,
  type CifarKind,
  concatSplits,
  type ImageDataset,
  parse,
  type Split,
  type SplitName,
} from './cifar';
import { download, md5OfFile, Unreachable } from './download.node.js';
import { type SyntheticOptions, synthetic } from './synthetic';

export interface LoadOptions {
  readonly dataset: CifarKind | 'synthetic' | 'synthetic100';
  /** A folder with the official .bin files, its parent, or the official archive. Nothing there is an error. */
  readonly data?: string;
  /** Whether files that are nowhere may be downloaded (default true). */
  readonly download?: boolean;
  /** Whether the synthetic set may stand in (default true); false makes missing data an error. */
  readonly fallback?: boolean;
  /** Which splits are needed (default both); the others have count 0. */
  readonly splits?: readonly SplitName[];
  /** Size and seed of the synthetic set. */
  readonly synthetic?: Omit<SyntheticOptions, 'classes'>;
  /** Address and checksum of the archive, where it is not to be the official one. */
  readonly url?: string;
  readonly md5?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Bytes of the archive so far and in all (undefined where the server does not say). */
  readonly onProgress?: (received: number, total: number | undefined) => void;
  /** Gets the lines for people: where the data come from, and loudly when they are synthetic. */
  readonly log?: (line: string) => void;
}

/** `$XDG_CACHE_HOME/dawnfield/datasets`, by default `~/.cache/dawnfield/datasets`. */
export function cacheFolder(env: LoadOptions['env'] = process.env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dawnfield', 'datasets');
}

/**
 * Loads a data set: from `data`, else from where the environment variable DAWNFIELD_DATA points, else from the cache
 * folder, else by download into it; where all that fails for want of data and network, draws the synthetic set and says
 * so through `log`.
 *
 * Throws where a place that the user named holds nothing, where files are missing, truncated or damaged, and where a
 * download breaks off; every message says what to do.
 */
export async function loadCifar(options: LoadOptions): Promise<ImageDataset> {
  const { dataset, env = process.env, log } = options;
  if (dataset === 'synthetic' || dataset === 'synthetic100') {
    return drawn(options, dataset === 'synthetic' ? 10 : 100);
  }
  const format = CIFAR[dataset];
  if (!format) {
    throw new Error(
      `unknown data set '${dataset}': expected ${[...Object.keys(CIFAR), 'synthetic', 'synthetic100'].join(', ')}`,
    );
  }
  const source = { url: options.url ?? format.url, md5: options.md5 ?? format.md5 };
  const reasons: string[] = [];

  for (const [name, path] of [
    ['--data', options.data],
    ['DAWNFIELD_DATA', env.DAWNFIELD_DATA],
  ] as const) {
    if (!path) {
      reasons.push(`${name}: not given`);
      continue;
    }
    const found = locate(path, format);
    if (!found) throw nothingThere(name, path, format);
    return read(found, options, source);
  }

  const cache = cacheFolder(env);
  const cached = locate(cache, format);
  if (cached) return read(cached, options, source);
  reasons.push(`${cache}: no ${format.folder}`);

  if (options.download === false) {
    reasons.push(`${source.url}: download is switched off`);
  } else {
    try {
      log?.(`Downloading ${format.title} from ${source.url} to ${cache}`);
      const archive = join(cache, format.archive);
      await download({ ...source, to: archive, onProgress: options.onProgress });
      await unpack(archive, join(cache, format.folder), format);
      return read({ kind: 'folder', path: join(cache, format.folder) }, options, source);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      reasons.push(error.message);
    }
  }

  const remedy = `Unpack ${format.url} anywhere and pass --data FOLDER, or set DAWNFIELD_DATA=FOLDER.`;
  if (options.fallback === false) throw new Error([`${format.title} was not found:`, ...reasons, remedy].join('\n  '));
  log?.(`!!! ${format.title} was not found. SYNTHETIC images take its place: drawn shapes and textures,`);
  log?.(`!!! learnable, but their error rates say nothing about ${format.title}.`);
  for (const reason of reasons) log?.(`!!!   ${reason}`);
  log?.(`!!! ${remedy}`);
  return drawn(options, dataset === 'cifar10' ? 10 : 100);
}

/** The synthetic set with the splits that were asked for. */
function drawn({ splits, synthetic: size }: LoadOptions, classes: 10 | 100): ImageDataset {
  const absent = (split: SplitName) => splits?.includes(split) === false && { [split]: 0 };
  return synthetic({ ...size, ...absent('train'), ...absent('test'), classes });
}

interface Place {
  readonly kind: 'folder' | 'archive';
  readonly path: string;
}

const fileNames = (format: CifarFormat): string[] => [...format.files.train, ...format.files.test];

/** Where below `path` the data set lies: the .bin files, the folder that holds them, or the archive. */
function locate(path: string, format: CifarFormat): Place | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return null;
  if (!stat.isDirectory()) return /\.(tar\.gz|tgz)$/.test(path) ? { kind: 'archive', path } : null;
  for (const folder of [path, join(path, format.folder)]) {
    if (fileNames(format).some((name) => existsSync(join(folder, name)))) return { kind: 'folder', path: folder };
  }
  const archive = join(path, format.archive);
  return existsSync(archive) ? { kind: 'archive', path: archive } : null;
}

function nothingThere(name: string, path: string, format: CifarFormat): Error {
  const what = existsSync(path) ? 'holds no' : 'does not exist, so it holds no';
  return new Error(
    `${name} ${path} ${what} ${format.title}: expected the folder with ${fileNames(format).join(', ')}, ` +
      `or its parent with ${format.folder}/ or ${format.archive} inside, or that archive itself. ` +
      `Get it from ${format.url}, or leave ${name} out for a download.`,
  );
}

/** Reads the splits that were asked for. */
async function read(place: Place, options: LoadOptions, source: { url: string; md5: string }): Promise<ImageDataset> {
  const kind = options.dataset as CifarKind;
  const format = CIFAR[kind];
  const splits = options.splits ?? ['train', 'test'];
  const wanted = splits.flatMap((split) => format.files[split]);
  if (place.kind === 'archive') await checkArchive(place.path, source);
  const entries = place.kind === 'archive' ? await readArchive(place.path, fileNames(format)) : undefined;
  const has = (name: string): boolean => entries?.has(name) ?? existsSync(join(place.path, name));
  const absent = wanted.filter((name) => !has(name));
  if (absent.length > 0) {
    const part = format.files.test.every(has) ? ' The test set is there: enough to evaluate, not to train.' : '';
    throw new Error(
      `${place.path} lacks ${absent.join(', ')} of ${format.title}.${part} Get all files from ${format.url}.`,
    );
  }
  const load = (split: SplitName): Split => {
    if (!splits.includes(split)) return { images: new Uint8Array(0), labels: new Uint8Array(0), count: 0 };
    return concatSplits(
      format.files[split].map((name) => {
        const file = join(place.path, name);
        return parse(entries?.get(name) ?? readFileSync(file), kind, split, file);
      }),
    );
  };
  const { classes, mean, std } = format;
  const train = load('train');
  const test = load('test');
  options.log?.(`${format.title}: ${train.count} training and ${test.count} test images from ${place.path}`);
  return { name: kind, classes, train, test, mean, std, source: place.path, synthetic: false };
}

async function checkArchive(path: string, source: { url: string; md5: string }): Promise<void> {
  const found = await md5OfFile(path);
  if (found === source.md5) return;
  throw new Error(
    `${path}: md5 ${found}, expected ${source.md5} (${statSync(path).size} bytes found): the archive is incomplete or ` +
      `damaged. Delete it and fetch ${source.url} again, or name a folder with the unpacked .bin files.`,
  );
}

/** The contents of the files of a .tar.gz whose base names are in `names`. */
async function readArchive(path: string, names: readonly string[]): Promise<Map<string, Uint8Array>> {
  const contents = new Map<string, Uint8Array>();
  try {
    await list({
      file: path,
      strict: true,
      onReadEntry: (entry) => {
        const name = basename(entry.path);
        if (entry.type !== 'File' || !names.includes(name)) return;
        const chunks: Buffer[] = [];
        entry.on('data', (chunk: Buffer) => chunks.push(chunk));
        entry.on('end', () => contents.set(name, Buffer.concat(chunks)));
      },
    });
  } catch (error) {
    throw new Error(
      `${path}: not a readable .tar.gz archive (${(error as Error).message}). Delete it and fetch it again.`,
    );
  }
  return contents;
}

/** Unpacks a checked archive to `folder`, which appears only when it is complete, and removes the archive. */
async function unpack(archive: string, folder: string, format: CifarFormat): Promise<void> {
  const contents = await readArchive(archive, fileNames(format));
  const growing = `${folder}.${randomUUID()}.part`;
  mkdirSync(growing, { recursive: true });
  try {
    for (const [name, bytes] of contents) writeFileSync(join(growing, name), bytes);
    renameSync(growing, folder);
  } catch (error) {
    rmSync(growing, { recursive: true, force: true });
    // Another process may have been faster.
    if (!fileNames(format).every((name) => existsSync(join(folder, name)))) throw error;
  }
  rmSync(archive, { force: true });
}
