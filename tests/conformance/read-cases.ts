// Reads the files of ../shared/conformance/vectors.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case } from './case';

/** The files of a folder of cases whose names match. */
export function readCases(folder: string, filter: RegExp): { file: string; cases: Case[] }[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json') && filter.test(name));
  return names.sort().map((name) => {
    const { schema, cases } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    if (schema !== 'conformance-vectors/1') throw new Error(`${name}: schema ${schema} is not conformance-vectors/1`);
    return { file: name.replace('.json', ''), cases };
  });
}
