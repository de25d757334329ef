// The test of an implementation of WebGPU beside Node's, in one bundle: conformance cases, numbers, training, eager and compiled.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { framesOf } from '../../src/tensor/call-site';
import { close } from '../util';
import { conformanceCases, isThere, type Runtime, report } from './runtimes';

/** Adds the test; where the runtime is not on this machine, it is skipped. */
export function testRuntime(name: Runtime): void {
  (isThere(name) ? test : test.skip)(`${name}: Node's numbers, Node's losses`, async () => {
    const cases = conformanceCases();
    const task = { cases, steps: 4, timed: 0, batch: 4 };
    const found = await report(name, task);
    // Errors name the user's own line, here of a bundle in one file: the line after the one whose stack is known.
    const above = framesOf(found.error.above)[0];
    assert.match(found.error.message, `${above?.file}:${(above?.line ?? 0) + 1}:`);
    const node = await report('node', { ...task, cases: [] });
    assert.equal(found.failures, []);
    assert.equal(found.errors, []);
    assert.equal(found.lost, []);
    assert.ok(found.passed >= cases.length * 0.9, `${found.passed} of ${cases.length} cases passed`);
    assert.equal(Object.keys(found.values), Object.keys(node.values));
    for (const [key, arrays] of Object.entries(node.values))
      for (const [i, values] of arrays.entries())
        close(found.values[key]?.[i] ?? [], values, 1e-5, `${key}, ${i ? `gradient ${i}` : 'value'}`);
    close(found.losses.eager, node.losses.eager, 1e-4, 'losses');
    close(found.losses.compiled, node.losses.eager, 1e-4, 'losses of compiled steps');
    // Kernels for GPUs are several times slower on a software driver than those made for it.
    const adapter = JSON.stringify(found.adapter);
    if (node.software) assert.ok(found.target.isCpu, `the software adapter ${adapter} is taken for a GPU`);
  });
}
