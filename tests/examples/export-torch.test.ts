// Runs that go to PyTorch and come back. What needs Python with torch and NumPy (PYTHON, or python3) is skipped where there is none.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../../datasets/random';
import { exportTorch } from '../../examples/export/torch/folder';
import { torchModel } from '../../examples/export/torch/model';
import { loadDataset } from '../../examples/shared/datasets';
import { completeRecipe, type Recipe, type Wanted } from '../../examples/shared/recipe';
import { importFolder } from '../../examples/shared/torch-folder';
import { createNetwork, createTrainer } from '../../examples/shared/training';
import { parseSafetensors, type StoredTensor, serializeSafetensors } from '../../src/formats/safetensors';
import { F, models, noGrad, type Tensor, type Trainer, tensor, toStored } from '../../src/index.node.js';
import { RunFolder, readCheckpoint } from '../../src/train/run-folder.node.js';
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

/** A trainer of the run in a folder, which is stopped after an epoch. */
async function trained(name: string): Promise<{ trainer: Trainer; recipe: Recipe }> {
  const recipe = completeRecipe({ ...SMALL, ...RUNS[name] });
  const store = RunFolder.create(pathOf(name, 'run'), recipe);
  const stop = new AbortController();
  const options = { store, signal: stop.signal, onEpoch: () => stop.abort() };
  const trainer = createTrainer(createNetwork(recipe), recipe, await dataOf(recipe), options);
  await trainer.run();
  store.close();
  await exportTorch(pathOf(name, 'run'), pathOf(name, 'torch'), { say: () => {} });
  return { trainer, recipe };
}

const run = (args: readonly string[], cwd: string) => {
  const { status, stdout, stderr } = spawnSync(python ?? '', args, { cwd, encoding: 'utf8' });
  assert.is(status, 0, stderr || stdout);
  return stdout;
};

const COMPARE = `
import sys, torch, torch.nn.functional as F
from train import Run
from tensors import read_tensors, write_tensors
torch.set_num_threads(1)
run = Run(".")
given, _ = read_tensors("batches.safetensors")
images, labels = given["images"], given["labels"].long()
run.model.eval()
with torch.no_grad():
    logits = run.model(images[0])
run.model.train()
run.set_rates(run.progress["epoch"])
losses = [run.step(x, y)[0] / len(x) for x, y in zip(images, labels)]
state = {name: x for name, x in [*run.model.named_parameters(), *run.model.named_buffers()] if "num_batches" not in name}
write_tensors("result.safetensors", {"logits": logits, "losses": torch.stack(losses), **state}, {})
`;

const floats = (x: StoredTensor) => Array.from(x.data, Number);
const most = (list: readonly number[]) => Math.max(...list.map(Math.abs));

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

for (const name of Object.keys(RUNS))
  test(`${name}: to PyTorch and back nothing changes; there logits and ten steps are the same`, async () => {
    const { trainer, recipe } = await trained(name);
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
    if (!python) return;

    const rng = new Rng(1, 0, 0);
    const images = Float32Array.from({ length: 10 * 6144 }, () => rng.normal());
    const labels = Int32Array.from({ length: 80 }, () => Math.floor(rng.uniform() * 10));
    const given = await Promise.all(
      [tensor(images, { shape: [10, 8, 3, 16, 16] }), tensor(labels, { shape: [10, 8] })].map(toStored),
    );
    writeFileSync(join(folder, 'batches.safetensors'), serializeSafetensors({ images: given[0]!, labels: given[1]! }));
    run(['-c', COMPARE], folder);
    const { logits, losses, tensors } = await steps(trainer, recipe, images, labels);
    const result = parseSafetensors(readFileSync(join(folder, 'result.safetensors'))).tensors;
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

tested('two processes end as one does; what they made is resumed here', async () => {
  const folder = pathOf('particles', 'torch');
  const [one, two] = ['one', 'two'].map((n) => join(base, n)) as [string, string];
  for (const path of [one, two]) cpSync(folder, path, { recursive: true });
  run(['train.py', '--cpu', '--steps', '4'], one);
  run(
    ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', 'train.py', '--cpu', '--steps', '4'],
    two,
  );
  const [a, b] = [one, two].map((path) => parseSafetensors(readFileSync(join(path, 'weights.safetensors'))));
  assert.equal([a!.metadata.step, b!.metadata.step], ['7', '7']);
  let [difference, length] = [0, 0];
  for (const [name, x] of a!.tensors)
    floats(b!.tensors.get(name)!).forEach((v, i) => {
      difference += (v - Number(x.data[i])) ** 2;
      length += Number(x.data[i]) ** 2;
    });
  assert.ok(Math.sqrt(difference / length) < 1e-5, `${Math.sqrt(difference / length)}`);

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
  const missing = await exportTorch(join(base, 'nothing'), join(base, 'x'), { say: () => {} }).catch(
    (error) => error.message,
  );
  assert.match(missing, /nothing.checkpoint-last\.safetensors/);
  const taken = await exportTorch(pathOf('post', 'run'), pathOf('post', 'torch'), { say: () => {} }).catch(
    (e) => e.message,
  );
  assert.match(taken, /is not empty: choose another folder/);
  assert.throws(
    () => torchModel(new models.UNet(), 'mine'),
    /the network is a UNet, which has no form in PyTorch here/,
  );
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
