// PyTorch's answers for many functions, modules, optimizers and schedules: every case of ../shared/torch-breadth (README there).
//   FILE=vision CASE=interpolate npm test -- breadth    runs the files and the cases whose id matches
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../../src/ops/methods';
import { endStep } from '../../../src/tensor/memory';
import { sharedPath } from '../../shared';
import { useGpu } from '../../util';
import { type Case, Missing, readCases } from './case';
import { runCast, runHalf, runTable } from './half-case';
import { runOptimizer } from './optimizer-case';
import { runModule, runProgram } from './program';
import { runScheduler } from './scheduler-case';
import { runStateDict } from './state-dict-case';

const { FILE = '', CASE = '' } = process.env;
const folder = sharedPath('torch-breadth');
const files = [
  'recurrent',
  'attention',
  'vision',
  'losses',
  'indexing',
  'double-backward',
  'optimizers',
  'schedulers',
  'half',
  'state-dicts',
];

/** How the cases of a kind are run: the problem, or null. */
const runners: Partial<Record<Case['kind'], (c: Case) => Promise<string | null>>> = {
  optimizer: runOptimizer,
  program: runProgram,
  scheduler: runScheduler,
  module: runModule,
  state_dict: runStateDict,
  half: runHalf,
  cast: runCast,
  table: runTable,
};

if (!folder) test.skip('cases of ../shared/torch-breadth (the folder is absent)');
else {
  useGpu();
  const report: string[] = [];
  for (const file of files.filter((name) => new RegExp(FILE).test(name)))
    test(file, async () => {
      const problems: string[] = [];
      const missing = new Map<string, number>();
      let passed = 0;
      for (const c of readCases(folder, file).filter(({ id }) => new RegExp(CASE).test(id))) {
        try {
          const run = runners[c.kind];
          if (!run) throw new Missing(`cases of kind ${c.kind}`);
          const problem = await run(c);
          if (problem) problems.push(`${c.id}: ${problem}`);
          else passed++;
        } catch (error) {
          const { message, stack } = error as Error;
          if (error instanceof Missing) missing.set(message, (missing.get(message) ?? 0) + 1);
          else problems.push(`${c.id}: ${CASE ? stack : message}`);
        }
        endStep();
      }
      const left = [...missing].map(([name, n]) => (n > 1 ? `${name} (${n})` : name));
      report.push(
        `${file}: ${passed} passed, ${problems.length} failed${left.length ? `, left out: ${left.join(', ')}` : ''}`,
      );
      assert.is(problems.length, 0, problems.join('\n'));
    });
  test.after(() => console.log(`\n${report.join('\n')}`));
}

test.run();
