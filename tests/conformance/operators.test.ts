// PyTorch, operator by operator (../shared/parity/ops.json): values and gradients of fifty cases, optimizer paths, schedules.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import '../../src/ops/methods';
import { backward } from '../../src/autograd/backward';
import type { SafetensorsFile } from '../../src/formats/safetensors';
import { parseSafetensors } from '../../src/formats/safetensors';
import { Parameter } from '../../src/nn/parameter';
import { conv2d } from '../../src/ops/conv';
import { gelu, silu } from '../../src/ops/elementwise';
import { crossEntropy } from '../../src/ops/loss';
import { linear, matmul } from '../../src/ops/matmul';
import { batchNorm } from '../../src/ops/norm';
import { adaptiveAvgPool2d, globalAvgPool2d, maxPool2d } from '../../src/ops/pool';
import { mean, sum, variance } from '../../src/ops/reduce';
import { logSoftmax, softmax } from '../../src/ops/softmax';
import { select } from '../../src/ops/views';
import { Adam, AdamW } from '../../src/optim/adam';
import { cosine, multiStep, Scheduler } from '../../src/optim/schedule';
import { SGD } from '../../src/optim/sgd';
import { ones, tensor } from '../../src/tensor/create';
import { endStep } from '../../src/tensor/memory';
import type { Tensor } from '../../src/tensor/tensor';
import { sharedPath } from '../shared';
import { useGpu } from '../util';

interface Digest {
  shape: number[];
  max_abs: number;
  stride: number;
  /** Name in ops.safetensors of elements 0, stride, 2·stride … */
  sample: string;
  /** Names of the sums over single axes. */
  sums: { axis: number; tensor: string }[];
  tol_sums: number;
}

interface Stored {
  shape: number[];
  dtype?: 'f32' | 'i32';
  /** Name in ops.safetensors. */
  tensor?: string;
  /** Made from a hash of the index. */
  gen?: 'hash';
  seed: number;
  scale: number;
  shift: number;
  digest?: Digest;
  values?: number[];
}

type Table = Record<string, Stored>;
// biome-ignore lint/suspicious/noExplicitAny: attributes differ from operator to operator
type Attributes = Record<string, any>;

interface OperatorCase {
  id: string;
  op: string;
  attrs: Attributes;
  inputs: Table;
  upstream: Table;
  outputs: Table;
  grads: Table;
  tol: { outputs: Record<string, number>; grads: Record<string, number> };
}

