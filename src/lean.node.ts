// `lean.ts` in Node: with Dawn as the GPU, and what needs a file system.
import './gpu/node';
import { readBytes, writeAtomic } from './files/files.node.js';
import { disk } from './nn/stored';

Object.assign(disk, { read: readBytes, write: writeAtomic });

export type { ImageFolderOptions } from './data/image-folder.node.js';
export { ImageFolder } from './data/image-folder.node.js';
export { loadTorch } from './formats/load.node.js';
export * from './lean';
