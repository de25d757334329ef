// Loaded before a program (`node --import faults.mjs …`): counts what the program does to the files of one folder, ends it at one of these
// events as a power switch would, or gives the folder a disk of so many bytes.
//
//   FAULTS_FOLDER   the folder
//   FAULTS_KILL     number of the event to end at, from 1: before it, or when half of what it writes is written
//   FAULTS_DISK     bytes that the files of the folder may take
//   FAULTS_REPORT   file that gets { events, peak } at the end: the number of events and the most bytes taken
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve, sep } from 'node:path';

const { FAULTS_FOLDER, FAULTS_KILL, FAULTS_DISK, FAULTS_REPORT } = process.env;
const folder = resolve(FAULTS_FOLDER ?? '');
const killAt = Number(FAULTS_KILL ?? 0);
const disk = Number(FAULTS_DISK ?? Infinity);
const original = { ...fs };
/** Files of the folder that are open. @type {Set<unknown>} */
const open = new Set();
let events = 0;
let peak = 0;

const isInside = (/** @type {unknown} */ path) =>
  open.has(path) || (typeof path === 'string' && (resolve(path) === folder || resolve(path).startsWith(folder + sep)));

const taken = () =>
  original.readdirSync(folder).reduce((sum, name) => sum + original.statSync(`${folder}${sep}${name}`).size, 0);

/** Counts an event; true at the one to end at. */
const isLast = () => ++events === killAt;
const end = () => process.kill(process.pid, 'SIGKILL');

for (const name of /** @type {const} */ ([
  ...['openSync', 'closeSync', 'fsyncSync', 'ftruncateSync', 'renameSync', 'linkSync', 'rmSync', 'mkdirSync'],
])) {
  /** @type {(...args: any[]) => any} */
  const perform = original[/** @type {'rmSync'} */ (name)];
  Object.assign(fs, {
    [name]: (/** @type {any[]} */ ...args) => {
      const inside = isInside(args[0]);
      if (inside && isLast()) end();
      const result = perform(...args);
      if (inside && name === 'openSync') open.add(result);
      if (name === 'closeSync') open.delete(args[0]);
      return result;
    },
  });
}

fs.writeFileSync = (/** @type {any} */ file, /** @type {any} */ content, /** @type {any} */ options) => {
  if (!isInside(file)) return original.writeFileSync(file, content, options);
  const bytes = Buffer.from(content);
  const write = (/** @type {number} */ length) => original.writeFileSync(file, bytes.subarray(0, length), options);
  if (isLast()) {
    write(bytes.length >> 1);
    end();
  }
  const room = disk - taken();
  if (bytes.length > room) {
    write(Math.max(0, room));
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  }
  write(bytes.length);
  peak = Math.max(peak, taken());
};

syncBuiltinESMExports();
if (FAULTS_REPORT) process.on('exit', () => original.writeFileSync(FAULTS_REPORT, JSON.stringify({ events, peak })));
