// Runs that go to PyTorch and come back. What needs Python with torch and NumPy (PYTHON, or python3) is skipped where there is none.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { exportRun } from '../../examples/export/torch/folder';
import { Characters } from '../../examples/gpt/text';
import { createAdamW, train as trainGpt } from '../../examples/gpt/train';
import { loadDataset } from '../../examples/shared/datasets';
import { createGpt, type GptRecipe } from '../../examples/shared/gpt-recipe';
import { completeRecipe, type Recipe, type Wanted } from '../../examples/shared/recipe';
import { importFolder } from '../../examples/shared/torch-folder';
import { createNetwork, createTrainer } from '../../examples/shared/training';
import { parseSafetensors, type StoredTensor, serializeSafetensors } from '../../src/formats/safetensors';
import {
  F,
  fromStored,
  loadWeights,
  models,
  noGrad,
  type Tensor,
  type Trainer,
  tensor,
  toStored,
} from '../../src/index.node.js';
import { torchModel } from '../../src/torch/write';
import { type ResumedCheckpoint, RunFolder, readCheckpoint } from '../../src/train/run-folder.node.js';
import { pythonWith } from '../python';
import { useGpu } from '../util';

useGpu();
const base = mkdtempSync(join(tmpdir(), 'dawnfield-torch-'));
test.after(() => rmSync(base, { recursive: true }));
const python = pythonWith('torch', 'numpy');
const tested = python ? test : test.skip;

const SMALL: Wanted = {
  ...{ dataset: 'synthetic', subset: 20, testSubset: 10, size: 16 },
  ...{ batch: 8, epochs: 4, milestones: [3], eager: true },
};
const RUNS: Record<string, Wanted> = {
  particles: { model: 'meanfield-resnet20', width: 0.25, tauTimes: 'random', tauLr: 0.5, lr: 0.02 },
  position: { model: 'meanfield-resnext20-2x4d', width: 0.25, statistics: 'position', clampTau: true, lr: 0.005 },
  bottleneck: { model: 'resnet29-b', width: 0.25, lr: 0.02, labelSmoothing: 0.1 },
  post: { model: 'resnet8-post-a', width: 0.25, lr: 0.02 },
  flow: { model: 'feature-flow-resnet8', width: 0.25, lr: 0.02, lambda: 0, schedule: 'cosine', milestones: undefined },
};

const pathOf = (name: string, kind: 'run' | 'torch' | 'again') => join(base, `${name}-${kind}`);
const dataOf = ({ subset: train, testSubset: testImages }: Recipe) =>
  loadDataset({ dataset: 'synthetic', train, test: testImages, seed: 0 });

/** Ten batches of noise. */
function batches() {
  const rng = new Rng(1, 0, 0);
  const images = Float32Array.from({ length: 10 * 6144 }, () => rng.normal());
  return { images, labels: Int32Array.from({ length: 80 }, () => Math.floor(rng.uniform() * 10)) };
}

/** A trainer of the run in a folder, which is stopped after an epoch. */
async function trained(name: string): Promise<{ trainer: Trainer; recipe: Recipe }> {
  const recipe = completeRecipe({ ...SMALL, ...RUNS[name] });
  const store = RunFolder.create(pathOf(name, 'run'), recipe);
  const stop = new AbortController();
  const options = { store, signal: stop.signal, onEpoch: () => stop.abort() };
  const trainer = createTrainer(createNetwork(recipe), recipe, await dataOf(recipe), options);
  await trainer.run();
  store.close();
  const folder = pathOf(name, 'torch');
  await exportRun(pathOf(name, 'run'), folder, { say: () => {} });
  const { images, labels } = batches();
  const given = {
    images: await toStored(tensor(images, { shape: [10, 8, 3, 16, 16] })),
    labels: await toStored(tensor(labels, { shape: [10, 8] })),
  };
  writeFileSync(join(folder, 'batches.safetensors'), serializeSafetensors(given));
  return { trainer, recipe };
}

const run = (args: readonly string[], cwd: string) => {
  const { status, stdout, stderr } = spawnSync(python ?? '', args, { cwd, encoding: 'utf8' });
  assert.is(status, 0, stderr || stdout);
  return stdout;
};

