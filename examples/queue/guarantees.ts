// What a shared folder must guarantee, as far as one machine can try it out: docs/sweeps.md has the whole list.

import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { explain } from '../../src/files/files.node.js';

/** Each guarantee, and a trial in a folder of its own: true where it holds. */
const TRIALS: [guarantee: string, holds: (folder: string) => boolean][] = [
  [
    'a rename replaces a file at once, and its content is the new one',
    (folder) => {
      const [old, made] = [join(folder, 'a'), join(folder, 'b')];
      writeFileSync(old, 'old');
      const reader = openSync(old, 'r');
      try {
        writeFileSync(made, 'new');
        renameSync(made, old);
        return readFileSync(old, 'utf8') === 'new' && readFileSync(reader, 'utf8') === 'old';
      } finally {
        closeSync(reader);
      }
    },
  ],
  [
    'what was written is there, and listed, once the file is closed',
    (folder) => {
      writeFileSync(join(folder, 'closed'), 'x'.repeat(1 << 16));
      return readFileSync(join(folder, 'closed')).length === 1 << 16 && readdirSync(folder).includes('closed');
    },
  ],
  [
    'a file is created by one process only',
    (folder) => refused('EEXIST', () => openSync(join(folder, 'closed'), 'wx')),
  ],
  [
    'a folder is made by one process only',
    (folder) => {
      mkdirSync(join(folder, 'own'));
      return refused('EEXIST', () => mkdirSync(join(folder, 'own')));
    },
  ],
  [
    'nothing is renamed out of a folder that is gone',
    (folder) => {
      writeFileSync(join(folder, 'own', 'late'), '');
      renameSync(join(folder, 'own'), join(folder, 'gone'));
      return refused('ENOENT', () => renameSync(join(folder, 'own', 'late'), join(folder, 'late')));
    },
  ],
];

function refused(code: string, attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return true;
    throw error;
  }
}

/** Tries the guarantees out. Throws an error that names the one that does not hold. */
export function checkShared(out: string): void {
  const folder = join(out, `.check-${randomUUID()}`);
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new Error(`--out ${out}: cannot be written (${explain(error)})`, { cause: error });
  }
  try {
    for (const [guarantee, holds] of TRIALS) {
      let found = '';
      try {
        if (holds(folder)) continue;
      } catch (error) {
        found = ` (${explain(error)})`;
      }
      throw new Error(
        `--out ${out}: this file system does not do what workers rely on: ${guarantee}${found}. docs/sweeps.md says which ones do.`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
