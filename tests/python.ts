// Python for the tests that compare with it: the one that PYTHON names, or `python3`, where it has the packages that a test needs.
import { spawnSync } from 'node:child_process';

/** The command of a Python with these packages; null where there is none, and tests are skipped. */
export function pythonWith(...packages: string[]): string | null {
  const command = process.env.PYTHON || 'python3';
  const { status } = spawnSync(command, ['-c', `import ${packages.join(', ')}`], { stdio: 'ignore', timeout: 120_000 });
  return status === 0 ? command : null;
}
