// The Trainer once more as it is on a GPU: with the kernels for GPUs, and steps that are read every 25.
import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { programOf } from '../program';
import { readSummary } from '../summary';
import { KERNELS } from '../util';

for (const file of ['tests/train/trainer.test.ts', 'tests/train/own-step.test.ts'])
  test(`${file} with the kernels for GPUs`, () => {
    const env = { ...process.env, [KERNELS]: 'gpu' };
    const { stdout, stderr, status } = spawnSync(process.execPath, programOf(file), { env, encoding: 'utf8' });
    const { passed, failed } = readSummary(stdout, status === 0 ? null : `exit code ${status}`);
    assert.is(failed, 0, stdout + stderr);
    assert.ok(passed > 10, `${passed} passed`);
  });

test.run();
