// ImageFolder: a folder with one folder of image files per class, as a data set.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { at } from '../../shaders/checked';
import { InputError } from '../gpu';
import { checked, is } from '../gpu/options';
import type { HostArray } from './collate';
import type { Dataset } from './dataset';

/** Size of the images, and what decodes a file. */
export interface ImageFolderOptions {
  /** Height and width of the images (default 32). */
  size?: number;
  /** Turns a file into [3, size, size] values; default: the package `sharp`, shorter side to `size`, centre crop, values in [0, 1]. */
  decode?: (path: string, size: number) => Promise<HostArray>;
}

const IMAGE = /\.(png|jpe?g|webp|gif|avif|tiff?)$/i;

async function decodeWithSharp(path: string, size: number): Promise<HostArray> {
  const name = 'sharp'; // not a dependency of the framework: only who uses this decoder needs it
  const sharp = await import(name).then(
    (module) => module.default,
    () => {
      throw new InputError("ImageFolder: install the package 'sharp' to decode images, or pass { decode }");
    },
  );
  const image = sharp(path).resize(size, size, { fit: 'cover' }).flatten().removeAlpha().toColourspace('srgb').raw();
  const pixels: Uint8Array = await image.toBuffer().catch((error: Error) => {
    throw new InputError(`ImageFolder: ${path} cannot be decoded: ${error.message}`);
  });
  const data = new Float32Array(3 * size * size);
  pixels.forEach((value, i) => (data[(i % 3) * size * size + Math.floor(i / 3)] = value / 255));
  return { data, shape: [3, size, size] };
}

/** Samples [image, class number]; classes are the folder's subfolders in alphabetical order. */
export class ImageFolder implements Dataset<[HostArray, number]> {
  /** Names of the folders, sorted: label i is `classes[i]`. */
  readonly classes: string[];
  /** The image files, by class and then by name, with their labels. */
  readonly files: readonly { path: string; label: number }[];

  constructor(
    /** The folder that holds a folder for each class. */
    readonly root: string,
    /** As they were given, without defaults. */
    readonly options: ImageFolderOptions = {},
  ) {
    checked('ImageFolder', options, { size: is.number, decode: is.func });
    if (!existsSync(root)) throw new InputError(`ImageFolder: there is no folder ${root}`);
    this.classes = readdirSync(root)
      .filter((name) => statSync(join(root, name)).isDirectory())
      .sort();
    this.files = this.classes.flatMap((name, label) =>
      readdirSync(join(root, name))
        .filter((file) => IMAGE.test(file))
        .sort()
        .map((file) => ({ path: join(root, name, file), label })),
    );
    if (this.files.length === 0)
      throw new InputError(`ImageFolder: ${root} holds no folders with images (one folder for each class is expected)`);
  }

  /** Number of image files. */
  get length(): number {
    return this.files.length;
  }

  /** The image [3, size, size] of file `index`, decoded now, and its label. */
  async get(index: number): Promise<[HostArray, number]> {
    const { path, label } = at(this.files, index);
    const { size = 32, decode = decodeWithSharp } = this.options;
    return [await decode(path, size), label];
  }
}
