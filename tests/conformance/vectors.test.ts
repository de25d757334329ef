// Other frameworks' own tests: every case of ../shared/conformance/vectors (schema.md there), in a table of what passed.
//   VECTORS=conv CASE=dilat node --import tsx tests/conformance/vectors.test.ts    runs the files and the case ids that match
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { sharedPath } from '../shared';
import { useGpu } from '../util';
import { runOptimizer } from './optimizer-case';
import type { Outcome } from './outcome';
import { isFailure, table } from './outcome';
import { runProgram } from './program';
import { readCases } from './read-cases';

const { VECTORS = '', CASE = '' } = process.env;
const folder = sharedPath('conformance', 'vectors');

if (!folder) test.skip('vectors of ../shared/conformance (the folder is absent)');
else {
  useGpu();
  const outcomes: Outcome[] = [];
  for (const { file, cases } of readCases(folder, new RegExp(VECTORS)))
    test(file, async () => {
      const mine: Outcome[] = [];
      for (const c of cases)
        if (new RegExp(CASE).test(c.id))
          mine.push(...(await (c.kind === 'optimizer' ? runOptimizer(c) : runProgram(c))));
      outcomes.push(...mine);
      const failures = mine.filter(isFailure);
      assert.is(failures.length, 0, failures.map((o) => `${o.id} (${o.direction}): ${o.note}`).join('\n'));
    });
  test.after(() => console.log(`\n${table(outcomes)}`));
}

test.run();
