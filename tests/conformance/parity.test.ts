// PyTorch, step by step (../shared/parity): whole networks from the same weights: logits, gradients, ten training steps, particles.
// Every folder there with a case.json is run.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { noGrad } from '../../src/autograd/tape';
import { parseSafetensors, toFloat32 } from '../../src/formats/safetensors';
import { MeanFieldResNet, PostActResNet, PreActResNet } from '../../src/models/resnet';
import type { Module } from '../../src/nn/module';
import type { StateDict } from '../../src/nn/stored';
import { crossEntropy } from '../../src/ops/loss';
import { SGD } from '../../src/optim/sgd';
import { tensor } from '../../src/tensor/create';
import type { Tensor } from '../../src/tensor/tensor';
import { sharedPath } from '../shared';
import { useGpu } from '../util';

const root = sharedPath('parity');
type Arrays = Map<string, { shape: readonly number[]; data: ArrayLike<number> }>;

function load(folder: string, files: string | string[]): Arrays {
  const all: Arrays = new Map();
  for (const file of [files].flat()) {
    const path = join(folder, file);
    for (const [name, entry] of parseSafetensors(readFileSync(path), path).tensors)
      all.set(name, {
        shape: entry.shape,
        data: entry.dtype === 'U8' || entry.dtype === 'I32' ? (entry.data as ArrayLike<number>) : toFloat32(entry),
      });
  }
  return all;
}

const MEAN = [0.4914, 0.4822, 0.4465];
const STD = [0.247, 0.2435, 0.2616];

/** Images k·size … normalised in double and rounded once, and their labels. */
function batch(arrays: Arrays, k: number, size: number): { x: Tensor; y: Tensor } {
  const images = arrays.get('images')!;
  const pixels = images.shape[1] * images.shape[2] * images.shape[3];
  const plane = images.shape[2] * images.shape[3];
  const x = new Float32Array(size * pixels);
  for (let i = 0; i < x.length; i++) {
    const channel = Math.floor(i / plane) % 3;
    x[i] = (images.data[k * size * pixels + i] / 255 - MEAN[channel]) / STD[channel];
  }
  const labels = Int32Array.from({ length: size }, (_, i) => arrays.get('labels')!.data[k * size + i]);
  return { x: tensor(x, { shape: [size, ...images.shape.slice(1)] }), y: tensor(labels) };
}

// biome-ignore lint/suspicious/noExplicitAny: the configuration is JSON from elsewhere
function build(config: Record<string, any>): Module {
  const { n, stem, inner, outer, classes, cardinality, shortcut } = config;
  const options = {
    blocks: n,
    stem,
    inner,
    outer,
    classes,
    groups: cardinality,
    shortcut,
    bottleneck: config.block === 'bottleneck',
  };
  if (config.style === 'postact') return new PostActResNet(options);
  return config.mean_field ? new MeanFieldResNet(options) : new PreActResNet(options);
}

function loadInto(model: Module, arrays: Arrays): void {
  const dict: StateDict = {};
  for (const [name, { shape, data }] of arrays) dict[name] = tensor(Float32Array.from(data), { shape });
  model.loadStateDict(dict);
}

interface Errors {
  max: number;
  l2: number;
}

/** The worst tensor's max|a − b| / max|b|, and |a − b| / |b| of all as one vector. */
async function compare(
  got: Iterable<[string, Tensor]>,
  want: Arrays,
  names: (name: string) => boolean = () => true,
): Promise<Errors> {
  let max = 0;
  let difference = 0;
  let length = 0;
  let count = 0;
  for (const [name, t] of got) {
    const reference = want.get(name);
    if (!reference || !names(name)) continue;
    count++;
    const data = await t.data();
    let top = 0;
    let worst = 0;
    for (let i = 0; i < data.length; i++) {
      const d = Math.abs(data[i] - reference.data[i]);
      worst = Number.isNaN(d) ? Infinity : Math.max(worst, d);
      top = Math.max(top, Math.abs(reference.data[i]));
      difference += d * d;
      length += reference.data[i] ** 2;
    }
    max = Math.max(max, worst / top);
  }
  assert.ok(count > 0, 'nothing was compared');
  return { max, l2: Math.sqrt(difference / length) };
}

/** Digests [L2 norm, sum]: |Δnorm| / norm and |Δsum| / (norm·√count), the worst tensor. */
async function compareDigests(
  got: Iterable<[string, Tensor]>,
  want: Record<string, [number, number]>,
): Promise<number> {
  let worst = 0;
  for (const [name, t] of got) {
    if (!(name in want)) continue;
    const data = await t.data();
    let square = 0;
    let sum = 0;
    for (const value of data) {
      square += value * value;
      sum += value;
    }
    const [norm, total] = want[name];
    worst = Math.max(
      worst,
      Math.abs(Math.sqrt(square) - norm) / norm,
      Math.abs(sum - total) / (norm * Math.sqrt(data.length)),
    );
  }
  return worst;
}

const momenta = (model: Module, optimizer: SGD): [string, Tensor][] =>
  [...model.namedParameters()].map(([name, p]) => [name, optimizer.stateOf(p).get('momentum')!]);
const isRunning = (name: string) => /running_(mean|var)$/.test(name);

function within(tolerance: Record<string, number>, key: string, value: number): void {
  assert.ok(value <= tolerance[key], `${key}: error ${value.toExponential(2)}, tolerance ${tolerance[key]}`);
}

