// Runs the same bundle in four implementations of WebGPU: Node (Dawn), Deno (wgpu), Chromium (Dawn in its sandbox) and Firefox (wgpu).
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '../../examples/browser/server';
import { commandFor } from '../../scripts/setup/lavapipe.mjs';
import '../../src/gpu/node';
import { BROWSERS, type BrowserName, isThere as hasBrowser, openPage, withBrowser } from '../browser/browsers';
import { root } from '../bundle';
import type { Case } from '../conformance/case';
import { readCases } from '../conformance/read-cases';
import { hasPackages } from '../packages';
import { sharedPath } from '../shared';
import { type Report, run, type Task } from './body';

export type Runtime = 'node' | 'deno' | BrowserName;
export const RUNTIMES: readonly Runtime[] = ['node', 'deno', ...BROWSERS];

/** Deno's binary: an optional package of the platform holds it. It is large, so that it is installed with the first run only; null without a network. */
function deno(): string | null {
  const { platform, arch } = process;
  const name = `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`;
  if (!hasPackages('tests/runtimes')) return null;
  const place = join(root, 'tests/runtimes/node_modules', name, platform === 'win32' ? 'deno.exe' : 'deno');
  return existsSync(place) ? place : null;
}

/** Whether a runtime is on this machine. */
export const isThere = (name: Runtime): boolean =>
  name === 'node' || (name === 'deno' ? deno() !== null : hasBrowser(name));

/** The bundle of `body.ts`, which sets `globalThis.runBody`. */
async function bundle(folder: string): Promise<void> {
  const { build } = await import('esbuild');
  await build({
    stdin: {
      contents: "import { run } from './tests/runtimes/body'; globalThis.runBody = run;",
      resolveDir: root,
      loader: 'ts',
    },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    outfile: join(folder, 'body.js'),
  });
}

async function inDeno(folder: string): Promise<Report> {
  const output = join(folder, 'report.json');
  const main = join(folder, 'deno.js');
  writeFileSync(
    main,
    `import './body.js';
     const task = JSON.parse(Deno.readTextFileSync('task.json'));
     Deno.writeTextFileSync(${JSON.stringify(output)}, JSON.stringify(await runBody(task)));`,
  );
  const [command = '', ...before] = commandFor(deno() ?? '', process.env);
  const env = { ...process.env, DENO_DIR: join(folder, 'deno'), NO_COLOR: '1' };
  const args = [...before, 'run', '--no-config', '--unstable-webgpu', `--allow-all`, main];
  const child = spawn(command, args, { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`deno ended with ${code}:\n${said}`);
  return JSON.parse(readFileSync(output, 'utf8'));
}

async function inBrowser(name: BrowserName, folder: string): Promise<Report> {
  writeFileSync(
    join(folder, 'index.html'),
    '<!doctype html><link rel="icon" href="data:,"><script type="module" src="body.js"></script>',
  );
  const server = await serve(folder);
  try {
    return await withBrowser(name, async (browser) => {
      const problems: string[] = [];
      const page = await openPage(browser, problems);
      let at = 'its start';
      page.on('console', (line) => {
        if (line.type() === 'debug') at = line.text();
      });
      await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
      await page.waitForFunction(() => 'runBody' in globalThis);
      const report = page.evaluate(async () => {
        const { runBody } = globalThis as unknown as { runBody: typeof run };
        return JSON.stringify(await runBody(await (await fetch('task.json')).json(), console.debug));
      });
      const text = await report.catch((error: Error) => {
        throw new Error(`${name}, at ${at}: ${[error.message, ...problems].join('\n')}`);
      });
      const found: Report = JSON.parse(text);
      found.errors.push(...problems);
      return found;
    });
  } finally {
    server.close();
  }
}

/** What a runtime makes of a task. */
export async function report(name: Runtime, task: Task): Promise<Report> {
  if (name === 'node') return run(task);
  const folder = mkdtempSync(join(tmpdir(), 'dawnfield-runtimes-'));
  try {
    await bundle(folder);
    writeFileSync(join(folder, 'task.json'), JSON.stringify(task));
    return await (name === 'deno' ? inDeno(folder) : inBrowser(name, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The conformance cases that all run: those of ../shared whose kernels differ most from adapter to adapter; none where it is absent. */
export function conformanceCases(): Case[] {
  const folder = sharedPath('conformance', 'vectors');
  if (!folder) return [];
  return readCases(folder, /^(conv|norm|pool|matmul_linear|optimizer|sort)\./).flatMap(({ cases }) => cases);
}

const worst = (got: readonly number[] = [], want: readonly number[]): number => {
  if (got.length !== want.length) return Infinity;
  const distances = want.map((x, i) => Math.abs(x - (got[i] ?? Number.NaN)));
  return distances.some(Number.isNaN) ? Infinity : Math.max(0, ...distances);
};

/** How many of the own cases have Node's numbers, to 1e-5 of the largest, and whether the losses do, to 1e-4. */
export function agree(found: Report, node: Report): { values: number; losses: boolean } {
  const values = Object.entries(node.values).filter(([key, arrays]) =>
    arrays.every((want, i) => worst(found.values[key]?.[i], want) <= 1e-5 * Math.max(1, ...want.map(Math.abs))),
  ).length;
  const { eager, compiled } = found.losses;
  return { values, losses: [eager, compiled].every((list) => worst(list, node.losses.eager) <= 1e-4) };
}
