// Reading and writing files whole: a reader never sees half a file, and errors say which file and why.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes a file so that `path` holds either its old content or all of the new one, whatever interrupts the write:
 * into a temporary file of the same folder, flushed to the disk, then renamed.
 */
export function writeAtomic(path: string, content: Uint8Array | string): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    const file = openSync(temporary, 'w');
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new Error(`${path}: could not be written (${explain(error)}); what was there before is unchanged`, {
      cause: error,
    });
  }
}

/** The bytes of a file. Throws an error that names it. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${path}: could not be read (${explain(error)})`, { cause: error });
  }
}

/** The JSON value in a file. Throws an error that names it. */
export const readJson = (path: string): unknown => parseJson(new TextDecoder().decode(readBytes(path)), `${path}:`);

/** The JSON value of a text; errors begin with `what`, the place that it stands in. */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON (${(error as Error).message})`, { cause: error });
  }
}

const reasons: Record<string, string> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'part of the path is a file',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
};

/** A system error in words. */
export function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? message;
}
