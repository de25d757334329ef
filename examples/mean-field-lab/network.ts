// A trained checkpoint as a subject: any of the pre-activation networks, vanilla or mean-field.

import { join } from 'node:path';
import { ResidentImages } from '../../datasets/resident';
import { there } from '../../shaders/checked';
import { evaluate, F, loadWeights, type MeanField, models, nn, type Tensor, tensor } from '../../src/index.node.js';
import { findNonFinite } from '../../src/nn/stored';
import { bestWeights, checkpointFile, isRun, readCheckpoint } from '../../src/train/run-folder.node.js';
import { averaged } from '../shared/averaged';
import { loadDataset } from '../shared/datasets';
import { first } from '../shared/first';
import { UsageError } from '../shared/options';
import { checkRecipe } from '../shared/recipe';
import type { Stage, Subject } from './subject';

export interface NetworkOptions {
  checkpoint: 'last' | 'best';
  data?: string;
  /** Test images, and how many at a time. */
  images?: number;
  batch: number;
}

/** The network of a run folder of cifar-train, with test images of its data set. */
export async function networkSubject(folder: string, options: NetworkOptions): Promise<Subject> {
  if (!isRun(folder))
    throw new Error(`${folder} holds no run that has begun: there is no ${checkpointFile('last')} in it`);
  const best = options.checkpoint === 'best' ? bestWeights(folder) : null;
  const path = best ?? join(folder, checkpointFile('last'));
  const { tensors, options: saved } = readCheckpoint(path);
  const recipe = checkRecipe(saved, path);
  const broken = findNonFinite(tensors, () => false);
  if (broken) throw new Error(`${path}: ${broken}`);
  const request = { dataset: recipe.dataset, data: options.data, splits: ['test' as const], fallback: false };
  const data = await loadDataset({ ...request, test: options.images, seed: recipe.seed });
  const model = models.createModel(recipe.model, {
    ...{ classes: data.classes.length, width: recipe.width, particles: { sort: recipe.sort } },
  });
  if (!(model instanceof models.PreActResNet || model instanceof models.MeanFieldResNet))
    throw new UsageError(`${folder}: the network is ${recipe.model}; studies are of pre-activation residual networks`);
  loadWeights(model, tensors);
  model.eval();
  const parts = new Map(model.children());
  const part = (name: string) => parts.get(name) as nn.Module & { forward(x: Tensor): Tensor };
  const stages = [1, 2, 3].map((s) => stageOf(s, parts));
  const forward: Subject['forward'] = (x, reading) => {
    let y = part('conv1').forward(x);
    for (const { first, stage } of stages) {
      if (first) y = first.forward(y);
      y = stage ? reading(stage, y) : y;
    }
    return part('linear').forward(F.globalAvgPool2d(part('bn').forward(y)));
  };
  const images = averaged(new ResidentImages(data.test, data), recipe.size);
  const { images: x, labels: y } = first(images.batches({ batchSize: options.batch }));
  return {
    name: recipe.model,
    stages: stages.flatMap(({ stage }) => stage ?? []),
    forward,
    batch: { x: x.keep(), y: y.keep() },
    lossOf: F.crossEntropy,
    async measure(reading) {
      /** The network read this way, as `evaluate` takes it. */
      class Variant extends nn.Module {
        readonly model = model;
        override forward(z: Tensor): Tensor {
          return forward(z, reading);
        }
      }
      const found = await evaluate(new Variant().eval(), images, { batchSize: options.batch });
      const { loss, error } = there(found, 'result of a whole evaluation');
      return { loss, error };
    },
  };
}

/** Stage s of a network by the names of its blocks, and the block in front that changes the shape. */
function stageOf(s: number, parts: ReadonlyMap<string, nn.Module>) {
  type Block = nn.Module & { forward(x: Tensor): Tensor };
  const blocks = [...parts].filter(([name]) => name.startsWith(`layer${s}.`)).map(([, block]) => block as Block);
  const [first] = blocks[0] instanceof models.PreActTransition ? blocks.splice(0, 1) : [];
  const meanField = (parts.get(`stage${s}`) as MeanField | undefined) ?? null;
  // A mean-field stage sorts its list of particles in place: weights move, the modules stay.
  const particles = meanField?.particles ?? blocks;
  const tau = meanField?.tau ?? tensor(blocks.map((_, l) => l + 1)).keep();
  const branches = meanField?.branches ?? blocks.map((block) => (x: Tensor) => block.forward(x));
  const stage: Stage | null = blocks.length ? { name: `stage ${s}`, branches, particles, tau, meanField } : null;
  return { first, stage };
}
