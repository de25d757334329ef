// This framework as a contestant.
import { type Conv2dKind, lowerConv2d } from '../shaders/conv/lower';
import {
  autocast,
  backward,
  compile,
  type Device,
  endStep,
  F,
  init,
  models,
  nn,
  noGrad,
  optim,
  randint,
  randn,
  type Tensor,
} from '../src/index.node.js';
import { conv2dShape, convolve } from '../src/ops/conv';
import { layoutOf, normalize, normGradient } from '../src/ops/norm';
import { bind } from '../src/tensor/elementwise';
import { empty } from '../src/tensor/tensor';
import { ATTENTION_HEADS, BATCH, type Case, CHAIN, type Decoder, type LanguageModel, MEMORY_BATCH } from './cases';
import { options } from './gpu';
import { CLASSES, IMAGE, type Net } from './net';
import { type Contestant, checkLosses, type Workload } from './workload';

export async function create(): Promise<Contestant> {
  const gpu = await init(options);
  /** Launches `body` again and again, then waits. */
  const repeated = (part: string, body: () => void): Workload => ({
    part,
    async run(times) {
      noGrad(() => {
        for (let i = 0; i < times; i++) body();
      });
      await gpu.sync();
    },
  });

  /** A function and its gradient for some leaves, eager. */
  const differentiated = (part: string, leaves: readonly Tensor[], f: () => Tensor, gradient: Tensor): Workload => ({
    part,
    async run(times) {
      for (let i = 0; i < times; i++) {
        const y = f();
        backward(y, { gradient });
        // What nobody reads falls free at once, as in PyTorch: the collector would leave it for many runs, and each would work on cold memory.
        for (const t of [y, ...leaves.map((x) => x.grad)]) t?.dispose();
        for (const x of leaves) x.grad = null;
        endStep();
      }
      await gpu.sync();
    },
  });

  async function prepare(given: Case): Promise<Workload[]> {
    switch (given.kind) {
      case 'matmul': {
        const [a, b] = [0, 1].map(() => random([given.n, given.n], given.half));
        return [repeated('', () => F.matmul(a, b).dispose())];
      }
      case 'conv': {
        const { channels, size, half } = given;
        const x = random([BATCH, channels, size, size], half);
        const dy = random([BATCH, channels, size, size], half);
        const weight = random([channels, channels, 3, 3], half);
        const shape = conv2dShape('conv2d', x, weight, null, { padding: 1 });
        const part = (kind: Conv2dKind, a: Tensor, b: Tensor) =>
          repeated(kind, () => convolve(kind, a, b, shape).dispose());
        const parts = [part('forward', x, weight), part('inputGradient', dy, weight), part('weightGradient', x, dy)];
        if (!gpu.target.isCpu || half) return parts;
        /** The kernels of one result a lane, to which convolutions fall back that cannot be specialised for a CPU driver. */
        const direct = (kind: Conv2dKind, a: Tensor, b: Tensor, like: Tensor) => {
          const lowering = lowerConv2d(kind, shape, gpu.target, { block: 1 });
          return repeated(`${kind}/unspecialised`, () => {
            const result = empty('result', like.shape);
            gpu.launchLowering(lowering, bind(a), bind(b), bind(result));
            result.dispose();
          });
        };
        return [
          ...parts,
          direct('forward', x, weight, dy),
          direct('inputGradient', dy, weight, x),
          direct('weightGradient', x, dy, weight),
        ];
      }
      case 'batchnorm': {
        const { channels, size } = given;
        const x = randn([BATCH, channels, size, size]).keep();
        const dy = randn([BATCH, channels, size, size]).keep();
        const [weight, bias] = [randn([channels]).keep(), randn([channels]).keep()];
        const body = () => {
          const { y, stats } = normalize(x, layoutOf(x), { weight, bias, training: true });
          const { dx, dWeight, dBias } = normGradient(dy, x, layoutOf(x), stats, { training: true });
          for (const t of [y, stats, dx!, dWeight, dBias]) t.dispose();
        };
        return [repeated('', body)];
      }
      case 'layernorm': {
        const { rows, width } = given;
        const [x, dy] = [randn([rows, width]).keep(), randn([rows, width]).keep()];
        const leaves = [x, randn([width]), randn([width])].map((t) => t.detach().requiresGrad_());
        const [a, weight, bias] = leaves;
        return [differentiated('', leaves, () => F.layerNorm(a, [width], { weight, bias }), dy)];
      }
      case 'attention': {
        const shape = [ATTENTION_HEADS, given.length, given.width];
        const [q, k, v, g] = [0, 1, 2, 3].map(() => random(shape, given.half));
        const leaves = [q, k, v].map((x) => x.detach().requiresGrad_());
        const attend = (...[a, b, c]: Tensor[]) => F.scaledDotProductAttention(a, b, c, { isCausal: true });
        const both = differentiated('forward and gradient', leaves, () => attend(...leaves), g);
        return [repeated('forward', () => attend(q, k, v).dispose()), both];
      }
      case 'train':
        return [training(gpu, makeStep(given.net, BATCH, given.half))];
      case 'infer':
        return inference(gpu, given.net);
      case 'eager-op':
        return eagerOperations(gpu);
      case 'eager-step': {
        const step = makeEagerStep(given.net, BATCH);
        const ask = (times: number) => {
          for (let i = 0; i < times; i++) step();
        };
        return [{ part: 'host', issue: { times: 4, ask }, run: settled(gpu, ask) }];
      }
      case 'lstm':
        return [training(gpu, makeLanguageStep(given.model))];
      case 'gpt':
        return [training(gpu, makeDecoderStep(given.model))];
      default:
        throw new Error(`${given.kind} is not timed`);
    }
  }
  return { adapter: gpu.info, prepare };
}

