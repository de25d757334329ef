// A trained network as an ONNX file, for inference elsewhere.
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { loadWeights, zeros } from '../../src/index.node.js';
import { exportOnnx } from '../../src/onnx';
import { readCheckpoint } from '../../src/train/run-folder.node.js';
import { describeDataset } from '../shared/datasets';
import { checkGptRecipe, createGpt, isGpt } from '../shared/gpt-recipe';
import { loadOwnFolder } from '../shared/own-folder';
import { readSaved } from '../shared/runs';

/** What the file's input and output mean. */
export interface OnnxReport {
  model: string;
  onnx: string;
  /** Of the file. */
  bytes: number;
  /** Of the input: [batch, 3, height, width]. */
  shape: ['batch', 3, number, number];
  /** Pixels in [0, 1] become (pixel − mean) / std. */
  mean: readonly number[];
  std: readonly number[];
  /** Of the logits, in their order. */
  classes: readonly string[];
}

/**
 * Writes `file` from a file of weights; with `apart` the weights lie beside it, in FILE.data. `images` is the folder of the user's own images that the
 * page has trained the network on: it names the classes.
 */
export async function writeOnnx(weights: string, file: string, apart: boolean, images?: string): Promise<OnnxReport> {
  const { model, dataset, size = 32, load } = readSaved(weights, {});
  const { classes, mean, std } =
    dataset === 'own' ? await loadOwnFolder(images, weights, { images: false }) : describeDataset(dataset);
  const externalData = `${basename(file)}.data`;
  const names = { inputNames: ['images'], outputNames: ['logits'] };
  const options = { ...names, ...(apart && { externalData }) };
  const { bytes, data } = await exportOnnx(load(classes.length), zeros([4, 3, size, size]), options);
  writeFileSync(file, bytes);
  if (data) writeFileSync(`${file}.data`, data);
  return { model, onnx: file, bytes: bytes.length, shape: ['batch', 3, size, size], mean, std, classes };
}

/** Whether the weights are of a run of `gpt`. */
export const isText = (weights: string): boolean => isGpt(readCheckpoint(weights).options);

/** Writes `file` from a checkpoint of `gpt`: tokens [batch, time] to logits, with any number of both. Gives the characters that tokens stand for. */
export async function writeGptOnnx(weights: string, file: string, apart: boolean) {
  const { options, tensors } = readCheckpoint(weights);
  const recipe = checkGptRecipe(options, weights);
  const model = createGpt(recipe);
  loadWeights(model, tensors);
  const names = { inputNames: ['tokens'], outputNames: ['logits'] };
  // Sizes are told apart by examples of up to four tokens.
  const free: Record<number, string> = recipe.context < 4 ? { 0: 'batch' } : { 0: 'batch', 1: 'time' };
  const example = zeros([4, Math.min(4, recipe.context)], { dtype: 'int32' });
  const more = apart && { externalData: `${basename(file)}.data` };
  const { bytes, data } = await exportOnnx(model, example, { ...names, dynamicAxes: { tokens: free }, ...more });
  writeFileSync(file, bytes);
  if (data) writeFileSync(`${file}.data`, data);
  return { onnx: file, bytes: bytes.length, context: recipe.context, characters: recipe.characters };
}
