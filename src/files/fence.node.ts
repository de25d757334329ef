// A fence around a folder that several machines may want to write to: of all claims to it only the writes of the newest one arrive.
//
//   .writer-7/             of claim 7: its holder makes files in here and renames them to their places
//   .writer-7/owner.json   the process that holds it
//   .writer-7/beat         changes every few seconds as long as that process lives
//   .writer-7.ended/       what is left of a claim that has ended, so that its number is not given again
//
// A lock tells who may begin. It cannot stop a process that slept until its lock was given to another one, and wakes up in the middle of a
// write. Here that write fails: a new claim removes the folders of the earlier ones, and nothing can be renamed out of a folder that is gone.
// Silence is measured by the watcher's own clock: the machines' clocks need not agree. What the file system must guarantee: docs/sweeps.md.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasEnded, thisProcess } from './lock.node.js';

/** A claim as the process that writes has it: plain data, which may come from the process that made the claim. */
export interface HeldClaim {
  /** The fencing token: each claim to a folder has a higher one than those before. */
  readonly number: number;
  /** The folder to write through. */
  readonly folder: string;
}

/** The claim of this process to a folder. */
export interface Claim extends HeldClaim {
  /** Shows that the holder lives, with what watchers may read; false when a later claim has taken the folder. */
  beat(status?: object): boolean;
  /** Ends the claim. */
  release(): void;
}

/** A later claim has taken the folder: whoever gets this must stop, and has written nothing. */
export class FencedError extends Error {
  override name = 'FencedError';
}

/** Throws FencedError when the claim has been taken. */
export function checkClaim({ number, folder }: HeldClaim): void {
  if (existsSync(folder)) return;
  throw new FencedError(
    `${folder} is gone: claim ${number} was taken over, as its process was silent for too long. It stops here; the run goes on elsewhere.`,
  );
}

const pattern = /^\.writer-(\d+)(\.ended)?$/;
const folderOf = (path: string, number: number): string => join(path, `.writer-${number}`);
const ended = (folder: string): string => `${folder}.ended`;

/** Numbers of the claims to a folder, in ascending order: more than one only while one is taken over. */
function claimsTo(path: string): number[] {
  const numbers = readdirSync(path).flatMap((name) => Number(pattern.exec(name)?.[1] ?? []));
  return numbers.sort((a, b) => a - b);
}

/** What the holder of a folder said last, or null where nobody holds it. */
export function readBeat(path: string): string | null {
  try {
    const newest = claimsTo(path).at(-1);
    return newest === undefined ? null : readFileSync(join(folderOf(path, newest), 'beat'), 'utf8');
  } catch {
    return null;
  }
}

/**
 * Claims a folder, which is made if need be; null while another process holds it: one that beats, or has been silent for less than `silence`
 * seconds. The lock `lock` in the folder tells whether a process of this machine that wrote for a dead holder is still about to save.
 */
export async function claimFolder(path: string, lock: string, silence: number): Promise<Claim | null> {
  mkdirSync(path, { recursive: true });
  const earlier = claimsTo(path);
  const newest = earlier.at(-1) ?? 0;
  if (newest > 0 && !(await isSilent(folderOf(path, newest), join(path, lock), silence))) return null;
  const number = newest + 1;
  const folder = folderOf(path, number);
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null; // another claimant was faster
    throw error;
  }
  // The first list may have come from the cache of a network file system; after the new folder it cannot.
  if (claimsTo(path).some((other) => other > number)) {
    remove(folder);
    return null;
  }
  writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...thisProcess(), claim: number }));
  let beats = 0;
  const claim: Claim = {
    number,
    folder,
    beat(status = {}) {
      try {
        writeFileSync(join(folder, 'beat'), JSON.stringify({ ...status, beats: ++beats }));
        return true;
      } catch (error) {
        if (!existsSync(folder)) return false;
        throw error;
      }
    },
    release() {
      if (!existsSync(folder)) return;
      mkdirSync(ended(folder), { recursive: true });
      remove(folder);
    },
  };
  claim.beat();
  for (const old of claimsTo(path))
    if (old < number) for (const name of [folderOf(path, old), ended(folderOf(path, old))]) remove(name);
  return claim;
}

/** Waits for a beat; false as soon as there is one. True at once where the holder and its writer were processes of this machine that have ended. */
async function isSilent(folder: string, lock: string, silence: number): Promise<boolean> {
  const owner = join(folder, 'owner.json');
  const read = () => {
    try {
      return readFileSync(join(folder, 'beat'), 'utf8');
    } catch {
      return null;
    }
  };
  const first = read();
  for (let waited = 0; waited < silence; waited += silence / 20) {
    if (!existsSync(folder)) return true; // released
    if (hasEnded(owner) && (!existsSync(lock) || hasEnded(lock))) return true;
    await new Promise((resolve) => setTimeout(resolve, (1000 * silence) / 20));
    if (read() !== first) return !existsSync(folder);
  }
  return true;
}

/**
 * Takes a claim's folder away. The rename ends it for all who go by its name. Another client of a network file system may know it by its handle:
 * for it the files in it must go as well.
 */
function remove(folder: string): void {
  const gone = `${folder}.${randomUUID()}.gone`;
  try {
    renameSync(folder, gone);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    rmSync(gone, { recursive: true, force: true, maxRetries: 10 });
  } catch {} // a file that this machine holds open there (NFS): by its name it cannot be reached any more
}
