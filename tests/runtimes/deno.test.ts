// Deno: wgpu, whose compiler Naga has no subgroups. What is compared: against-node.ts.
import { test } from 'uvu';
import { testRuntime } from './against-node';

testRuntime('deno');
test.run();
