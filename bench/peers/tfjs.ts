// TensorFlow.js on its WebGPU backend: images are [N, H, W, C], its natural layout. Nets are functions of variables, trained by
// `optimizer.minimize`.
import * as tf from '@tensorflow/tfjs';
import { BATCH, type Case, CHAIN, type LanguageModel } from '../cases';
import { defineNavigator, openAdapter, waiter } from '../gpu';
import { CLASSES, forward, IMAGE, type Initial, type Net, type Ops } from '../net';
import { type Contestant, checkLosses, type Wait, type Workload } from '../workload';

export async function create(): Promise<Contestant> {
  defineNavigator();
  await import('@tensorflow/tfjs-backend-webgpu'); // registers itself where there is a navigator
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js did not accept the adapter');
  const { info } = await openAdapter();
  const wait = waiter(info);
  return { adapter: info, prepare: async (given) => prepare(given, wait) };
}

/** Reads one number: all that was queued before is done then. */
async function settle(x: tf.Tensor, wait: Wait): Promise<number> {
  const scalar = tf.tidy(() => x.flatten().slice(0, 1));
  const [value] = await wait(scalar.data());
  scalar.dispose();
  return value;
}

function prepare(given: Case, wait: Wait): Workload[] {
  const repeated = (part: string, body: () => tf.Tensor): Workload => ({
    part,
    async run(times) {
      for (let i = 1; i < times; i++) tf.tidy(() => void body());
      const last = tf.tidy(body);
      await settle(last, wait);
      last.dispose();
    },
  });
  switch (given.kind) {
    case 'matmul': {
      const [a, b] = [tf.randomNormal([given.n, given.n]), tf.randomNormal([given.n, given.n])] as tf.Tensor2D[];
      return [repeated('', () => tf.matMul(a, b))];
    }
    case 'conv': {
      const { channels, size } = given;
      const shape: [number, number, number, number] = [BATCH, size, size, channels];
      const filterShape: [number, number, number, number] = [3, 3, channels, channels];
      const [x, dy] = [tf.randomNormal(shape), tf.randomNormal(shape)] as tf.Tensor4D[];
      const filter = tf.randomNormal(filterShape) as tf.Tensor4D;
      const how = { strides: 1, pad: 1, dataFormat: 'NHWC' };
      const kernel = (name: string, inputs: Record<string, tf.Tensor>, more: object) => () =>
        tf.engine().runKernel(name, inputs as never, { ...how, ...more } as never) as tf.Tensor;
      return [
        repeated('forward', () => tf.conv2d(x, filter, 1, 1)),
        repeated('inputGradient', kernel('Conv2DBackpropInput', { dy, filter }, { inputShape: shape })),
        repeated('weightGradient', kernel('Conv2DBackpropFilter', { x, dy }, { filterShape })),
      ];
    }
    case 'batchnorm': {
      const { channels, size } = given;
      const shape = [BATCH, size, size, channels];
      const [x, dy] = [tf.randomNormal(shape), tf.randomNormal(shape)] as tf.Tensor4D[];
      const [gamma, beta] = [tf.randomNormal([channels]), tf.randomNormal([channels])] as tf.Tensor1D[];
      const gradients = tf.grads((a, b, c) => normalize(a as tf.Tensor4D, b as tf.Tensor1D, c as tf.Tensor1D));
      return [repeated('', () => gradients([x, gamma, beta], dy)[0])];
    }
    case 'layernorm': {
      const shape: [number, number] = [given.rows, given.width];
      const [x, dy] = [tf.randomNormal(shape), tf.randomNormal(shape)];
      const [gamma, beta] = [tf.randomNormal([given.width]), tf.randomNormal([given.width])];
      const gradients = tf.grads((a, b, c) => {
        const { mean, variance } = tf.moments(a, 1, true);
        return a
          .sub(mean)
          .mul(tf.rsqrt(variance.add(1e-5)))
          .mul(b)
          .add(c);
      });
      return [repeated('', () => gradients([x, gamma, beta], dy)[0])];
    }
    case 'eager-op': {
      tf.env().set('WEBGPU_CPU_FORWARD', false); // tensors this small it would compute on the host, without a launch
      const x = tf.randomNormal([CHAIN.elements]);
      const chain = (y: tf.Tensor) => {
        for (let i = 0; i < CHAIN.operations; i++) y = y.mul(1.5);
        return y;
      };
      const gradient = tf.grad(chain);
      const issue = (ask: (times: number) => void) => ({
        issue: { times: 1000, ask },
        async run(times: number) {
          ask(times);
          await settle(x, wait);
        },
      });
      const unrecorded = (times: number) => {
        for (let i = 0; i < times; i++) x.mul(1.5).dispose();
      };
      const differentiated = (times: number) => {
        for (let done = 0; done < times; done += CHAIN.operations) gradient(x).dispose();
      };
      return [
        { part: 'unrecorded', ...issue(unrecorded) },
        { part: 'recorded, with its gradient', ...issue(differentiated) },
      ];
    }
    case 'train':
      return [training(classification(given.net), 0.02, 0.9, wait)];
    case 'lstm':
      return [training(language(given.model), 0.5, 0, wait)];
    default:
      throw new Error(`${given.kind} is not for peers`);
  }
}

