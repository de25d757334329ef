// The training of `gpt`: pieces of the text drawn on the GPU, AdamW, one submit a step, and a folder that the run goes on from.
import { compile, F, loadWeights, manualSeed, type models, optim } from '../../src/index.node.js';
import { fromStored, PRIVATE, readAll } from '../../src/nn/stored';
import { getRngState, setRngState } from '../../src/tensor/seed';
import type { JsonObject } from '../../src/train/checkpoint';
import type { ResumedCheckpoint, RunFolder } from '../../src/train/run-folder.node.js';
import { createGpt, type GptRecipe } from '../shared/gpt-recipe';
import { Pieces } from './text';

/** Steps between two looks at the loss, which wait for the GPU. */
const LOOK_EVERY = 50;
/** Steps between two checkpoints. */
const SAVE_EVERY = 250;

export interface Training {
  readonly model: models.GPT;
  /** Of the last step; null where no step was left to do. */
  readonly loss: number | null;
  readonly seconds: number;
  /** Launches of a step. */
  readonly launches: number | undefined;
}

interface How {
  /** Where the run is kept. */
  readonly folder?: RunFolder;
  /** What it goes on from. */
  readonly from?: ResumedCheckpoint | null;
  /** Gets the loss at times. */
  readonly look: (step: number, loss: number) => void;
  readonly begin: (model: models.GPT) => void;
}

/** The optimizer of a run. */
export const createAdamW = (model: models.GPT, { lr }: Pick<GptRecipe, 'lr'>) =>
  new optim.AdamW(model.parameters(), { lr });

/** Trains to the recipe's last step. */
export async function train(recipe: GptRecipe, tokens: readonly number[], how: How): Promise<Training> {
  manualSeed(recipe.seed);
  const model = createGpt(recipe);
  const optimizer = createAdamW(model, recipe);
  const pieces = new Pieces(tokens);
  const { folder, from } = how;
  let done = 0;
  if (from) {
    loadWeights(model, from.tensors);
    const kept = Object.entries(from.tensors).filter(([name]) => name.startsWith(PRIVATE.optimizer));
    optimizer.loadStateDict(
      Object.fromEntries(kept.map(([name, x]) => [name.slice(PRIVATE.optimizer.length), fromStored(x)])),
    );
    done = Number(from.progress.step);
    setRngState(from.progress.rng as unknown as Parameters<typeof setRngState>[0]);
  }
  how.begin(model);
  const step = compile(() => {
    const { inputs, targets } = pieces.draw(recipe.batch, recipe.context);
    const logits = model.forward(inputs);
    const loss = F.crossEntropy(logits.reshape([-1, recipe.characters.length]), targets.reshape([-1]));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  const save = async (at: number, loss: number | null) =>
    folder?.saveCheckpoint({
      tensors: await readAll([
        ...model.allNames(),
        ...Object.entries(optimizer.stateDict()).map(([name, x]) => [PRIVATE.optimizer + name, x] as const),
      ]),
      progress: { step: at, loss, rng: { ...getRngState() } as unknown as JsonObject },
      options: recipe,
      engine: {},
    });
  let loss: number | null = null;
  const began = performance.now();
  for (let i = done + 1; i <= recipe.steps; i++) {
    const result = step();
    const saved = folder && i % SAVE_EVERY === 0;
    if (i % LOOK_EVERY && i > done + 1 && i < recipe.steps && !saved) {
      result.dispose();
      continue;
    }
    loss = await result.item();
    if (Number.isNaN(loss)) throw new Error(`the loss is NaN after step ${i}: lower --lr`);
    how.look(i, loss);
    const time = (performance.now() - began) / 1000;
    const line = { type: 'step', step: i, epoch: 1, loss, lr: recipe.lr, imagesPerSecond: 0, time } as const;
    folder?.appendMetrics({ ...line, imagesPerSecond: (recipe.batch * (i - done)) / time });
    if (saved || i === recipe.steps) await save(i, loss);
  }
  const seconds = (performance.now() - began) / 1000;
  const launches = step.plans[0]?.dispatches;
  step.release();
  return { model, loss, seconds, launches };
}