/** In each folder ten steps of its `train.py`: of images on given batches, of a text on those that it draws. */
const COMPARE = `
import importlib, os, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, ".")
for folder in sys.argv[1:]:
    os.chdir(folder)
    for name in ("train", "model", "tensors"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    from train import Run
    from tensors import read_tensors, write_tensors
    run = Run(".")
    if hasattr(run, "draw"):
        pieces = []
        for step in range(10):
            run.progress["step"] = step
            pieces.append(run.draw())
        images, labels = zip(*pieces)
        given = {"batches": torch.stack([torch.cat([x, y[:, -1:]], 1) for x, y in pieces]).int()}
    else:
        given, _ = read_tensors("batches.safetensors")
        images, labels, given = given["images"], given["labels"].long(), {}
        run.set_rates(run.progress["epoch"])
    run.model.eval()
    with torch.no_grad():
        logits = run.model(images[0])
    run.model.train()
    steps = [run.step(x, y) for x, y in zip(images, labels)]
    losses = [step[0] / len(images[0]) if isinstance(step, tuple) else step for step in steps]
    state = {name: x for name, x in [*run.model.named_parameters(), *run.model.named_buffers()] if "num_batches" not in name}
    write_tensors("result.safetensors", {"logits": logits, "losses": torch.stack(losses), **given, **state}, {})
`;

let isCompared = false;
/** What PyTorch has computed in the folder of a run. */
function resultOf(name: string): Map<string, StoredTensor> {
  if (!isCompared) run(['-c', COMPARE, ...[...Object.keys(RUNS), 'gpt'].map((key) => pathOf(key, 'torch'))], base);
  isCompared = true;
  return parseSafetensors(readFileSync(join(pathOf(name, 'torch'), 'result.safetensors'))).tensors;
}

const floats = (x: StoredTensor) => Array.from(x.data, Number);
const most = (list: readonly number[]) => Math.max(...list.map(Math.abs));

/** How far the weights in two folders are apart, which are of one step. */
function apart(one: string, two: string): number {
  const [a, b] = [one, two].map((path) => parseSafetensors(readFileSync(join(path, 'weights.safetensors'))));
  assert.is(a!.metadata.step, b!.metadata.step);
  let [difference, length] = [0, 0];
  for (const [name, x] of a!.tensors)
    floats(b!.tensors.get(name)!).forEach((v, i) => {
      difference += (v - Number(x.data[i])) ** 2;
      length += Number(x.data[i]) ** 2;
    });
  return Math.sqrt(difference / length);
}

/** Ten steps here, on given batches: logits before, losses, and all tensors after. */
async function steps(trainer: Trainer, recipe: Recipe, images: Float32Array, labels: Int32Array) {
  const { optimizer } = trainer;
  const model = trainer.model as ReturnType<typeof createNetwork>;
  const shape = [8, 3, 16, 16];
  const batch = (k: number): [Tensor, Tensor] => [
    tensor(images.slice(k * 6144, (k + 1) * 6144), { shape }),
    tensor(labels.slice(k * 8, (k + 1) * 8)),
  ];
  model.eval();
  const logits = [...(await noGrad(() => model.forward(batch(0)[0])).data())];
  model.train();
  const losses: number[] = [];
  for (let k = 0; k < 10; k++) {
    const [x, y] = batch(k);
    const loss = F.crossEntropy(model.forward(x), y, { labelSmoothing: recipe.labelSmoothing ?? 0 });
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    if (model instanceof models.MeanFieldResNet) model.sortParticles();
    losses.push(await loss.item());
  }
  const tensors = new Map<string, number[]>();
  for (const [name, x] of model.allNames()) if (!/num_batches/.test(name)) tensors.set(name, [...(await x.data())]);
  return { logits, losses, tensors };
}

const trainedRuns = new Map<string, Awaited<ReturnType<typeof trained>>>();

const TEXT = 'a cat sat on a mat, and a rat ran after that cat. '.repeat(8);
const gpt: GptRecipe = {
  ...{ program: 'gpt', data: join(base, 'text.txt'), length: TEXT.length, characters: [...new Set(TEXT)].sort() },
  ...{ steps: 6, layers: 2, heads: 2, width: 16, context: 12, batch: 4, lr: 0.01, dropout: 0, seed: 3 },
};
const encoded = () => new Characters(TEXT, gpt.characters).encode(TEXT);

/** Trains on in the folder of a run of gpt; the loss of the last step. */
async function written(folder: RunFolder, steps: number, from: ResumedCheckpoint | null = null) {
  const how = { folder, from, look: () => {}, begin: () => {} };
  const trainedGpt = await trainGpt({ ...gpt, steps }, encoded(), how);
  folder.close();
  return trainedGpt;
}

test('gpt: a run goes on bit for bit; to PyTorch and back nothing changes', async () => {
  writeFileSync(gpt.data, TEXT);
  const whole = await written(RunFolder.create(join(base, 'gpt-whole'), gpt), 6);
  await written(RunFolder.create(pathOf('gpt', 'run'), gpt), 3);
  const open = RunFolder.open(pathOf('gpt', 'run'));
  const again = await written(open, 6, open.resume(['steps']));
  assert.is(again.loss, whole.loss);
  await exportRun(pathOf('gpt', 'run'), pathOf('gpt', 'torch'), { say: () => {} });
  assert.equal(importFolder(pathOf('gpt', 'torch'), pathOf('gpt', 'again')), { step: 6, epoch: null });
  const [before, after] = [pathOf('gpt', 'run'), pathOf('gpt', 'again')].map((path) =>
    readCheckpoint(join(path, 'checkpoint-last.safetensors')),
  );
  assert.equal(after, before);
});

