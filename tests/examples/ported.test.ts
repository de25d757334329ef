// The programs of examples/ported against PyTorch: losses of the first steps with the same weights.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { close, useGpu } from '../util';
import { losses, programs } from './ported-programs';

useGpu();

for (const [name, train] of Object.entries(programs))
  test(name, async () => {
    const want = losses(name);
    const got = await train(want.length);
    close(got, want, 2e-4, name);
    assert.ok(want[want.length - 1] < want[0], 'it learns');
  });

test.run();
