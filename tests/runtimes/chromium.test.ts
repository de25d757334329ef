// Chromium, headless. What is compared: against-node.ts; of the conformance cases the gradients of convolutions, one of which no compiler may be
// kept at work by for minutes (shaders/conv/cpu-rows.ts). `npm run runtimes` runs all of them.
import { test } from 'uvu';
import { testRuntime } from './against-node';
import { conformanceCases } from './runtimes';

const cases = conformanceCases().filter(({ id }) => id.startsWith('burn/autodiff/conv2d/'));
testRuntime('chromium', cases);
test.run();
