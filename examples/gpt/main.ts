// A small GPT that learns to write like a text, character by character: `npm run gpt -- --data book.txt`.
import { readFileSync } from 'node:fs';
import { device } from '../../src/index.node.js';
import { RunFolder, readRunConfig } from '../../src/train/run-folder.node.js';
import { adapterName, withDevice } from '../shared/device';
import { checkGptRecipe, type GptRecipe, isGpt } from '../shared/gpt-recipe';
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
import { Characters } from './text';
import { train } from './train';

interface Options {
  data?: string;
  run?: string;
  resume?: string;
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

const program = createProgram('gpt', 'Trains a GPT on the characters of a text, then has it write.')
  .option('--data <file>', 'the text, UTF-8')
  .option('--run <folder>', 'keep the run there: it can be resumed, and exported to PyTorch and ONNX')
  .option('--resume <folder>', 'go on with the run there, up to --steps in all')
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

/** Options that a run has from its beginning. */
const FIXED = ['run', 'layers', 'heads', 'width', 'context', 'batch', 'lr', 'dropout', 'seed'] as const;

await runProgram<Options>(program, async (options) => {
  const recipe = options.resume === undefined ? newRecipe(options) : resumedRecipe(options, options.resume);
  const text = readText(options.data ?? recipe.data);
  const characters = new Characters(text, recipe.characters.length ? recipe.characters : undefined);
  const tokens = characters.encode(text);
  const { context, width, heads } = recipe;
  if (tokens.length < context + 2)
    throw new UsageError(
      `${recipe.data} has ${tokens.length} characters: too few for a context of ${context}; lower --context`,
    );
  if (width % heads) throw new UsageError(`--width ${width} is no multiple of --heads ${heads}`);
  if (options.resume !== undefined && tokens.length !== recipe.length)
    throw new UsageError(
      `${options.data ?? recipe.data} has ${tokens.length} of the run's characters, its text had ${recipe.length}: pass that text as --data`,
    );
  const whole = { ...recipe, characters: characters.all, length: tokens.length };
  await withDevice(() => main(options, whole, characters, tokens));
});

/** The recipe of a new run; the text's characters follow. */
function newRecipe(options: Options): GptRecipe {
  const { data, steps, layers, heads, width, context, batch, lr, dropout, seed } = options;
  if (data === undefined) throw new UsageError('say what to learn from: --data FILE');
  const shape = { layers, heads, width, context, batch, lr, dropout, seed };
  return { program: 'gpt', data, length: 0, characters: [], steps, ...shape };
}

function resumedRecipe({ steps }: Options, folder: string): GptRecipe {
  const given = (name: string) => program.getOptionValueSource(name) === 'cli';
  const changed = FIXED.find(given);
  if (changed) throw new UsageError(`--${changed}: a run that is resumed keeps its own; leave it out`);
  const { options } = readRunConfig(folder);
  if (!isGpt(options)) throw new UsageError(`${folder} is no run of gpt`);
  const recipe = checkGptRecipe(options, folder);
  return given('steps') ? { ...recipe, steps } : recipe;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--data: ${(error as Error).message}`);
  }
}

async function main(o: Options, recipe: GptRecipe, characters: Characters, tokens: readonly number[]): Promise<void> {
  const progress = createProgress({ silent: o.json, unit: 'steps' });
  const path = o.resume ?? o.run;
  const folder = path === undefined ? undefined : o.resume ? RunFolder.open(path) : RunFolder.create(path, recipe);
  const from = o.resume ? folder?.resume(['steps', 'data'], (text) => progress.log(text)) : null;
  if (o.resume) folder?.setOptions(recipe);
  const { model, loss, seconds, launches } = await train(recipe, tokens, {
    ...(folder && { folder, from }),
    begin: ({ parameterCount }) => {
      const size = `${tokens.length} characters, ${recipe.characters.length} different; ${parameterCount} parameters`;
      progress.log(`${size}; ${adapterName()}`);
      progress.begin('training', recipe.steps, Number(from?.progress.step ?? 0));
    },
    look: (step, value) => {
      progress.update(step, { loss: value });
      if (o.json) printJson({ type: 'step', step, loss: value });
    },
  });
  progress.end();
  folder?.close();
  if (o.out) await model.save(o.out);

  const prompt = o.prompt ?? characters.decode(tokens.slice(0, Math.min(8, recipe.context)));
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
      steps: recipe.steps,
      loss,
      seconds,
      launches,
      parameters: model.parameterCount,
      prompt,
      text: written,
      liveBytes: device().stats().liveBytes,
    });
}
