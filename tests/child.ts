// Runs a short program in a Node process of its own, from TypeScript sources: for tests of adapters, crashes and endings.
import { spawn } from 'node:child_process';
import { root } from './bundle';
import { programOfCode } from './program';

export interface Ended {
  /** What it printed, errors included. */
  output: string;
  /** 0 when it ended by itself and well. */
  code: number | null;
  /** Whether it had to be stopped. */
  late: boolean;
}

/** `code` is an ES module whose imports start at the project's root. Stopped after `seconds`. */
export async function runChild(code: string, env: Record<string, string> = {}, seconds = 120): Promise<Ended> {
  const child = spawn(process.execPath, await programOfCode(code), { cwd: root, env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, seconds * 1000);
  return new Promise((resolve) =>
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ output, code: status, late });
    }),
  );
}
