// What stays in the browser between visits (OPFS): the last checkpoints of the experiment, and data sets. Nothing leaves this machine.
//
// Two slots are written in turns, each ended by a word: a tab that dies while it writes leaves the other one whole. They belong to one tab.

import type { History } from '../protocol';
import type { Settings } from '../settings';

/** Synchronous access, which workers have in every browser. TypeScript knows it only in its library for workers. */
interface SyncHandle {
  read(into: Uint8Array, options?: { at: number }): number;
  write(bytes: Uint8Array, options?: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
  getSize(): number;
}
type SyncFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncHandle> };

export interface Saved {
  readonly settings: Settings;
  /** Factor on the rate that was set by hand. */
  readonly rate: number;
  readonly histories: readonly History[];
  readonly checkpoints: readonly Uint8Array<ArrayBuffer>[];
}

interface Header extends Omit<Saved, 'checkpoints'> {
  readonly serial: number;
  readonly sizes: readonly number[];
}

const END = 0x444f4e45; // 'DONE'
const SLOTS = ['experiment-0', 'experiment-1'] as const;

async function folder(name?: string): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  const own = await root.getDirectoryHandle('dawnfield', { create: true });
  return name ? own.getDirectoryHandle(name, { create: true }) : own;
}

/** Files that are being opened. Chromium 156 drops the request of one that is collected meanwhile: its promise would never settle. */
const opening = new Set<SyncFile>();

async function open(file: SyncFile): Promise<SyncHandle> {
  opening.add(file);
  try {
    return await file.createSyncAccessHandle();
  } finally {
    opening.delete(file);
  }
}

/** Replaces a file. Where the storage is full, there is none of this name afterwards, and it says so. */
async function write(dir: FileSystemDirectoryHandle, name: string, parts: readonly Uint8Array[]): Promise<void> {
  const wanted = parts.reduce((sum, part) => sum + part.length, 0);
  let at = 0;
  let cause: unknown;
  const file = (await dir.getFileHandle(name, { create: true })) as SyncFile;
  const handle = await open(file);
  try {
    handle.truncate(0);
    for (const part of parts) at += handle.write(part, { at });
    handle.flush();
  } catch (error) {
    [at, cause] = [Math.min(at, wanted - 1), error];
  } finally {
    handle.close();
  }
  if (at === wanted) return;
  await dir.removeEntry(name).catch(() => undefined);
  const megabytes = (wanted / 1e6).toFixed(1);
  throw new Error(
    `the storage that this browser allows the page is full: ${megabytes} MB did not fit. Free some space, or allow the site more`,
    { cause },
  );
}

async function read(dir: FileSystemDirectoryHandle, name: string): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    const file = await (await dir.getFileHandle(name)).getFile();
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    return null;
  }
}

let serial = 0;

let isMine = false;
let isFirst = true;

/**
 * Whether the slots are this tab's. Of several that are open the first one has them, until it is closed. The first question waits: the page that
 * was here before a reload may not be quite gone.
 */
async function owned(): Promise<boolean> {
  if (isMine) return true;
  const options = isFirst ? { signal: AbortSignal.timeout(1500) } : { ifAvailable: true };
  isFirst = false;
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => {
      isMine = lock !== null;
      resolve(isMine);
      return isMine ? new Promise(() => undefined) : undefined;
    };
    navigator.locks.request('dawnfield-experiment', options, hold).catch(() => resolve(false));
  });
}

/** Saves the experiment into the older slot. */
export async function saveExperiment({ checkpoints, ...rest }: Saved): Promise<void> {
  if (!(await owned()))
    throw new Error('another tab keeps its run in this browser. Close it, or download a checkpoint here');
  serial++;
  const header: Header = { ...rest, serial, sizes: checkpoints.map(({ length }) => length) };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const [length, end] = [new Uint8Array(4), new Uint8Array(4)];
  new DataView(length.buffer).setUint32(0, json.length);
  new DataView(end.buffer).setUint32(0, END);
  await write(await folder(), SLOTS[serial % 2 ? 1 : 0], [length, json, ...checkpoints, end]);
}

/** The experiment that was saved last; null where there is none, or where it is that of another tab. */
export async function loadExperiment(): Promise<Saved | null> {
  if (!(await owned())) return null;
  const dir = await folder();
  const found = (await Promise.all(SLOTS.map(async (name) => parse(await read(dir, name))))).filter((x) => x !== null);
  found.sort((a, b) => b.serial - a.serial);
  const [newest] = found;
  if (newest) serial = newest.serial;
  return newest ?? null;
}

function parse(bytes: Uint8Array<ArrayBuffer> | null): (Saved & { serial: number }) | null {
  if (!bytes || bytes.length < 8) return null;
  const view = new DataView(bytes.buffer);
  if (view.getUint32(bytes.length - 4) !== END) return null;
  try {
    const length = view.getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header;
    let at = 4 + length;
    const checkpoints = header.sizes.map((size) => bytes.slice(at, (at += size)));
    return at + 4 === bytes.length ? { ...header, checkpoints } : null;
  } catch {
    return null;
  }
}

export async function forgetExperiment(): Promise<void> {
  if (!(await owned())) return;
  const dir = await folder();
  for (const name of SLOTS) await dir.removeEntry(name).catch(() => undefined);
}

export const storeData = async (name: string, bytes: Uint8Array): Promise<void> =>
  write(await folder('data'), name, [bytes]);

export const loadData = async (name: string): Promise<Uint8Array<ArrayBuffer> | null> =>
  read(await folder('data'), name);

/** Whether data of this name and size are there. */
export async function hasData(name: string): Promise<boolean> {
  try {
    return (await (await (await folder('data')).getFileHandle(name)).getFile()).size > 0;
  } catch {
    return false;
  }
}
