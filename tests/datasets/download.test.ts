// Download against a server of our own: progress, resume, redirects, and every way to fail.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { download, Unreachable } from '../../datasets/download.node.js';

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const md5 = createHash('md5').update(content).digest('hex');

let server: Server;
let origin: string;
let folder: string;
let to: string;
let requests: IncomingMessage[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

/** Serves `content` with ranges, as a file server does. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (start >= content.length) {
    response.writeHead(416).end();
    return;
  }
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': content.length - start });
  response.end(content.subarray(start));
}

const test = suite('download');

test.before(async () => {
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
test.after(() => {
  server.closeAllConnections();
  server.close();
});
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'dawnfield-'));
  to = join(folder, 'new', 'archive.tar.gz');
  requests = [];
  answer = serve;
});
test.after.each(() => rmSync(folder, { recursive: true }));

const url = () => `${origin}/archive.tar.gz`;

/** Leaves the first `count` bytes of `bytes` behind as an earlier attempt did. */
function leavePart(bytes: Buffer, count: number): void {
  to = join(folder, 'archive.tar.gz');
  writeFileSync(`${to}.part`, bytes.subarray(0, count));
}

async function failure(promise: Promise<void>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('the download should have failed');
}

test('fetches, reports progress up to the total, leaves no .part', async () => {
  const progress: [number, number | undefined][] = [];
  await download({ url: url(), md5, to, onProgress: (...step) => progress.push(step) });
  assert.equal(readFileSync(to), content);
  assert.not(existsSync(`${to}.part`));
  assert.equal(progress[0], [0, content.length]);
  assert.equal(progress.at(-1), [content.length, content.length]);
});

test('goes on where an earlier attempt stopped', async () => {
  leavePart(content, 100_000);
  const progress: number[] = [];
  await download({ url: url(), md5, to, onProgress: (received) => progress.push(received) });
  assert.is(requests.length, 1);
  assert.is(requests[0].headers.range, 'bytes=100000-');
  assert.is(progress[0], 100_000);
  assert.equal(readFileSync(to), content);
});

test('takes a .part that is already whole', async () => {
  leavePart(content, content.length);
  await download({ url: url(), md5, to });
  assert.equal(readFileSync(to), content);
});

test('starts again where the server knows no ranges, and where the .part belongs to another file', async () => {
  leavePart(content, 5000);
  answer = (_, response) => response.end(content);
  await download({ url: url(), md5, to });
  assert.equal(readFileSync(to), content);
  answer = serve;
  leavePart(Buffer.alloc(5000, 7), 5000);
  await download({ url: url(), md5, to });
  assert.equal(readFileSync(to), content);
});

test('a connection that breaks is taken up again', async () => {
  let broken: ServerResponse | undefined;
  answer = (request, response) => {
    if (broken) return serve(request, response);
    broken = response;
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, 50_000));
  };
  const breakOff = (received: number) => {
    if (received === 50_000) broken?.destroy();
  };
  await download({ url: url(), md5, to, onProgress: breakOff });
  assert.is(requests.length, 2);
  assert.is(requests[1].headers.range, 'bytes=50000-');
  assert.equal(readFileSync(to), content);
});

test('a connection that keeps breaking ends with a message that says how to go on, and keeps the bytes', async () => {
  answer = (_, response) => {
    response.writeHead(requests.length > 1 ? 206 : 200, { 'content-length': content.length });
    response.write(content.subarray(0, 1000), () => response.destroy());
  };
  const error = await failure(download({ url: url(), md5, to }));
  assert.match(error.message, /broke off after \d+ bytes .*Start again to go on/);
  assert.not.instance(error, Unreachable);
  assert.ok(existsSync(`${to}.part`));
});

test('a wrong md5 names both sums and removes the file', async () => {
  const error = await failure(download({ url: url(), md5: '0'.repeat(32), to }));
  assert.match(error.message, new RegExp(`md5 ${md5}, expected 0{32}`));
  assert.not(existsSync(to));
  assert.not(existsSync(`${to}.part`));
});

test('redirects are followed', async () => {
  answer = (request, response) => {
    if (request.url === '/moved') serve(request, response);
    else response.writeHead(302, { location: '/moved' }).end();
  };
  await download({ url: url(), md5, to });
  assert.equal(readFileSync(to), content);
});

test('what is longer than the file can be is refused at once, stated or not, and leaves nothing', async () => {
  answer = (_, response) => response.writeHead(200, { 'content-length': 5e9 }).end();
  const stated = await failure(download({ url: url(), md5, to }));
  assert.match(
    stated.message,
    /the server sends 5000000000 bytes, more than the 268435456 bytes that the file can have/,
  );
  assert.is(requests.length, 1, 'not tried again');
  let sent = 0;
  answer = (_, response) => {
    const more = (): void => {
      sent += content.length;
      if (!response.destroyed) response.write(content, more);
    };
    more();
  };
  const endless = await failure(download({ url: url(), md5, to, maxBytes: 1_000_000 }));
  assert.match(endless.message, /the server sends no length and no end, more than the 1000000 bytes/);
  assert.not.instance(endless, Unreachable);
  assert.ok(sent < 1e8);
  assert.is(requests.length, 2, 'not tried again');
  assert.not(existsSync(`${to}.part`));
});

test('a file without a stated length is taken up to the bound', async () => {
  answer = (_, response) => {
    response.write(content.subarray(0, 1000));
    response.end(content.subarray(1000));
  };
  await download({ url: url(), md5, to, maxBytes: content.length });
  assert.equal(readFileSync(to), content);
});

test('redirects to nowhere, to something else and for ever are Unreachable, with the reason', async () => {
  for (const [location, reason] of [
    ['http://', /sends on to 'http:\/\/', which is no address of the web/],
    ['file:///etc/passwd', /sends on to 'file:\/\/\/etc\/passwd'/],
    ['data:text/plain,x', /no address of the web/],
    ['/again', /sends on for ever/],
  ] as const) {
    answer = (_, response) => response.writeHead(302, { location }).end();
    const error = await failure(download({ url: url(), md5, to }));
    assert.instance(error, Unreachable);
    assert.match(error.message, reason);
  }
  answer = (_, response) => response.writeHead(302).end();
  assert.match((await failure(download({ url: url(), md5, to }))).message, /the server answers HTTP 302/);
});

test('no server, no file and no answer are Unreachable, with the reason', async () => {
  answer = (_, response) => response.writeHead(404).end();
  const absent = await failure(download({ url: url(), md5, to }));
  assert.instance(absent, Unreachable);
  assert.match(absent.message, /HTTP 404/);
  answer = () => undefined;
  const silent = await failure(download({ url: url(), md5, to, connectTimeout: 100 }));
  assert.instance(silent, Unreachable);
  assert.match(silent.message, /no answer within 0\.1 s/);
  const refused = await failure(download({ url: 'http://127.0.0.1:1/x', md5, to }));
  assert.instance(refused, Unreachable);
  assert.match(refused.message, /ECONNREFUSED/);
});

test.run();
