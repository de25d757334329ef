// A small GPT that learns to write like a text, character by character: `npm run gpt -- --data book.txt`.
import { readFileSync } from 'node:fs';
import { compile, device, F, manualSeed, models, optim } from '../../src/index.node.js';
import { adapterName, withDevice } from '../shared/device';
import {
  count,
  createProgram,
  integerFrom,
  numberFrom,
  printJson,
  runProgram,
  seedNumber,
  stepCount,
  UsageError,
} from '../shared/options';
import { createProgress } from '../shared/progress';
import { Characters, Pieces } from './text';

interface Options {
  data: string;
  steps: number;
  layers: number;
  heads: number;
  width: number;
  context: number;
  batch: number;
  lr: number;
  dropout: number;
  seed: number;
  out?: string;
  generate: number;
  prompt?: string;
  temperature: number;
  topK?: number;
  json?: boolean;
}

/** Steps between two looks at the loss, which wait for the GPU. */
const LOOK_EVERY = 50;

const program = createProgram('gpt', 'Trains a GPT on the characters of a text, then has it write.')
  .requiredOption('--data <file>', 'the text, UTF-8')
  .option('--steps <number>', 'updates of the weights', stepCount, 1000)
  .option('--layers <number>', 'blocks of attention and network', count, 4)
  .option('--heads <number>', 'of attention', count, 4)
  .option('--width <number>', 'features, a multiple of the heads', count, 128)
  .option('--context <characters>', 'most that it sees at once', count, 128)
  .option('--batch <number>', 'pieces of text in a step', count, 16)
  .option('--lr <rate>', "AdamW's learning rate", numberFrom(0, 10), 1e-3)
  .option('--dropout <p>', 'in training', numberFrom(0, 1), 0)
  .option('--seed <number>', 'of weights, pieces and writing', seedNumber, 0)
  .option('--out <file>', 'save the weights as safetensors')
  .option('--generate <characters>', 'how many to write', integerFrom(0, 1_000_000), 300)
  .option('--prompt <text>', 'what to go on from (default: the beginning of the text)')
  .option('--temperature <t>', 'how much chance: 0 takes the likeliest character', numberFrom(0, 100), 0.8)
  .option('--top-k <number>', 'draw from so many of the likeliest characters', count);

await runProgram<Options>(program, async (options) => {
  const { data, context, width, heads } = options;
  const text = readText(data);
  const characters = new Characters(text);
  const tokens = characters.encode(text);
  if (tokens.length < context + 2)
    throw new UsageError(
      `${data} has ${tokens.length} characters: too few for a context of ${context}; lower --context`,
    );
  if (width % heads) throw new UsageError(`--width ${width} is no multiple of --heads ${heads}`);
  await withDevice(() => main(options, characters, tokens));
});

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--data: ${(error as Error).message}`);
  }
}

async function main(o: Options, characters: Characters, tokens: readonly number[]): Promise<void> {
  const progress = createProgress({ silent: o.json, unit: 'steps' });
  manualSeed(o.seed);
  const vocabSize = characters.all.length;
  const shape = { nLayer: o.layers, nHead: o.heads, nEmbd: o.width, dropout: o.dropout };
  const model = new models.GPT({ vocabSize, blockSize: o.context, ...shape });
  const optimizer = new optim.AdamW(model.parameters(), { lr: o.lr });
  const pieces = new Pieces(tokens);
  progress.log(
    `${tokens.length} characters, ${vocabSize} different; ${model.parameterCount} parameters; ${adapterName()}`,
  );

  const step = compile(() => {
    const { inputs, targets } = pieces.draw(o.batch, o.context);
    const logits = model.forward(inputs);
    const loss = F.crossEntropy(logits.reshape([-1, vocabSize]), targets.reshape([-1]));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  const began = performance.now();
  progress.begin('training', o.steps);
  let loss = Number.NaN;
  for (let i = 1; i <= o.steps; i++) {
    const result = step();
    if (i % LOOK_EVERY && i > 1 && i < o.steps) {
      result.dispose();
      continue;
    }
    loss = await result.item();
    if (Number.isNaN(loss)) throw new Error(`the loss is NaN after step ${i}: lower --lr`);
    progress.update(i, { loss });
    if (o.json) printJson({ type: 'step', step: i, loss });
  }
  progress.end();
  const seconds = (performance.now() - began) / 1000;
  const launches = step.plans[0]?.dispatches;
  step.release();
  if (o.out) await model.save(o.out);

  const prompt = o.prompt ?? characters.decode(tokens.slice(0, Math.min(8, o.context)));
  const known = characters.encode(prompt);
  if (o.generate && !known.length) throw new UsageError(`the text has none of the characters of --prompt '${prompt}'`);
  const writing = o.generate
    ? model.generate(known, { count: o.generate, temperature: o.temperature, topK: o.topK, seed: o.seed })
    : [];
  let written = '';
  if (!o.json) process.stdout.write(prompt);
  for await (const token of writing) {
    const character = characters.decode([token]);
    written += character;
    if (!o.json) process.stdout.write(character);
  }
  if (!o.json) process.stdout.write('\n');
  else
    printJson({
      type: 'summary',
      steps: o.steps,
      loss,
      seconds,
      launches,
      parameters: model.parameterCount,
      prompt,
      text: written,
      liveBytes: device().stats().liveBytes,
    });
}
