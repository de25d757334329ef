// The kernels for CPU drivers once more, with the vectors of 256 bits that lavapipe has by itself: the set-up asks for 512 where the
// processor has them, and kernels for 8 and for 16 lanes differ.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { programOf } from '../program';
import { readSummary } from '../summary';

const wide = process.env.LP_NATIVE_VECTOR_WIDTH === '512';

for (const [what, file, least] of [
  ['convolutions and matrix products', 'tests/ops/backs.test.ts', 30],
  ['attention', 'tests/ops/attention.test.ts', 10],
] as const)
  (wide ? test : test.skip)(`${what} with 8 lanes (${file})`, () => {
    const cache = mkdtempSync(join(tmpdir(), 'dawnfield-narrow-')); // the driver's cache does not tell widths apart
    try {
      const env = { ...process.env, LP_NATIVE_VECTOR_WIDTH: '256', MESA_SHADER_CACHE_DIR: cache };
      const { stdout, stderr, status } = spawnSync(process.execPath, programOf(file), { env, encoding: 'utf8' });
      const { passed, failed } = readSummary(stdout, status === 0 ? null : `exit code ${status}`);
      assert.is(failed, 0, stdout + stderr);
      assert.ok(passed > least, `${passed} passed`);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  });

test.run();
