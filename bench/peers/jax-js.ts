// jax-js: whole steps under `jit`, images as [N, C, H, W]. Its operations use up their operands: `.ref` is one more reference.
import { defaultDevice, grad, init, jit, lax, nn, numpy as np, random, valueAndGrad } from '@jax-js/jax';
import { BATCH, type Case, CHAIN } from '../cases';
import { defineNavigator, openAdapter, waiter } from '../gpu';
import { CLASSES, forward, IMAGE, type Initial, type Net, type Ops, survey } from '../net';
import { type Contestant, checkLosses, type Wait, type Workload } from '../workload';

export async function create(): Promise<Contestant> {
  defineNavigator();
  if (!(await init('webgpu')).includes('webgpu')) throw new Error('jax-js did not accept the adapter');
  defaultDevice('webgpu');
  const { info } = await openAdapter();
  const wait = waiter(info);
  return { adapter: info, prepare: async (given) => prepare(given, wait) };
}

let seed = 0;
const normal = (shape: number[]): np.Array => random.normal(random.key(seed++), shape);

function prepare(given: Case, wait: Wait): Workload[] {
  const repeated = (part: string, body: () => np.Array): Workload => ({
    part,
    async run(times) {
      for (let i = 1; i < times; i++) body().gpuBufferSync(); // it is lazy: this submits, and disposes of the result
      const last = body();
      await wait(last.blockUntilReady());
      last.dispose();
    },
  });
  switch (given.kind) {
    case 'matmul': {
      const [a, b] = [normal([given.n, given.n]), normal([given.n, given.n])];
      const product = jit((x: np.Array, y: np.Array) => np.matmul(x, y));
      return [repeated('', () => product(a.ref, b.ref))];
    }
    case 'conv': {
      const { channels, size } = given;
      const shape = [BATCH, channels, size, size];
      const [x, dy, weight] = [normal(shape), normal(shape), normal([channels, channels, 3, 3])];
      const conv = (a: np.Array, w: np.Array) => lax.conv(a, w, [1, 1], 'SAME');
      const weighed = (a: np.Array, w: np.Array, d: np.Array) => np.sum(conv(a, w).mul(d));
      const forwards = jit(conv);
      const [toInput, toWeight] = [jit(grad(weighed)), jit(grad(weighed, { argnums: 1 }))];
      return [
        repeated('forward', () => forwards(x.ref, weight.ref)),
        repeated('inputGradient', () => toInput(x.ref, weight.ref, dy.ref)),
        repeated('weightGradient', () => toWeight(x.ref, weight.ref, dy.ref)),
      ];
    }
    case 'batchnorm': {
      const { channels, size } = given;
      const shape = [BATCH, channels, size, size];
      const [x, dy, gamma, beta] = [normal(shape), normal(shape), normal([channels]), normal([channels])];
      const weighed = (a: np.Array, g: np.Array, b: np.Array, d: np.Array) => np.sum(normalize(a, g, b).mul(d));
      const gradients = jit(valueAndGrad(weighed, { argnums: [0, 1, 2] }));
      const body = () => {
        const [value, [dx, dGamma, dBeta]] = gradients(x.ref, gamma.ref, beta.ref, dy.ref);
        for (const t of [value, dGamma, dBeta]) t.dispose();
        return dx;
      };
      return [repeated('', body)];
    }
    case 'layernorm': {
      const shape = [given.rows, given.width];
      const [x, dy, gamma, beta] = [normal(shape), normal(shape), normal([given.width]), normal([given.width])];
      const weighed = (a: np.Array, g: np.Array, b: np.Array, d: np.Array) => {
        const mean = np.mean(a.ref, 1, { keepdims: true });
        const centred = a.sub(mean);
        const variance = np.mean(np.square(centred.ref), 1, { keepdims: true });
        return np.sum(
          centred
            .div(np.sqrt(variance.add(1e-5)))
            .mul(g)
            .add(b)
            .mul(d),
        );
      };
      const gradients = jit(valueAndGrad(weighed, { argnums: [0, 1, 2] }));
      const body = () => {
        const [value, [dx, dGamma, dBeta]] = gradients(x.ref, gamma.ref, beta.ref, dy.ref);
        for (const t of [value, dGamma, dBeta]) t.dispose();
        return dx;
      };
      return [repeated('', body)];
    }
    case 'eager-op': {
      const x = normal([CHAIN.elements]);
      const chain = (y: np.Array) => {
        for (let i = 0; i < CHAIN.operations; i++) y = y.mul(1.5);
        return np.sum(y);
      };
      const gradient = grad(chain);
      const run = (ask: (times: number) => void) => async (times: number) => {
        ask(times);
        await wait(x.blockUntilReady());
      };
      const unrecorded = (times: number) => {
        for (let i = 0; i < times; i++) x.ref.mul(1.5).gpuBufferSync();
      };
      const differentiated = (times: number) => {
        for (let done = 0; done < times; done += CHAIN.operations) gradient(x.ref).gpuBufferSync();
      };
      const part = (name: string, ask: (times: number) => void) => ({
        ...{ part: name, issue: { times: 1000, ask }, run: run(ask) },
      });
      return [part('unrecorded', unrecorded), part('recorded, with its gradient', differentiated)];
    }
    case 'train':
      return [training(given.net, wait)];
    case 'lstm':
      throw new Error('jax-js has no scan over time');
    default:
      throw new Error(`${given.kind} is not for peers`);
  }
}

