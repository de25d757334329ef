// What a run of `gpt` is: its options, and the characters that its tokens stand for. They are in the run's folder.
import { models } from '../../src/index.node.js';
import type { JsonObject } from '../../src/train/checkpoint';

export interface GptRecipe extends JsonObject {
  readonly program: 'gpt';
  /** The file of the text. */
  readonly data: string;
  /** Of the text, in tokens. */
  readonly length: number;
  /** What the tokens 0, 1, … stand for. */
  readonly characters: readonly string[];
  readonly steps: number;
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly context: number;
  readonly batch: number;
  readonly lr: number;
  readonly dropout: number;
  readonly seed: number;
}

const NUMBERS = ['length', 'steps', 'layers', 'heads', 'width', 'context', 'batch', 'lr', 'dropout', 'seed'] as const;

/** Whether the options of a run are those of `gpt`. */
export const isGpt = (options: JsonObject): boolean => options.program === 'gpt';

/** The recipe that a file holds. Throws an error that names the file, `what`, and the field that cannot be. */
export function checkGptRecipe(options: JsonObject, what: string): GptRecipe {
  const bad =
    NUMBERS.find((name) => typeof options[name] !== 'number') ??
    (typeof options.data === 'string' ? null : 'data') ??
    (Array.isArray(options.characters) ? null : 'characters');
  if (bad) throw new Error(`${what}: options.${bad} is ${JSON.stringify(options[bad])}, which no run of gpt has`);
  return options as GptRecipe;
}

/** The network with weights as it starts. */
export const createGpt = ({ characters, context, layers, heads, width, dropout }: GptRecipe): models.GPT =>
  new models.GPT({
    vocabSize: characters.length,
    ...{ blockSize: context, nLayer: layers, nHead: heads, nEmbd: width, dropout },
  });
