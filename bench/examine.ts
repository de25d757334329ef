// Runs one case with one contestant in a process of its own, so that none can disturb another.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ATTENTION_HEADS, CHAIN, findCase } from './cases';

export const PEERS = ['tfjs', 'jax-js'] as const;
export type Who = 'dawnfield' | (typeof PEERS)[number] | 'pytorch';

/** One number of a case. */
export interface Finding {
  /** What follows the case's name; '' for nothing. */
  readonly part: string;
  /** null where there is an error instead. */
  readonly value: number | null;
  readonly unit: string;
  /** Where the value is the median of several samples. */
  readonly least?: number;
  readonly most?: number;
  readonly samples?: number;
  readonly error?: string;
}

export interface Findings {
  readonly adapter: string;
  readonly driver: string;
  readonly findings: readonly Finding[];
}

const here = fileURLToPath(new URL('.', import.meta.url));
/** Whether this is the program of the package, which has no sources, no peers and no commits. */
export const isPackaged = !import.meta.url.endsWith('.ts');
const MINUTES = 15; // the most that a process may take

/** The version of a contestant's package; PyTorch tells its own. */
export function versionOf(who: Who): string | undefined {
  if (who === 'pytorch') return;
  const folder = {
    dawnfield: isPackaged ? '../..' : '..',
    tfjs: 'node_modules/@tensorflow/tfjs',
    'jax-js': 'node_modules/@jax-js/jax',
  }[who];
  return JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8')).version;
}

export interface How {
  readonly repeat: number;
  readonly batch: number;
  /** The Python that has PyTorch. */
  readonly python?: string;
}

/** What a contestant achieves in a case; its failure is a finding too. */
export async function examine(who: Who, name: string, { repeat, batch, python }: How): Promise<Findings> {
  const given = findCase(name)!;
  if (who === 'pytorch') {
    const told = JSON.stringify({ ...given, ...(given.kind === 'eager-op' && CHAIN), heads: ATTENTION_HEADS });
    return start(python!, [join(here, 'peers/pytorch.py'), told, String(batch), String(repeat)]);
  }
  if (given.kind !== 'first-step') return run(who, name, repeat);
  const cache = mkdtempSync(join(tmpdir(), 'dawnfield-bench-'));
  try {
    // The driver's cache of compiled shaders, of Mesa and of NVIDIA: empty, then full.
    const env = { MESA_SHADER_CACHE_DIR: cache, __GL_SHADER_DISK_CACHE_PATH: cache };
    const cold = await run(who, name, repeat, env);
    const warm = await run(who, name, repeat, env);
    const as = (part: string, { findings }: Findings) => findings.map((finding) => ({ ...finding, part }));
    return { ...cold, findings: [...as('cold driver cache', cold), ...as('warm', warm)] };
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

/** What the tree in `folder` achieves in a case by itself. */
export const measureIn = (folder: string, name: string, repeat: number): Promise<Findings> =>
  start(
    process.execPath,
    ['--import', 'tsx', join(folder, 'bench/child.ts'), 'dawnfield', name, String(repeat)],
    {},
    folder,
  );

function run(who: Who, name: string, repeat: number, env: Record<string, string> = {}): Promise<Findings> {
  const child = isPackaged ? [join(here, 'bench-child.js')] : ['--import', 'tsx', join(here, 'child.ts')];
  return start(process.execPath, [...child, who, name, String(repeat)], env);
}

/** Starts a program whose last line of output is what it found. */
function start(program: string, args: string[], env: Record<string, string> = {}, cwd?: string): Promise<Findings> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, cwd });
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text) => (said[stream] += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), MINUTES * 60_000);
  return new Promise((resolve) => {
    child.on('error', (error) => (said.stderr += `Error: ${error.message}`));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      // Libraries print to stdout what they like: the findings are the last line.
      if (code === 0) return resolve(JSON.parse(said.stdout.trimEnd().split('\n').at(-1)!));
      const reason = /^\w*Error: .*$/m.exec(said.stderr)?.[0] ?? said.stderr.trim().split('\n').at(-1);
      const error = signal ? `stopped by ${signal}` : reason || `ended with exit code ${code}`;
      resolve({ adapter: '', driver: '', findings: [{ part: '', value: null, unit: '', error }] });
    });
  });
}
