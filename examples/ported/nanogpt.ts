// train.py of karpathy/nanoGPT on letters: AdamW with decay for matrices alone, warm-up and cosine, gradients clipped. The model is models.GPT,
// which has nanoGPT's structure and names.
import { F, models, optim, type Tensor, tensor } from '../../src/index.node.js';

const TEXT = `Shall I compare thee to a summer's day? Thou art more lovely and more temperate: rough winds do shake the
darling buds of May, and summer's lease hath all too short a date. Sometime too hot the eye of heaven shines, and often
is his gold complexion dimmed; and every fair from fair sometime declines, by chance, or nature's changing course.`;

const letters = [...new Set(TEXT)].sort();
const data = Int32Array.from(TEXT, (letter) => letters.indexOf(letter));

const [blockSize, batchSize] = [24, 6];
const [learningRate, minLr, warmupIters, lrDecayIters] = [1e-2, 1e-3, 3, 40];
const [weightDecay, betas, gradClip] = [0.1, [0.9, 0.95], 1] as const;

export const newModel = (): models.GPT =>
  new models.GPT({ vocabSize: letters.length, blockSize, nLayer: 2, nHead: 2, nEmbd: 32, bias: false });

/** Pieces of the text and what follows each letter. nanoGPT draws where they begin; here they begin 17 letters apart. */
function getBatch(step: number): { x: Tensor; y: Tensor } {
  const starts = Array.from({ length: batchSize }, (_, b) => (17 * (step * batchSize + b)) % (data.length - blockSize));
  const piece = (shift: number) =>
    tensor(Int32Array.from(starts.flatMap((at) => [...data.subarray(at + shift, at + shift + blockSize)])), {
      shape: [batchSize, blockSize],
    });
  return { x: piece(0), y: piece(1) };
}

/** The factor on the learning rate: linear warm-up, then half a cosine down to `minLr`. */
function schedule(step: number): number {
  if (step < warmupIters) return (step + 1) / (warmupIters + 1);
  const ratio = Math.min(1, (step - warmupIters) / (lrDecayIters - warmupIters));
  const least = minLr / learningRate;
  return least + 0.5 * (1 + Math.cos(Math.PI * ratio)) * (1 - least);
}

/** Trains for some steps; gives the losses. */
export async function train({ steps, model = newModel() }: { steps: number; model?: models.GPT }): Promise<number[]> {
  const parameters = model.parameters();
  const optimizer = new optim.AdamW(
    [
      { params: parameters.filter((p) => p.ndim >= 2), weightDecay },
      { params: parameters.filter((p) => p.ndim < 2), weightDecay: 0 },
    ],
    { lr: learningRate, betas },
  );
  const scheduler = new optim.Scheduler(optimizer, schedule);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { x, y } = getBatch(step);
    const logits = model.forward(x);
    const loss = F.crossEntropy(logits.flatten(0, 1), y.flatten());
    loss.backward();
    optim.clipGradNorm(parameters, gradClip);
    optimizer.step();
    optimizer.zeroGrad();
    scheduler.step();
    losses.push(await loss.item());
  }
  return losses;
}
