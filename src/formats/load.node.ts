// Reading such files from a disk.
import { readFileSync } from 'node:fs';
import { parseTorch, type TorchFile } from './torch';

/** Reads what `torch.save` wrote (.pt, .pth, .th). See `parseTorch`; `loadWeights(model, Object.fromEntries(file.tensors))` takes it on. */
export const loadTorch = (path: string): TorchFile => parseTorch(readFileSync(path), path);