/** Number i of a generator, in [−1, 1). */
function hash(i: number, seed: number): number {
  let h = (i + Math.imul(seed, 0x9e3779b9)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  h = (h ^ (h >>> 16)) >>> 0;
  return (h >>> 8) / 2 ** 23 - 1;
}

type Inputs = Record<string, Tensor>;
type Outputs = Record<string, Tensor>;

const running = ({ running_mean, running_var }: Inputs) => ({ runningMean: running_mean, runningVar: running_var });

const operators: Record<string, (inputs: Inputs, attrs: Attributes) => Outputs> = {
  cross_entropy: ({ logits, labels }, { reduction, label_smoothing, ignore_index }) => ({
    loss: crossEntropy(logits, labels, { reduction, labelSmoothing: label_smoothing, ignoreIndex: ignore_index }),
  }),
  linear: ({ x, weight, bias }) => ({ y: linear(x, weight, bias) }),
  gelu: ({ x }, { approximate }) => ({ y: gelu(x, { approximate }) }),
  silu: ({ x }) => ({ y: silu(x) }),
  global_avg_pool2d: ({ x }) => ({ y: globalAvgPool2d(x) }),
  adaptive_avg_pool2d: ({ x }, { output_size }) => ({ y: adaptiveAvgPool2d(x, output_size) }),
  max_pool2d: ({ x }, attrs) => ({ y: maxPool2d(x, attrs as { kernel: number }) }),
  batch_norm: (inputs, { training, momentum, eps }) => {
    const { x, weight, bias } = inputs;
    const y = batchNorm(x, { weight, bias, ...running(inputs), training, momentum, eps });
    return { y, running_mean: inputs.running_mean, running_var: inputs.running_var };
  },
  conv2d: ({ x, weight, bias }, { stride, padding, dilation, groups }) => ({
    y: conv2d(x, weight, bias, { stride, padding, dilation, groups }),
  }),
  matmul: ({ a, b }) => ({ y: matmul(a, b) }),
  sum: ({ x }, { dim }) => ({ y: sum(x, dim) }),
  mean: ({ x }, { dim }) => ({ y: mean(x, dim) }),
  var: ({ x }, { dim, correction }) => ({ y: variance(x, dim, false, correction) }),
  softmax: ({ x }, { dim }) => ({ y: softmax(x, dim) }),
  log_softmax: ({ x }, { dim }) => ({ y: logSoftmax(x, dim) }),
};

/** Optimizers with PyTorch's names of their buffers in the framework's. */
const optimizers = {
  sgd: { make: SGD, buffers: { momentum_buffer: 'momentum' } },
  adam: { make: Adam, buffers: { exp_avg: 'expAvg', exp_avg_sq: 'expAvgSq' } },
  adamw: { make: AdamW, buffers: { exp_avg: 'expAvg', exp_avg_sq: 'expAvgSq' } },
};

type Data = ArrayLike<number>;

/** The largest |a − b|, infinite where one is NaN. */
function worst(a: Data, b: Data, what: string): number {
  assert.is(a.length, b.length, `${what}: number of elements`);
  return Array.from(b).reduce((most, v, i) => {
    const distance = Math.abs(a[i] - v);
    return Number.isNaN(distance) ? Infinity : Math.max(most, distance);
  }, 0);
}

/** One case with its tensors at hand. */
class Room {
  constructor(
    readonly c: OperatorCase,
    readonly file: SafetensorsFile,
  ) {}

  stored(name: string): Data {
    return this.file.tensors.get(name)!.data as Data;
  }

  host({ tensor: name, values, seed, scale, shift, shape }: Stored): Data {
    if (name) return this.stored(name);
    const size = (shape ?? []).reduce((product, n) => product * n, 1);
    return values ?? Float32Array.from({ length: size }, (_, i) => hash(i, seed) * scale + shift);
  }

  load(stored: Stored, requiresGrad = false): Tensor {
    const dtype = stored.dtype === 'i32' ? 'int32' : 'float32';
    const data = this.host(stored);
    return tensor(dtype === 'int32' ? Int32Array.from(data) : Float32Array.from(data), {
      shape: stored.shape,
      requiresGrad,
    });
  }

  /** max|got − want| / max|want| is at most the tolerance; of digests, the sample and the sums over axes. */
  async check(kind: 'outputs' | 'grads', name: string, got: Tensor | number[]): Promise<void> {
    const want = this.c[kind][name];
    const tolerance = this.c.tol[kind][name];
    const data: Data = Array.isArray(got) ? got : await got.data();
    const compare = (part: string, a: Data, b: Data, limit: number) => {
      const what = `${kind} ${name}, ${part}`;
      const error = worst(a, b, what);
      assert.ok(error <= limit, `${what}: error ${error}, at most ${limit} is allowed`);
    };
    if (!want.digest) {
      const stored = this.host(want);
      const scale = worst(stored, new Float64Array(stored.length), name) || 1;
      return compare('elements', data, stored, tolerance * scale);
    }
    const { shape, stride, sample, sums, max_abs, tol_sums } = want.digest;
    const picked = this.stored(sample);
    compare(
      'sample',
      Float64Array.from(picked, (_, i) => data[i * stride]),
      picked,
      tolerance * max_abs,
    );
    for (const { axis, tensor: sum } of sums) {
      const stored = this.stored(sum);
      const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
      const added = new Float64Array(stored.length);
      for (let i = 0; i < data.length; i++) added[Math.floor(i / inner / shape[axis]) * inner + (i % inner)] += data[i];
      compare(`sums over axis ${axis}`, added, stored, tol_sums * max_abs * Math.sqrt(shape[axis]));
    }
  }

  async operator(): Promise<void> {
    const { c } = this;
    const inputs: Inputs = {};
    for (const [name, stored] of Object.entries(c.inputs)) inputs[name] = this.load(stored, name in c.grads);
    const outputs = operators[c.op](inputs, c.attrs);
    for (const name of Object.keys(c.outputs)) await this.check('outputs', name, outputs[name]);
    for (const [name, stored] of Object.entries(c.upstream)) backward(outputs[name], { gradient: this.load(stored) });
    for (const name of Object.keys(c.grads)) await this.check('grads', name, inputs[name].grad!);
  }

  async optimizer(): Promise<void> {
    const { attrs, inputs, op } = this.c;
    const { make: Optimizer, buffers } = optimizers[op as keyof typeof optimizers];
    const { weight_decay: weightDecay, ...options } = attrs;
    const parameter = new Parameter(this.load(inputs.param));
    const optimizer = new Optimizer([parameter], { lr: 1e-3, ...options, ...(weightDecay && { weightDecay }) });
    const gradients = this.load(inputs.grads).keep();
    const path: number[] = [];
    for (let t = 0; t < gradients.shape[0]; t++) {
      parameter.grad = select(gradients, 0, t);
      optimizer.step();
      path.push(...(await parameter.data()));
    }
    await this.check('outputs', 'params', path);
    for (const [theirs, ours] of Object.entries(buffers))
      await this.check('outputs', theirs, optimizer.stateOf(parameter).get(ours)!);
  }

  async schedule(): Promise<void> {
    const { kind, base_lr: lr, T_max, milestones, gamma } = this.c.attrs;
    const optimizer = new SGD([new Parameter(ones([1]))], { lr });
    const scheduler = new Scheduler(optimizer, kind === 'cosine' ? cosine(T_max) : multiStep(milestones, gamma));
    const rates = this.c.outputs.lr.values!.map(() => {
      const { lr: rate } = optimizer.groups[0];
      scheduler.step();
      return rate;
    });
    await this.check('outputs', 'lr', rates);
  }
}

const table = sharedPath('parity', 'ops.json');
const tensors = sharedPath('parity', 'ops.safetensors');
if (!table || !tensors) test.skip('operators of ../shared/parity (the folder is absent)');
else {
  useGpu();
  const { cases, generator_check } = JSON.parse(readFileSync(table, 'utf8'));
  const file = parseSafetensors(readFileSync(tensors), tensors);

  test('the generator gives the numbers of the file', () => {
    for (const [i, value] of generator_check.first.entries()) assert.is(hash(i, generator_check.seed), value);
  });

  for (const c of cases as OperatorCase[])
    test(c.id, async () => {
      const room = new Room(c, file);
      if (c.op === 'lr_schedule') await room.schedule();
      else if (c.op in optimizers) await room.optimizer();
      else await room.operator();
      endStep();
    });
}

test.run();