/** There is no batch norm: it is made of means. */
function normalize(x: np.Array, gamma: np.Array, beta: np.Array): np.Array {
  const mean = np.mean(x.ref, [0, 2, 3], { keepdims: true });
  const centred = x.sub(mean);
  const variance = np.mean(np.square(centred.ref), [0, 2, 3], { keepdims: true });
  const channel = (t: np.Array) => t.reshape([1, -1, 1, 1]);
  const scale = channel(gamma).div(np.sqrt(variance.add(1e-5)));
  return centred.mul(scale).add(channel(beta));
}

const ops: Ops<np.Array> = {
  share: (x) => x.ref,
  conv(x, weight, kernel, stride, groups) {
    const padding: [number, number] = [kernel >> 1, kernel >> 1];
    return lax.convGeneralDilated(x, weight, [stride, stride], [padding, padding], { featureGroupCount: groups });
  },
  normRelu: (x, gamma, beta) => nn.relu(normalize(x, gamma, beta)),
  add: (x, y) => x.add(y),
  advance(x, f, times, i) {
    const time = i ? times.ref.slice(i).sub(times.slice(i - 1)) : times.slice(i);
    return x.add(f.mul(time));
  },
  classify: (x, weight, bias) => np.matmul(np.mean(x, [2, 3]), weight).add(bias),
};

function createParameter({ shape, initial }: { shape: number[]; initial: Initial }): np.Array {
  if (initial === 'ones') return np.ones(shape);
  if (initial === 'zeros') return np.zeros(shape);
  if (initial === 'times') return np.arange(1, shape[0] + 1).astype(np.float32);
  const [out, ...fan] = shape;
  const deviation = shape.length === 2 ? Math.sqrt(1 / out) : Math.sqrt(2 / fan.reduce((a, b) => a * b));
  return normal(shape).mul(deviation);
}

function training(net: Net, wait: Wait): Workload {
  let parameters = survey(net).parameters.map(createParameter);
  let momenta = parameters.map((p) => np.zeros(p.shape));
  const images = normal([BATCH, 3, IMAGE, IMAGE]);
  const classes = np.array(Array.from({ length: BATCH }, (_, i) => (7 * i) % CLASSES)).astype(np.int32);
  const labels = nn.oneHot(classes, CLASSES);
  const lossOf = (p: np.Array[], x: np.Array, y: np.Array) => {
    let at = 0;
    const logits = forward(net, ops, () => p[at++], x);
    return np.sum(nn.logSoftmax(logits).mul(y)).mul(-1 / BATCH);
  };
  const step = jit((p: np.Array[], m: np.Array[], x: np.Array, y: np.Array) => {
    const [loss, gradients] = valueAndGrad(lossOf)(
      p.map((t) => t.ref),
      x,
      y,
    );
    const velocities = m.map((v, i) => v.mul(0.9).add(gradients[i]));
    return [loss, p.map((t, i) => t.sub(velocities[i].ref.mul(0.02))), velocities] as [
      np.Array,
      np.Array[],
      np.Array[],
    ];
  });
  let first: number | undefined;
  let last = 0;
  return {
    part: '',
    async run(times) {
      let loss!: np.Array;
      for (let i = 0; i < times; i++) {
        [loss, parameters, momenta] = step(parameters, momenta, images.ref, labels.ref);
        if (i < times - 1) loss.gpuBufferSync();
      }
      await wait(parameters[0].blockUntilReady());
      [last] = await wait(loss.data());
      first ??= last;
    },
    check: async () => checkLosses(first!, last),
  };
}