for (const name of Object.keys(RUNS)) {
  test(`${name}: to PyTorch and back nothing changes`, async () => {
    trainedRuns.set(name, await trained(name));
    const [folder, again] = [pathOf(name, 'torch'), pathOf(name, 'again')];
    assert.equal(importFolder(folder, again), { step: 3, epoch: 1 });
    const [before, after] = [pathOf(name, 'run'), again].map((path) =>
      readCheckpoint(join(path, 'checkpoint-last.safetensors')),
    );
    const { buffers: _, ...progress } = before!.progress;
    const { buffers: __, ...now } = after!.progress;
    assert.equal([now, after!.options, after!.engine], [progress, before!.options, before!.engine]);
    assert.equal(after!.tensors, before!.tensors);
    assert.equal(readFileSync(join(again, 'metrics.jsonl')), readFileSync(join(pathOf(name, 'run'), 'metrics.jsonl')));
  });
}

for (const name of Object.keys(RUNS))
  tested(`${name}: in PyTorch logits and ten steps are the same`, async () => {
    const { trainer, recipe } = trainedRuns.get(name)!;
    const { images, labels } = batches();
    const { logits, losses, tensors } = await steps(trainer, recipe, images, labels);
    const result = resultOf(name);
    const far = (a: readonly number[], b: readonly number[]) => most(a.map((x, i) => x - b[i]!)) / most(b);
    assert.ok(
      far(logits, floats(result.get('logits')!)) < 1e-5,
      `logits: ${far(logits, floats(result.get('logits')!))}`,
    );
    // Tolerances of ../shared/parity for preact20.
    for (const [step, tolerance] of [
      [1, 1e-5],
      [2, 1e-5],
      [3, 1e-5],
      [5, 1e-4],
      [10, 1e-3],
    ] as const) {
      const want = floats(result.get('losses')!)[step - 1]!;
      const error = Math.abs(losses[step - 1]! - want) / want;
      assert.ok(error <= tolerance, `loss of step ${step}: ${losses[step - 1]} and ${want}`);
    }
    let [difference, length] = [0, 0];
    for (const [key, x] of tensors) {
      const want = floats(result.get(key)!);
      assert.is(x.length, want.length, key);
      if (key.endsWith('ids')) assert.equal(x, want, key);
      else if (!/running/.test(key))
        x.forEach((v, i) => ((difference += (v - want[i]!) ** 2), (length += want[i]! ** 2)));
    }
    assert.ok(Math.sqrt(difference / length) < 2e-3, `weights after ten steps: ${Math.sqrt(difference / length)}`);
    if (name !== 'particles') return;
    const orders = [...tensors].filter(([key]) => key.endsWith('ids')).map(([, ids]) => ids);
    assert.ok(
      orders.some((ids) => ids.some((id, i) => id !== i)),
      'no two particles changed places: the test shows nothing',
    );
  });

tested('gpt: in PyTorch logits and ten steps are the same', async () => {
  const result = resultOf('gpt');
  const checkpoint = readCheckpoint(join(pathOf('gpt', 'again'), 'checkpoint-last.safetensors'));
  const model = createGpt(gpt);
  loadWeights(model, checkpoint.tensors);
  const optimizer = createAdamW(model, gpt);
  const kept = Object.entries(checkpoint.tensors).filter(([name]) => name.startsWith('optimizer/'));
  optimizer.loadStateDict(Object.fromEntries(kept.map(([name, x]) => [name.slice(10), fromStored(x)])));
  const batches = fromStored(result.get('batches')!);
  const losses: number[] = [];
  for (let k = 0; k < 10; k++) {
    const pieces = batches.select(0, k);
    const [x, y] = [pieces.narrow(1, 0, 12), pieces.narrow(1, 1, 12)];
    const logits = model.forward(x);
    if (k === 0) {
      const far = most(floats(result.get('logits')!));
      const got = await logits.data();
      assert.ok(most(floats(result.get('logits')!).map((v, i) => v - got[i]!)) <= 1e-5 * far, 'logits');
    }
    const loss = F.crossEntropy(logits.flatten(0, 1), y.flatten());
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    losses.push(await loss.item());
  }
  const wanted = floats(result.get('losses')!);
  for (const [i, loss] of losses.entries())
    assert.ok(Math.abs(loss - wanted[i]!) <= 1e-4 * wanted[i]!, `loss of step ${i + 1}: ${loss} and ${wanted[i]}`);
});

