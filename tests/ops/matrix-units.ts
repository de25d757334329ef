// Tests of kernels on matrix units. lavapipe multiplies matrices with vectors of 256 bits alone (8×8×8), and the set-up asks for 512 where the
// processor has them: then a file of such tests runs itself once more.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { init, shutdown } from '../../src/gpu';
import { programOf } from '../program';
import { readSummary } from '../summary';

const WIDTH = 'LP_NATIVE_VECTOR_WIDTH';

/** Opens the device with matrix units; false where the adapter has none that work. */
async function opened(): Promise<boolean> {
  try {
    await init({ subgroupMatrix: true });
    return true;
  } catch (error) {
    assert.match((error as Error).message, /^subgroupMatrix \(init, DAWNFIELD_SUBGROUP_MATRIX\): the adapter/);
    await init();
    return false;
  }
}

/** Opens the device for the tests of `file`, `count` of which pass where there are matrix units. Gives `test` for those that need them, skipped elsewhere. */
export async function matrixUnits(file: string, count: number) {
  const has = await opened();
  test.after(() => shutdown());
  const narrowed = !has && process.env[WIDTH] === '512';
  (narrowed ? test : test.skip)('all of this file with vectors of 256 bits', () => {
    const cache = mkdtempSync(join(tmpdir(), 'dawnfield-matrix-')); // the driver's cache does not tell widths apart
    try {
      const env = { ...process.env, [WIDTH]: '256', MESA_SHADER_CACHE_DIR: cache };
      const { stdout, stderr, status } = spawnSync(process.execPath, programOf(file), { env, encoding: 'utf8' });
      const { passed, failed } = readSummary(stdout, status === 0 ? null : `exit code ${status}`);
      assert.is(failed, 0, stdout + stderr);
      assert.is(passed, count, stdout);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  });
  return (name: string, body: () => void | Promise<void>) =>
    has ? test(name, body) : test.skip(`${name} (the adapter has no matrix units)`, body);
}
