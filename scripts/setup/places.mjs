// Where the set-up keeps things: the project's root and the user's cache folder.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** `$XDG_CACHE_HOME/dawnfield`, by default `~/.cache/dawnfield`. */
export function cacheFolder(env = process.env) {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dawnfield');
}
