// File helpers: content hashes as stamps, and folders that appear whole or not at all.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * One hash over names and contents of files and folders; what is missing counts as empty.
 * @param {string} base folder that the names are relative to
 * @param {string[]} names
 */
export function hashOf(base, names) {
  const hash = createHash('sha256');
  /** @param {string} name */
  const visit = (name) => {
    const path = join(base, name);
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      for (const child of readdirSync(path).sort()) visit(join(name, child));
    } else {
      const bytes = readFileSync(path);
      hash.update(`${name}\0${bytes.length}\0`).update(bytes);
    }
  };
  for (const name of names) visit(name);
  return hash.digest('hex');
}

/** The JSON in a file, or null where it is missing or damaged.
 * @param {string} path */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/** A name beside `path` that nobody can guess, for what is not complete yet.
 * @param {string} path */
export const partOf = (path) => `${path}.${randomUUID()}.part`;

/** Writes a file so that a reader sees the old or the new one, never a part.
 * @param {string} path @param {string} text */
export function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  sweep(dirname(path), basename(path));
  const part = partOf(path);
  try {
    writeFileSync(part, text, { flag: 'wx' });
    renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
}

/**
 * Fills a folder beside its place and renames it when done: an interrupted attempt leaves no half folder,
 * and of two attempts at once the first to end wins.
 * @param {string} folder
 * @param {(part: string) => void} fill
 */
export function appear(folder, fill) {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  mkdirSync(parent, { recursive: true });
  sweep(parent, basename(folder));
  const part = partOf(folder);
  mkdirSync(part);
  try {
    fill(part);
    renameSync(part, folder);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

/** Removes what attempts that were killed more than an hour ago have left.
 * @param {string} parent @param {string} name */
export function sweep(parent, name) {
  for (const entry of readdirSync(parent)) {
    if (!entry.startsWith(`${name}.`) || !entry.endsWith('.part')) continue;
    const path = join(parent, entry);
    if (Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}
