// Takes a run out of the framework: `npm run export -- runs/NAME --torch FOLDER`.
import { existsSync } from 'node:fs';
import { isRun } from '../../src/train/run-folder.node.js';
import { withDevice } from '../shared/device';
import { createProgram, printJson, runProgram, UsageError } from '../shared/options';
import { exportTorch } from './torch/folder';

interface Options {
  torch?: string;
  data?: string;
  json?: boolean;
}

const program = createProgram('export', 'Takes a run of cifar-train to PyTorch.')
  .argument('<run>', 'folder of a run')
  .option(
    '--torch <folder>',
    'writes the network, the weights, the optimizer and a program that goes on with the recipe',
  )
  .option('--data <path>', 'where CIFAR lies, for a run on a part of it, whose images are written too');

await runProgram<Options>(program, async (options, [run = '']) => {
  const { torch, data, json } = options;
  if (!torch) throw new UsageError('say what to write: --torch FOLDER');
  if (!existsSync(run) || !isRun(run)) throw new UsageError(`${run} is not the folder of a run: it has no checkpoint`);
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  await withDevice(async () => {
    await exportTorch(run, torch, { data, say });
    if (json) printJson({ run, torch });
    else console.log(`${torch}: python train.py goes on with the run, dawnfield import ${torch} RUN brings it back`);
  });
});