function normalize(x: tf.Tensor4D, gamma: tf.Tensor1D, beta: tf.Tensor1D): tf.Tensor4D {
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  return tf.batchNorm(x, mean as tf.Tensor1D, variance as tf.Tensor1D, beta, gamma, 1e-5);
}

/** There is no grouped convolution: slices are convolved one by one and joined. */
function convolve(x: tf.Tensor4D, weight: tf.Tensor4D, kernel: number, stride: number, groups: number): tf.Tensor4D {
  if (groups === 1) return tf.conv2d(x, weight, stride, kernel >> 1);
  const weights = tf.split(weight, groups, 3);
  return tf.concat(
    tf.split(x, groups, 3).map((part, i) => tf.conv2d(part, weights[i], stride, kernel >> 1)),
    3,
  );
}

const ops: Ops<tf.Tensor> = {
  share: (x) => x,
  conv: (x, weight, kernel, stride, groups) =>
    convolve(x as tf.Tensor4D, weight as tf.Tensor4D, kernel, stride, groups),
  normRelu: (x, gamma, beta) => tf.relu(normalize(x as tf.Tensor4D, gamma as tf.Tensor1D, beta as tf.Tensor1D)),
  add: (x, y) => x.add(y),
  advance(x, f, times, i) {
    const time = times.slice(i, 1);
    return x.add(f.mul(i ? time.sub(times.slice(i - 1, 1)) : time));
  },
  classify: (x, weight, bias) =>
    x
      .mean([1, 2])
      .matMul(weight as tf.Tensor2D)
      .add(bias),
};

/** Convolution weights arrive as [out, in, k, k] and are kept as [k, k, in, out]. */
function createVariable(shape: number[], initial: Initial): tf.Variable {
  if (initial === 'ones') return tf.variable(tf.ones(shape));
  if (initial === 'zeros') return tf.variable(tf.zeros(shape));
  if (initial === 'times') return tf.variable(tf.range(1, shape[0] + 1));
  const [out, perGroup, height, width] = shape;
  if (shape.length === 2) return tf.variable(tf.randomNormal(shape, 0, Math.sqrt(1 / out)));
  const deviation = Math.sqrt(2 / (perGroup * height * width));
  return tf.variable(tf.randomNormal([height, width, perGroup, out], 0, deviation));
}

/** The loss of a net on one batch. Variables are made in the first call. */
function classification(net: Net): () => tf.Scalar {
  const images = tf.randomNormal([BATCH, IMAGE, IMAGE, 3]);
  const labels = tf.oneHot(tf.randomUniform([BATCH], 0, CLASSES, 'int32') as tf.Tensor1D, CLASSES);
  const variables: tf.Variable[] = [];
  return () => {
    let at = 0;
    const parameter = (shape: number[], initial: Initial) => {
      if (at === variables.length) variables.push(createVariable(shape, initial));
      return variables[at++];
    };
    const logits = forward(net, ops, parameter, images);
    return tf.losses.softmaxCrossEntropy(labels, logits) as tf.Scalar;
  };
}

/** The loss of a language model, cell by cell: a layer of `tf.layers` does the same and cannot be trained by `minimize`. */
function language({ hidden, layers, times, tokens }: LanguageModel): () => tf.Scalar {
  const uniform = (shape: number[]) => tf.variable(tf.randomUniform(shape, -1, 1).div(Math.sqrt(hidden)));
  const text = tf.randomUniform([times, BATCH], 0, tokens, 'int32') as tf.Tensor2D;
  const next = tf.oneHot(tf.randomUniform([times * BATCH], 0, tokens, 'int32') as tf.Tensor1D, tokens);
  const embedding = tf.variable(tf.randomNormal([tokens, hidden]));
  const cells = Array.from({ length: layers }, () => [uniform([2 * hidden, 4 * hidden]), uniform([4 * hidden])]);
  const [weight, bias] = [uniform([hidden, tokens]), uniform([tokens])];
  const forget = tf.scalar(0);
  return () => {
    let x = tf.unstack(tf.gather(embedding, text)) as tf.Tensor2D[];
    for (const [kernel, shift] of cells) {
      let state: [tf.Tensor2D, tf.Tensor2D] = [tf.zeros([BATCH, hidden]), tf.zeros([BATCH, hidden])];
      x = x.map((data) => {
        state = tf.basicLSTMCell(forget, kernel as tf.Tensor2D, shift as tf.Tensor1D, data, ...state);
        return state[1];
      });
    }
    const logits = tf
      .concat(x)
      .matMul(weight as tf.Tensor2D)
      .add(bias);
    return tf.losses.softmaxCrossEntropy(next, logits) as tf.Scalar;
  };
}

function training(loss: () => tf.Scalar, rate: number, momentum: number, wait: Wait): Workload {
  const optimizer = tf.train.momentum(rate, momentum);
  tf.tidy(() => void loss()); // makes the variables
  let first: number | undefined;
  let last = 0;
  return {
    part: '',
    async run(times) {
      for (let i = 1; i < times; i++) optimizer.minimize(loss);
      const value = optimizer.minimize(loss, true)!;
      last = await settle(value, wait);
      value.dispose();
      first ??= last;
    },
    check: async () => checkLosses(first!, last),
  };
}
