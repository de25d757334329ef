// Takes a run out of the framework: `npm run export -- runs/NAME --torch FOLDER`, or --onnx FILE.
import { existsSync } from 'node:fs';
import { bestWeights, isRun } from '../../src/train/run-folder.node.js';
import { withDevice } from '../shared/device';
import { createProgram, printJson, runProgram, UsageError } from '../shared/options';
import { isText, writeGptOnnx, writeOnnx } from './onnx';
import { exportRun } from './torch/folder';

interface Options {
  torch?: string;
  data?: string;
  onnx?: string;
  externalData?: boolean;
  json?: boolean;
}

const program = createProgram('export', 'Takes a run of cifar-train or gpt to PyTorch or ONNX.')
  .argument('<run>', 'folder of a run')
  .option(
    '--torch <folder>',
    'writes the network, the weights, the optimizer and a program that goes on with the recipe',
  )
  .option(
    '--data <path>',
    'where CIFAR lies, for a run on a part of it, whose images are written too; of own images their folder; of gpt the text',
  )
  .option('--onnx <file>', 'writes the best network for inference, with any batch size')
  .option('--external-data', 'with --onnx: the weights beside the file, in FILE.data');

await runProgram<Options>(program, async (options, [run = '']) => {
  const { torch, data, onnx, externalData = false, json } = options;
  if (!torch && !onnx) throw new UsageError('say what to write: --torch FOLDER or --onnx FILE');
  if (!existsSync(run) || !isRun(run)) throw new UsageError(`${run} is not the folder of a run: it has no checkpoint`);
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  await withDevice(async () => {
    if (torch) {
      await exportRun(run, torch, { data, say });
      if (json) printJson({ run, torch });
      else console.log(`${torch}: python train.py goes on with the run, dawnfield import ${torch} RUN brings it back`);
    }
    if (!onnx) return;
    const weights = bestWeights(run);
    if (!weights) throw new UsageError(`${run} has no best checkpoint yet`);
    if (isText(weights)) {
      const gpt = await writeGptOnnx(weights, onnx, externalData);
      if (json) printJson({ run, ...gpt });
      else
        console.log(
          `${onnx}: tokens [batch, time] to logits, at most ${gpt.context} at once: ${gpt.characters.join('')}`,
        );
      return;
    }
    const report = await writeOnnx(weights, onnx, externalData, data);
    if (json) printJson({ run, ...report });
    else
      console.log(
        `${onnx}: ${report.model}, images [${report.shape.join(', ')}] of pixels in [0, 1] less [${report.mean.join(', ')}], ` +
          `divided by [${report.std.join(', ')}], to logits of ${report.classes.length} classes`,
      );
  });
});
