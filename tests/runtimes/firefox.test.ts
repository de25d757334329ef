// Firefox, headless. What is compared: against-node.ts.
import { test } from 'uvu';
import { testRuntime } from './against-node';

testRuntime('firefox');
test.run();