tested('gpt: two processes end as one does; what they made is resumed here', async () => {
  const [one, two] = ['gpt-one', 'gpt-two'].map((n) => join(base, n)) as [string, string];
  for (const path of [one, two]) cpSync(pathOf('gpt', 'torch'), path, { recursive: true });
  assert.match(run(['train.py', '--cpu', '--steps', '9', '--generate', '5'], one), /at step 9 of 9\n.{13}\n/);
  const distributed = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2'];
  run([...distributed, 'train.py', '--cpu', '--steps', '9'], two);
  assert.ok(apart(one, two) < 1e-5);
  assert.equal(importFolder(one, join(base, 'gpt-back')), { step: 9, epoch: null });
  const back = RunFolder.open(join(base, 'gpt-back'));
  const { loss } = await written(back, 12, back.resume(['steps']));
  assert.ok(loss !== null && loss < 3, String(loss));
});

tested('two processes end as one does; what they made is resumed here', async () => {
  const folder = pathOf('particles', 'torch');
  const [one, two] = ['one', 'two'].map((n) => join(base, n)) as [string, string];
  for (const path of [one, two]) cpSync(folder, path, { recursive: true });
  run(['train.py', '--cpu', '--steps', '4'], one);
  run(
    ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', 'train.py', '--cpu', '--steps', '4'],
    two,
  );
  assert.ok(apart(one, two) < 1e-5);

  // Step 7 is the first of the third epoch. PyTorch goes on to its end, then we do.
  run(['train.py', '--cpu', '--steps', '2'], one);
  const out = join(base, 'back');
  assert.equal(importFolder(one, out), { step: 9, epoch: 3 });
  const made = parseSafetensors(readFileSync(join(one, 'weights.safetensors'))).tensors;
  const store = RunFolder.open(out);
  const checkpoint = store.resume()!;
  for (const [name, x] of made) assert.equal(floats(checkpoint.tensors[name]!), floats(x), name);
  const recipe = completeRecipe({ ...SMALL, ...RUNS.particles });
  const trainer = createTrainer(createNetwork(recipe), recipe, await dataOf(recipe), { store });
  trainer.restore(checkpoint, checkpoint.path);
  const summary = await trainer.run();
  assert.equal([summary.finished, summary.epoch, summary.step], [true, 4, 12]);
  const epochs = store.readMetrics().filter((line) => line.type === 'epoch');
  assert.equal(
    epochs.map((line) => line.epoch),
    [1, 2, 3, 4],
  );
  assert.ok(epochs.every((line) => 'stages' in line && Number.isFinite(line.testError)));
  store.close();
});

test('what cannot be exported or imported is named', async () => {
  const missing = await exportRun(join(base, 'nothing'), join(base, 'x'), { say: () => {} }).catch(
    (error) => error.message,
  );
  assert.match(missing, /nothing.checkpoint-last\.safetensors/);
  const taken = await exportRun(pathOf('post', 'run'), pathOf('post', 'torch'), { say: () => {} }).catch(
    (e) => e.message,
  );
  assert.match(taken, /is not empty: choose another folder/);
  const half = new models.MeanFieldResNet({ blocks: 1, particles: { scaling: 'mean-field' } });
  assert.throws(() => torchModel(half, 'mine'), /stage1 is a MeanField with scaling: 'mean-field'/);
  assert.throws(() => importFolder(base, join(base, 'x')), /is not a folder that 'dawnfield export RUN --torch'/);
  const broken = join(base, 'broken');
  cpSync(pathOf('post', 'torch'), broken, { recursive: true });
  const { tensors, metadata } = parseSafetensors(readFileSync(join(broken, 'weights.safetensors')));
  const write = (all: Record<string, StoredTensor>, step = metadata.step) =>
    writeFileSync(join(broken, 'weights.safetensors'), serializeSafetensors(all, { step: step! }));
  const { 'linear.bias': bias, ...rest } = Object.fromEntries(tensors);
  write(rest);
  assert.throws(
    () => importFolder(broken, join(base, 'x')),
    /'linear\.bias' is missing, the run that was exported has \[10\]/,
  );
  write({ ...rest, 'linear.bias': bias!, more: bias! });
  assert.throws(() => importFolder(broken, join(base, 'x')), /'more' is not in the run that was exported/);
  write(Object.fromEntries(tensors), '9');
  assert.throws(
    () => importFolder(broken, join(base, 'x')),
    /weights\.safetensors is of step 9, optimizer\.safetensors of 3/,
  );
  assert.not(existsSync(join(base, 'x')), 'nothing is left of what was refused');
});

test.run();
