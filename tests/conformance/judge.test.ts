// The judge of the conformance room itself: it has to notice wrong values, shapes and operations.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { useGpu } from '../util';
import type { ProgramCase } from './case';
import { isFailure, table } from './outcome';
import { runProgram } from './program';

useGpu();

const stored = (data: (number | string)[], shape = [data.length]) => ({ shape, dtype: 'float32' as const, data });

/** y = x², with the given expectations. */
const squareCase = (
  values: ReturnType<typeof stored>,
  slopes = stored([2, 4]),
  more: Partial<ProgramCase> = {},
): ProgramCase => ({
  id: 'square',
  group: 'square',
  kind: 'gradient',
  tolerance: { abs: 0, rel: 1e-3 },
  inputs: { x: stored([1, 2]) },
  steps: [{ op: 'square', in: ['x'], attrs: {}, out: ['y'] }],
  expect: { y: values },
  grad: { of: 'y', upstream: null, expect: { x: slopes } },
  ...more,
});
const statuses = async (c: ProgramCase) => (await runProgram(c)).map((o) => o.status);

test('right values and gradients pass, within the tolerance', async () => {
  assert.equal(await statuses(squareCase(stored([1, 4.003]))), ['passed', 'passed']);
  assert.equal(await statuses(squareCase(stored([1, 4.005]))), ['failed', 'passed']);
});

test('a wrong value, gradient or shape fails, and is named', async () => {
  const [forward, gradient] = await runProgram(squareCase(stored([1, 4]), stored([2, -4])));
  assert.is(forward.status, 'passed');
  assert.ok(isFailure(gradient));
  assert.match(gradient.note, 'gradient of x[1] is 4, expected -4');
  assert.match((await runProgram(squareCase(stored([1, 4], [2, 1]))))[0].note, 'shape [2], expected [2,1]');
  assert.equal(await statuses(squareCase(stored(['NaN', 4]))), ['failed', 'passed']);
});

test('ties and non-finite numbers are judged apart, but not their shapes', async () => {
  const [forward, gradient] = await runProgram(squareCase(stored([1, 5]), stored([2, 5]), { tags: ['kink'] }));
  assert.ok(isFailure(forward));
  assert.not(isFailure(gradient));
  const apart = await runProgram(squareCase(stored([1, 'Infinity']), stored([2, 4]), { tags: ['nonfinite'] }));
  assert.not(isFailure(apart[0]));
  assert.ok(isFailure((await runProgram(squareCase(stored([1]), stored([2, 4]), { tags: ['nonfinite'] })))[0]));
});

test('an unknown operation is not applicable, with the reason', async () => {
  const outcomes = await runProgram({
    ...squareCase(stored([1, 4])),
    steps: [{ op: 'fft', in: ['x'], attrs: {}, out: ['y'] }],
  });
  assert.equal(
    outcomes.map((o) => o.status),
    ['not applicable', 'not applicable'],
  );
  assert.match(table(outcomes), "not applicable: square (forward): there is no operation 'fft'");
});

test.run();
