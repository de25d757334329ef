// File helpers: content hashes as stamps, folders that appear whole or not at all, and work that one process does at a time.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SetupError } from './say.mjs';

/**
 * One hash over names and contents of files and folders; what is missing counts as empty, and so do installed packages.
 * @param {string} base folder that the names are relative to
 * @param {string[]} names
 */
export function hashOf(base, names) {
  const hash = createHash('sha256');
  /** @param {string} name */
  const visit = (name) => {
    const path = join(base, name);
    if (!existsSync(path) || basename(path) === 'node_modules') return;
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

/** How long `alone` waits for another process, in milliseconds. */
const PATIENCE = 600_000;

/**
 * Runs `body` while no other process runs one with the same lock: these wait, and then run theirs. A lock whose process has died is taken over.
 * @param {string} lock a file that is there as long as `body` runs, and names the process
 * @param {() => void} body
 */
export function alone(lock, body) {
  const end = Date.now() + PATIENCE;
  while (!take(lock)) {
    if (Date.now() > end)
      throw new SetupError(`another process has been at work for ten minutes. If there is none, remove ${lock}.`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
  try {
    body();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @param {string} lock @returns {boolean} whether it is ours now */
function take(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
  const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  // A lock this young may not name its process yet.
  if (age > 1000 && !isAlive(lock)) rmSync(lock, { force: true });
  return false;
}

/** @param {string} lock */
function isAlive(lock) {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'; // it is another user's
  }
}