const random = (shape: number[], half = false): Tensor =>
  randn(shape)
    .to(half ? 'float16' : 'float32')
    .keep();

/** Asks, then waits for the GPU. */
const settled = (gpu: Device, ask: (times: number) => void) => async (times: number) => {
  ask(times);
  await gpu.sync();
};

/** Tiny operations one by one: what is not needed any more is released at once, as in PyTorch. */
function eagerOperations(gpu: Device): Workload[] {
  const x = randn([CHAIN.elements]).keep();
  const leaf = randn([CHAIN.elements]).keep().requiresGrad_();
  const gradient = randn([CHAIN.elements]).keep();
  const unrecorded = (times: number) =>
    noGrad(() => {
      for (let i = 0; i < times; i++) x.mul(1.5).dispose();
    });
  const differentiated = (times: number) => {
    for (let done = 0; done < times; done += CHAIN.operations) {
      let y: Tensor = leaf;
      for (let i = 0; i < CHAIN.operations; i++) y = y.mul(1.5);
      backward(y, { gradient });
      leaf.grad?.dispose();
      leaf.grad = null;
      endStep();
    }
  };
  const workload = (part: string, ask: (times: number) => void): Workload => ({
    ...{ part, issue: { times: 1000, ask }, run: settled(gpu, ask) },
  });
  return [workload('unrecorded', unrecorded), workload('recorded, with its gradient', differentiated)];
}

/** One image through a network, compiled and not: the next one is asked for when the result is there. */
function inference(gpu: Device, net: Net): Workload[] {
  const model = new models.PreActResNet(net).eval();
  const image = randn([1, 3, IMAGE, IMAGE]).keep();
  const forward = (x: Tensor) => noGrad(() => model.forward(x));
  const compiled = compile(forward);
  const workload = (part: string, f: (x: Tensor) => Tensor): Workload => ({
    part,
    async run(times) {
      for (let i = 0; i < times; i++) {
        f(image);
        endStep();
        await gpu.sync();
      }
    },
  });
  return [workload('', compiled), workload('uncompiled', forward)];
}

/** A compiled step as users write it. */
function makeStep(net: Net, batch: number, half = false) {
  const { step, images, labels } = makeTraining(net, batch, half);
  const compiled = compile(step);
  return () => compiled(images, labels);
}

