// A lock file that keeps two processes from writing into one folder.
// It names the process that holds it, so that the lock of a process that died can be taken over.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { explain } from './files.node.js';

interface Owner {
  pid: number;
  host: string;
  started: string;
  /** When the process began, in clock ticks since boot: tells it from a later process with the same pid. */
  ticks: string | null;
}

const held = new Set<string>();

/**
 * Takes the lock file `path` for this process until `release` or the end of the process.
 * Throws when a living process, or one on another machine, holds it; `what` names the locked thing in the error.
 */
export function acquireLock(path: string, what: string): { release(): void } {
  const { pid } = process;
  const own: Owner = { pid, host: hostname(), started: new Date().toISOString(), ticks: ticks(pid) };
  const take = () => writeFileSync(path, `${JSON.stringify(own)}\n`, { flag: 'wx' });
  try {
    take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new Error(`${path}: could not be written (${explain(error)})`, { cause: error });
    }
    const owner = readOwner(path);
    if (!owner) throw new Error(`${what} is locked by an unreadable ${path}; delete it if no process uses the folder`);
    if (isHeld(path, owner, own)) {
      const remedy = owner.host === own.host ? 'stop it, or wait for its end' : `if it has ended, delete ${path}`;
      throw new Error(
        `${what} is in use by process ${owner.pid} on ${owner.host}, started ${owner.started}; ${remedy}`,
      );
    }
    rmSync(path, { force: true });
    take();
  }
  if (held.size === 0) process.on('exit', releaseAll);
  held.add(path);
  return { release: () => release(path) };
}

function isHeld(path: string, owner: Owner, own: Owner): boolean {
  if (owner.host !== own.host) return true;
  if (owner.pid === own.pid) return held.has(path);
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return owner.ticks === ticks(owner.pid);
}

function readOwner(path: string): Owner | undefined {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as Owner;
    return Number.isInteger(owner?.pid) ? owner : undefined;
  } catch {
    return undefined;
  }
}

/** Start of a process as Linux states it; null elsewhere. */
function ticks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may hold blanks; the start is field 22.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function release(path: string): void {
  if (!held.delete(path)) return;
  // A lock that someone deleted and another process took since is not ours to remove.
  if (readOwner(path)?.pid === process.pid) rmSync(path, { force: true });
  if (held.size === 0) process.off('exit', releaseAll);
}

function releaseAll(): void {
  for (const path of held) release(path);
}
