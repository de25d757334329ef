// Download of one file over HTTP: progress, resume of an earlier attempt, md5 check. Reached only from load.node.ts.
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { dirname } from 'node:path';

/** The server could not be reached or refused: there is no network, or not this file. */
export class Unreachable extends Error {
  override name = 'Unreachable';
}

/** Trying again would not help: what the server sends cannot be the file. */
class Hopeless extends Error {}

export interface DownloadOptions {
  readonly url: string;
  readonly md5: string;
  /** Where the file goes; until it is complete and checked its name ends in `.part`. */
  readonly to: string;
  /** Bytes on disk so far and in all (undefined where the server does not say). */
  readonly onProgress?: (received: number, total: number | undefined) => void;
  /** Milliseconds to wait for the server's first answer, and later for the next bytes. */
  readonly connectTimeout?: number;
  readonly stallTimeout?: number;
  /** The most that is taken, whatever length the server states or does not state (default 256 MiB; the archives have some 170 MB). */
  readonly maxBytes?: number;
}

const ATTEMPTS = 5;
const MAX_BYTES = 2 ** 28;

/**
 * Fetches `url` to `to`, going on with `to.part` where an earlier attempt left one.
 *
 * Throws Unreachable when no server answers the first request with the file; throws an ordinary error that says how to go on when the
 * transfer broke off `ATTEMPTS` times, and when the md5 is wrong even after a fresh start (the file is then removed).
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, md5, to } = options;
  const part = `${to}.part`;
  try {
    mkdirSync(dirname(to), { recursive: true });
  } catch (error) {
    throw new Error(`no place for downloads (${(error as Error).message}): set XDG_CACHE_HOME to a writable folder`);
  }
  for (let attempt = 1; ; attempt++) {
    const resumed = size(part) > 0;
    try {
      await transfer(options, part);
    } catch (error) {
      if (error instanceof Unreachable && attempt === 1) throw error;
      if (error instanceof Hopeless) {
        rmSync(part, { force: true });
        throw new Error(
          `${url}: ${error.message}. The download was removed. Fetch the file by another way and name it with --data.`,
        );
      }
      if (attempt < ATTEMPTS) continue;
      throw new Error(
        `${url}: broke off after ${size(part)} bytes (${(error as Error).message}). Start again to go on from there.`,
      );
    }
    const found = await md5OfFile(part);
    if (found === md5) break;
    rmSync(part);
    // The bytes of an earlier attempt may belong to another version of the file: one fresh start.
    if (resumed && attempt < ATTEMPTS) continue;
    throw new Error(
      `${url}: md5 ${found}, expected ${md5}: the server, or a proxy on the way, sent something else. ` +
        `The download was removed. Fetch the file by another way and name it with --data.`,
    );
  }
  renameSync(part, to);
}

/** Appends what is missing of `url` to `part`, or starts again where the server cannot resume. */
async function transfer(options: DownloadOptions, part: string): Promise<void> {
  const { url, onProgress, connectTimeout = 5000, stallTimeout = 30000, maxBytes = MAX_BYTES } = options;
  const have = size(part);
  const response = await request(url, have > 0 ? { range: `bytes=${have}-` } : {}, connectTimeout);
  const { statusCode, headers } = response;
  if (statusCode === 416) {
    // Nothing follows the bytes at hand: they are the whole file, or of another one. The md5 decides.
    response.destroy();
    return;
  }
  if (statusCode !== 200 && statusCode !== 206) {
    response.destroy();
    throw new Unreachable(`${url}: the server answers HTTP ${statusCode}`);
  }
  const start = statusCode === 206 ? have : 0;
  const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
  const total = length === undefined ? undefined : start + length;
  let received = start;
  const tooLong = (bytes: string) =>
    new Hopeless(`the server sends ${bytes}, more than the ${maxBytes} bytes that the file can have`);
  if (total !== undefined && total > maxBytes) {
    response.destroy();
    throw tooLong(`${total} bytes`);
  }
  onProgress?.(received, total);
  response.setTimeout(stallTimeout, () => response.destroy(new Error(`no bytes for ${stallTimeout / 1000} s`)));
  const file = await open(part, start > 0 ? 'a' : 'w');
  try {
    for await (const chunk of response) {
      if (received + chunk.length > maxBytes) throw tooLong('no length and no end');
      await file.writeFile(chunk);
      received += chunk.length;
      onProgress?.(received, total);
    }
  } finally {
    await file.close();
  }
}

/** Sends a GET and follows redirects. The timeout covers the name look-up too, which can hang on machines without network. */
function request(url: string, headers: Record<string, string>, timeout: number, hops = 5): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(new Unreachable(`${url}: ${error.message || (error as NodeJS.ErrnoException).code}`));
    };
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    const pending = get(url, { headers, agent: false }, (response) => {
      clearTimeout(timer);
      const { statusCode = 0, headers: answer } = response;
      if (statusCode < 300 || statusCode >= 400 || !answer.location) {
        resolve(response);
        return;
      }
      response.destroy();
      const target = URL.canParse(answer.location, url) ? new URL(answer.location, url) : null;
      if (!target || !['http:', 'https:'].includes(target.protocol))
        reject(
          new Unreachable(
            `${url}: the server sends on to '${answer.location.slice(0, 200)}', which is no address of the web`,
          ),
        );
      else if (hops === 0) reject(new Unreachable(`${url}: the server sends on for ever`));
      else request(target.href, headers, timeout, hops - 1).then(resolve, reject);
    });
    const timer = setTimeout(() => pending.destroy(new Error(`no answer within ${timeout / 1000} s`)), timeout);
    pending.on('error', fail);
  });
}

/** Size of a file in bytes, 0 where there is none. */
function size(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Hex md5 of a file, read in pieces. */
export async function md5OfFile(path: string): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