/** The same, operation by operation. */
function makeEagerStep(net: Net, batch: number) {
  const { step, images, labels } = makeTraining(net, batch);
  return () => {
    step(images, labels);
    endStep();
  };
}

/** A training step: SGD with momentum on one batch that stays on the GPU; with `half` in mixed precision, as `cifar-train --amp` does it. */
function makeTraining(net: Net, batch: number, half = false) {
  const { particles, ...options } = net;
  const model = particles ? new models.MeanFieldResNet(options) : new models.PreActResNet(options);
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.02, momentum: 0.9 });
  const images = randn([batch, 3, IMAGE, IMAGE]).keep();
  const labels = randint(0, CLASSES, [batch]).keep();
  const scaler = half ? new optim.GradScaler() : null;
  const step = (x: Tensor, y: Tensor) => {
    const loss = half ? autocast(() => F.crossEntropy(model.forward(x), y)) : F.crossEntropy(model.forward(x), y);
    backward(scaler ? scaler.scale(loss) : loss);
    if (scaler) scaler.step(optimizer);
    else optimizer.step();
    scaler?.update();
    if (model instanceof models.MeanFieldResNet) model.sortParticles();
    optimizer.zeroGrad();
    return loss;
  };
  return { step, images, labels };
}

/** The same of a language model, without a state from the batch before. */
function makeLanguageStep({ hidden, layers, times, tokens }: LanguageModel) {
  const embedding = new nn.Embedding(tokens, hidden);
  const lstm = new nn.LSTM(hidden, hidden, { numLayers: layers });
  const output = new nn.Linear(hidden, tokens);
  const optimizer = new optim.SGD(new nn.ModuleList<nn.AnyModule>([embedding, lstm, output]).parameters(), { lr: 0.5 });
  const text = randint(0, tokens, [times, BATCH]).keep();
  const next = randint(0, tokens, [times * BATCH]).keep();
  const step = compile((x: Tensor, y: Tensor) => {
    const [states] = lstm.forward(embedding.forward(x));
    const loss = F.crossEntropy(output.forward(states).flatten(0, 1), y);
    backward(loss);
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  return () => step(text, next);
}

/** The same of a GPT. */
function makeDecoderStep({ layers, heads, width, times, tokens }: Decoder) {
  const model = new models.GPT({ vocabSize: tokens, blockSize: times, nLayer: layers, nHead: heads, nEmbd: width });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const text = randint(0, tokens, [BATCH, times]).keep();
  const next = randint(0, tokens, [BATCH * times]).keep();
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = F.crossEntropy(model.forward(x).flatten(0, 1), y);
    backward(loss);
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  return () => step(text, next);
}

function training(gpu: Device, step: () => Tensor): Workload {
  let first: number | undefined;
  let loss: Tensor;
  return {
    part: '',
    async run(times) {
      for (let i = 0; i < times; i++) loss = step();
      first ??= await loss.item();
      await gpu.sync();
    },
    check: async () => checkLosses(first!, await loss.item()),
  };
}

/** Bytes on the GPU of a compiled training step with everything that it needs, and the most that the uncompiled first call needed. */
export async function memoryOfStep(net: Net): Promise<Record<string, number>> {
  const gpu = await init(options);
  const step = makeStep(net, MEMORY_BATCH);
  for (let i = 0; i < 3; i++) step();
  await gpu.sync();
  endStep();
  const { peakBytes, liveBytes } = gpu.stats();
  return { compiled: liveBytes, 'first call': peakBytes };
}

/** Seconds from the first call of a step to the end of its first replay: every kernel compiled, two steps done. */
export async function secondsOfFirstStep(net: Net): Promise<number> {
  const gpu = await init(options);
  const step = makeStep(net, BATCH);
  await gpu.sync();
  const begin = performance.now();
  for (let i = 0; i < 2; i++) {
    step();
    await gpu.sync();
  }
  return (performance.now() - begin) / 1000;
}
