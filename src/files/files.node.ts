// Reading and writing files whole: a reader never sees half a file, and errors say which file and why.

import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** A name beside `path` that nobody can guess or has taken: what is written there can be no one else's file. */
export const temporaryName = (path: string): string => join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);

const temporary = /^\.(.+)\.([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+)\.tmp$/;

/** Removes what killed processes have left of the files called `names` in a folder that nobody else writes to now. */
export function sweepTemporaries(folder: string, names: readonly string[]): void {
  for (const entry of readdirSync(folder)) {
    const [, name] = temporary.exec(entry) ?? [];
    if (name !== undefined && names.includes(name)) rmSync(join(folder, entry), { force: true });
  }
}

/** Makes a new file with this content; with `flush` it is on the disk when the call returns. Nothing is left of it when that fails. */
export function writeNew(path: string, content: Uint8Array | string, { flush = false } = {}): void {
  const file = openSync(path, 'wx');
  try {
    try {
      writeFileSync(file, content);
      if (flush) fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/**
 * Writes a file so that `path` holds either its old content or all of the new one, whatever interrupts the write: into a temporary file of the
 * same folder, or of another one of the same file system, `through`, flushed to the disk, then renamed.
 */
export function writeAtomic(path: string, content: Uint8Array | string, through = dirname(path)): void {
  const made = temporaryName(join(through, basename(path)));
  try {
    writeNew(made, content, { flush: true });
    renameSync(made, path);
  } catch (error) {
    rmSync(made, { force: true });
    throw new Error(`${path}: could not be written (${explain(error)}); what was there before is unchanged`, {
      cause: error,
    });
  }
  flushFolder(dirname(path));
}

/** Renamed files survive a power failure in the order of their renames. Not every system can flush a folder. */
function flushFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {}
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
