// A lock file that keeps two processes from writing into one folder.
// It names the process that holds it, so that the lock of a process that died can be taken over.
//
// The file appears whole, by a hard link from a temporary one, and only one process can make it. A dead lock is removed only by the process
// that holds the lock of the removal, `<path>.takeover`, which looks once more before it does. That lock is one of the same kind.

import { linkSync, readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { explain, temporaryName, writeNew } from './files.node.js';

export interface Owner {
  pid: number;
  host: string;
  started: string;
  /** When the process began, in clock ticks since boot: tells it from a later process with the same pid. */
  ticks: string | null;
  /** Of a process that writes behind a fence (fence.node.ts): the number of its claim. A later claim takes the lock from an earlier one. */
  claim?: number;
}

/** Locks of this process, and as whom it holds them. */
const held = new Map<string, Owner>();
const cell = new Int32Array(new SharedArrayBuffer(4));
const nap = () => void Atomics.wait(cell, 0, 0, 20);
const NAPS = 25; // half a second: longer than anybody needs to write or to remove a lock

/**
 * Takes the lock file `path` for this process until `release` or the end of the process.
 * Throws when a living process, or one on another machine, holds it; `what` names the locked thing in the error. Behind a fence `claim` is the
 * number of this process's claim.
 */
export function acquireLock(path: string, what: string, claim?: number): { release(): void } {
  const own: Owner = { ...thisProcess(), ...(claim !== undefined && { claim }) };
  let owner: Owner | null;
  try {
    owner = take(path, own);
  } catch (error) {
    throw new Error(`${path}: could not be written (${explain(error)})`, { cause: error });
  }
  if (owner) {
    const remedy = owner.host === own.host ? 'stop it, or wait for its end' : `if it has ended, delete ${path}`;
    throw new Error(`${what} is in use by process ${owner.pid} on ${owner.host}, started ${owner.started}; ${remedy}`);
  }
  if (held.size === 0) process.on('exit', releaseAll);
  held.set(path, own);
  return { release: () => release(path, own) };
}

/** Who this process is, as lock files state it. */
export function thisProcess(): Owner {
  const { pid } = process;
  return { pid, host: hostname(), started: new Date().toISOString(), ticks: ticks(pid) };
}

/** Whether the process that a file names has ended for sure: only one of this machine can be known to. */
export function hasEnded(path: string): boolean {
  const owner = readOwner(path);
  return typeof owner === 'object' && !isHeld(path, owner, thisProcess());
}

/** Makes the lock file; null when that was done, else the process that holds it. */
function take(path: string, own: Owner): Owner | null {
  let naps = 0;
  for (;;) {
    if (make(path, `${JSON.stringify(own)}\n`)) return null;
    const owner = readOwner(path);
    if (owner === 'gone') continue;
    if (owner !== 'unreadable' && isHeld(path, owner, own)) return owner;
    // Without hard links a lock is empty for a moment; one that stays so was left by a crash of the machine.
    if (owner === 'unreadable' && naps++ < NAPS) {
      nap();
      continue;
    }
    const remover = take(`${path}.takeover`, own);
    if (remover) {
      if (naps++ > 2 * NAPS) return remover;
      nap();
      continue;
    }
    try {
      const now = readOwner(path);
      if (now !== 'gone' && (now === 'unreadable' || !isHeld(path, now, own))) rmSync(path, { force: true });
    } finally {
      rmSync(`${path}.takeover`, { force: true });
    }
  }
}

/** Makes a file with this content unless there is one; false when there is. */
function make(path: string, content: string): boolean {
  const made = temporaryName(path);
  writeNew(made, content);
  try {
    linkSync(made, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    return makeUnlinked(path, content);
  } finally {
    rmSync(made, { force: true });
  }
}

/** For file systems without hard links. */
function makeUnlinked(path: string, content: string): boolean {
  try {
    writeNew(path, content);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isHeld(path: string, owner: Owner, own: Owner): boolean {
  if (own.claim !== undefined && owner.claim !== undefined && owner.claim < own.claim) return false;
  if (owner.host !== own.host) return true;
  // Another thread, or another copy of this module, holds it for the same process.
  if (owner.pid === own.pid) return held.has(path) || (owner.ticks !== null && owner.ticks === own.ticks);
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return owner.ticks === ticks(owner.pid);
}

function readOwner(path: string): Owner | 'gone' | 'unreadable' {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as Owner;
    return Number.isSafeInteger(owner?.pid) && owner.pid > 0 && typeof owner.host === 'string' ? owner : 'unreadable';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : 'unreadable';
  }
}

/** Start of a process as Linux states it; null elsewhere. A process that has ended but was not waited for has none. */
function ticks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold blanks; the state is field 3, the start field 22.
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return rest[0] === 'Z' || rest[0] === 'X' ? 'ended' : (rest[19] ?? null);
  } catch {
    return null;
  }
}

function release(path: string, own: Owner): void {
  if (held.get(path) !== own) return;
  held.delete(path);
  // A lock that someone deleted and another process took since is not ours to remove.
  const owner = readOwner(path);
  if (typeof owner === 'object' && owner.pid === process.pid && owner.host === hostname())
    rmSync(path, { force: true });
  if (held.size === 0) process.off('exit', releaseAll);
}

function releaseAll(): void {
  for (const [path, own] of held) release(path, own);
}
