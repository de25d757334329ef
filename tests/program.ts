// How tests start programs of the project: from the bundles that the runner has made, or, in a test that runs by itself, through tsx.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bundleCode, bundled, FOLDER, root } from './bundle';

let programs = 0;

/** Arguments for Node that run a TypeScript file, given by its path below the root. */
export function programOf(source: string): string[] {
  const folder = process.env[FOLDER];
  const bundle = folder && bundled(folder, source);
  return bundle && existsSync(bundle) ? ['--enable-source-maps', bundle] : ['--import', 'tsx', join(root, source)];
}

/** Arguments for Node that run an ES module given as text, whose imports start at the root. */
export async function programOfCode(code: string): Promise<string[]> {
  const folder = process.env[FOLDER];
  if (!folder) return ['--import', 'tsx', '--input-type=module', '--eval', code];
  return ['--enable-source-maps', await bundleCode(folder, `code-${process.pid}-${++programs}`, code)];
}