if (!root) test.skip('networks of ../shared/parity (the folder is absent)', () => {});
else {
  useGpu();
  const batches = load(root, 'batches.safetensors');
  for (const name of readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)) {
    const folder = join(root, name);
    const c = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8'));
    const digests = JSON.parse(readFileSync(join(folder, c.files.digests), 'utf8'));
    const size = c.config.input[0];
    const start = (optimizer: { lr: number; momentum: number; weight_decay: number }) => {
      const model = build(c.config);
      loadInto(model, load(folder, c.files.init));
      const { lr, momentum, weight_decay: weightDecay } = optimizer;
      const own = c.tau_optimizer && optimizer === c.optimizer ? c.tau_optimizer : optimizer;
      const isTime = (key: string) => key.endsWith('tau');
      const named = [...model.namedParameters()];
      const groups = [
        { params: named.filter(([key]) => !isTime(key)).map(([, p]) => p) },
        {
          params: named.filter(([key]) => isTime(key)).map(([, p]) => p),
          lr: own.lr,
          momentum: own.momentum,
          weightDecay: own.weight_decay,
        },
      ].filter((group) => group.params.length);
      return { model, optimizer: new SGD(groups, { lr, momentum, weightDecay }) };
    };

    test(`${name}: parameters, ten steps, evaluation`, async () => {
      const { model, optimizer } = start(c.optimizer);
      assert.is(model.parameterCount, c.parameters);
      const logits = load(folder, c.files.logits);
      const final = load(folder, c.files.final);
      const gradients = load(folder, c.files.grad1);
      for (let step = 1; step <= c.loss.length; step++) {
        const { x, y } = batch(batches, c.batch_of_step[step - 1], size);
        const out = model.forward(x);
        const loss = crossEntropy(out, y);
        loss.backward();
        const particles = c.steps?.[step - 1];
        if (step === 1) {
          within(c.tolerance, 'logits_step1', (await compare([['train_logits_step1', out]], logits)).max);
          const list = [...model.namedParameters()].map(([key, p]): [string, Tensor] => [key, p.grad!]);
          const error = await compare(list, gradients);
          within(c.tolerance, 'grad_step1_max', error.max);
          within(c.tolerance, 'grad_step1_l2', error.l2);
          if (particles)
            for (const stage of Object.keys(particles.tau)) {
              const grad = await list.find(([key]) => key === `${stage}.tau`)![1].data();
              const top = Math.max(...particles.tau_grad[stage].map(Math.abs));
              particles.tau_grad[stage].forEach((g: number, i: number) =>
                within(c.tolerance, 'tau_grad_step1', Math.abs(g - grad[i]) / top),
              );
            }
        }
        optimizer.step();
        optimizer.zeroGrad();
        if (model instanceof MeanFieldResNet) model.sortParticles();
        const error = Math.abs((await loss.item()) - c.loss[step - 1]) / c.loss[step - 1];
        if (`loss_${step}` in c.tolerance) within(c.tolerance, `loss_${step}`, error);
        if (particles && model instanceof MeanFieldResNet)
          for (const [s, stage] of model.stages.entries()) {
            const { tau, order } = await stage!.telemetry();
            assert.equal(order, particles.particle_ids[`stage${s + 1}`], `order in stage ${s + 1} after step ${step}`);
            const want: number[] = particles.tau_sorted[`stage${s + 1}`];
            const worst = Math.max(...want.map((t, i) => Math.abs(t - tau[i]))) / Math.max(...want.map(Math.abs));
            if (`tau_${step}` in c.tolerance) within(c.tolerance, `tau_${step}`, worst);
          }
        const digest = digests.steps.find((d: { step: number }) => d.step === step);
        if (digest) {
          within(
            c.tolerance,
            `digest_state_${step}`,
            await compareDigests(Object.entries(model.stateDict()), digest.state),
          );
          if (`digest_momentum_${step}` in c.tolerance)
            within(
              c.tolerance,
              `digest_momentum_${step}`,
              await compareDigests(momenta(model, optimizer), digest.momentum),
            );
        }
      }
      const state = Object.entries(model.stateDict());
      within(c.tolerance, 'weights_l2_10', (await compare(state, final, (key) => !isRunning(key))).l2);
      within(c.tolerance, 'running_stats_max_10', (await compare(state, final, isRunning)).max);
      within(
        c.tolerance,
        'momentum_l2_10',
        (await compare(momenta(model, optimizer), load(folder, c.files.momentum))).l2,
      );
      model.eval();
      const out = noGrad(() => model.forward(batch(batches, 0, size).x));
      within(c.tolerance, 'eval_logits', (await compare([['eval_logits_after_step10', out]], logits)).max);
    });

    test(`${name}: ten calm steps, in which no ReLU changes sides`, async () => {
      const { calm } = digests;
      const { model, optimizer } = start(calm.optimizer);
      for (const want of calm.loss) {
        const { x, y } = batch(batches, calm.batch, size);
        const loss = crossEntropy(model.forward(x), y);
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        if (model instanceof MeanFieldResNet) model.sortParticles();
        within(c.tolerance, 'calm_loss', Math.abs((await loss.item()) - want) / want);
      }
      within(c.tolerance, 'calm_state', await compareDigests(Object.entries(model.stateDict()), calm.state));
      within(c.tolerance, 'calm_momentum', await compareDigests(momenta(model, optimizer), calm.momentum));
    });
  }
}

test.run();
