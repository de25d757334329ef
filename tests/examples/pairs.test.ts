// What makes pairs of runs: all arms of a seed start from the same weights and see the same batches, to the last bit; and a run in a process that
// has trained others ends in the bits of one alone, and leaves nothing behind.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../../datasets/synthetic';
import { completeRecipe, type Recipe } from '../../examples/shared/recipe';
import { createNetwork, createTrainer, residentImages } from '../../examples/shared/training';
import { ARMS, type Arm, PRESETS } from '../../examples/table-1/options';
import { device, type Tensor } from '../../src/index.node.js';
import { settled, useGpu } from '../util';

useGpu();

const recipeOf = (arm: Arm, seed = 3): Recipe =>
  completeRecipe({
    ...ARMS[arm],
    ...{ model: arm === 'vanilla' ? 'resnet14' : 'meanfield-resnet14', dataset: 'synthetic', subset: 40, seed },
    ...{ width: 0.25, size: 16, batch: 16, epochs: 1, telemetry: true },
  });
const data = synthetic({ classes: 10, train: 40, test: 10 });
const hash = async (x: Tensor) =>
  createHash('sha256')
    .update(new Uint8Array((await x.data()).slice().buffer))
    .digest('hex');

test('all arms of the preset: the same weights and batches in a seed, others in another seed', async () => {
  const start = async (recipe: Recipe) => {
    const model = createNetwork(recipe);
    // Names tell positions: the same layers in the same order, times and ids left out.
    const tensors = [...model.namedTensors()].filter(
      ([name]) => !/(tau|ids)$/.test(name) && !/\.(swaps|effects)$/.test(name),
    );
    const weights = await Promise.all(tensors.map(([, x]) => hash(x)));
    const seen: Tensor[] = [];
    model.onForward((module, [images]) => {
      if (module.training) seen.push((images as Tensor).keep());
    });
    const images = residentImages(data, recipe);
    // Not compiled, so that every batch passes by.
    const eager = { ...recipe, compile: false, telemetry: false };
    await createTrainer(model, eager, data, { ...{ train: images.train, test: undefined } }).run();
    images.dispose();
    return { weights, batches: await Promise.all(seen.map(hash)) };
  };
  const vanilla = await start(recipeOf('vanilla'));
  assert.is(new Set(vanilla.batches).size, 3);
  for (const arm of PRESETS['re-sorting'].arms.slice(1)) {
    const { weights, batches } = await start(recipeOf(arm));
    assert.equal(weights, vanilla.weights, arm);
    assert.equal(batches, vanilla.batches, arm);
  }
  const other = await start(recipeOf('vanilla', 4));
  assert.not.equal(other.weights, vanilla.weights);
  assert.not.equal(other.batches, vanilla.batches);
});

test('runs in one process share images and pipelines, have the bits of a run alone, and leave no memory behind', async () => {
  const recipe = recipeOf('meanfield-fraction');
  const images = residentImages(data, recipe);
  const train = async () => {
    const model = createNetwork(recipe);
    const { train, test } = images;
    await createTrainer(model, recipe, data, { train, test }).run();
    const bits = await Promise.all([...model.namedTensors()].map(([, x]) => hash(x)));
    for (const [, x] of model.namedTensors()) x.dispose();
    return bits;
  };
  const first = await train();
  const pipelines = device().stats().pipelinesCreated;
  const before = await settled();
  for (let i = 0; i < 2; i++) assert.equal(await train(), first);
  assert.is(device().stats().pipelinesCreated, pipelines);
  const left = ((await settled()) - before) / 2;
  // A plan alone would be some megabytes.
  assert.ok(left < 100_000, `${left} bytes a run`);
});

test.run();
