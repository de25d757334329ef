// Reads what uvu prints at the end of a test file.

export interface Summary {
  passed: number;
  failed: number;
  skipped: number;
  problem: string; // what went wrong besides failed tests, or ''
}

/**
 * @param output all that the test file printed
 * @param exit null where the process ended by itself with code 0, else how it ended. A process that crashes, even after
 *   a clean summary, or that ends without one, counts as a failed test.
 */
export function readSummary(output: string, exit: string | null): Summary {
  const count = (label: string) =>
    [...output.matchAll(new RegExp(`^\\s*${label}:\\s+(\\d+)\\s*$`, 'gm'))].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
  const passed = count('Passed');
  const skipped = count('Skipped');
  const failed = count('Total') - passed;
  if (!/^\s*Total:\s/m.test(output)) return { passed: 0, failed: 1, skipped: 0, problem: exit ?? 'ran no tests' };
  if (exit && !failed) return { passed, failed: 1, skipped, problem: exit };
  return { passed, failed, skipped, problem: '' };
}
