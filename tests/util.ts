// Shared by the tests of operations: opens the GPU, compares with float64 references, takes numeric gradients.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rng } from '../datasets/random';
import { type KernelTarget, kernelTarget } from '../shaders/target';
import { device, init, shutdown } from '../src/gpu';
import '../src/gpu/node';
import { backward } from '../src/autograd/backward';
import { provider } from '../src/gpu/provider';
import { tensor } from '../src/tensor/create';
import type { Shape } from '../src/tensor/shape';
import { size } from '../src/tensor/shape';
import type { Tensor } from '../src/tensor/tensor';

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Names of the launches of `body`, which is synchronous. */
export function launched(body: () => void): string[] {
  const seen: string[] = [];
  const gpu = device();
  const { launch } = gpu;
  gpu.launch = (kernel, ...rest) => {
    seen.push(kernel.name);
    launch.call(gpu, kernel, ...rest);
  };
  try {
    body();
  } finally {
    gpu.launch = launch;
  }
  return seen;
}

/** Bytes in use once all garbage was collected and told of, which may take some turns. */
export async function settled(): Promise<number> {
  const collect = provider().collector!()!;
  const live = () => device().stats().liveBytes;
  let before = Infinity;
  for (let same = 0; same < 3; ) {
    collect();
    await turn();
    await turn();
    same = live() === before ? same + 1 : 0;
    before = live();
  }
  return before;
}

/** `gpu` gives the tests of a process the kernels for GPUs and all that goes with them, such as how often the Trainer reads, on any adapter. */
export const KERNELS = 'DAWNFIELD_TEST_KERNELS';

/** Opens the device before the first test of the file and closes it after the last. */
export function useGpu(): void {
  test.before(async () => {
    await init();
    if (process.env[KERNELS] === 'gpu') Object.assign(device(), { target: targetFor('gpu') });
  });
  test.after(() => shutdown());
}

/** This machine's adapter as a target of the given kind. */
export const targetFor = (kind: 'cpu' | 'gpu'): KernelTarget =>
  kernelTarget({ ...device().target, isCpu: kind === 'cpu' });

/** Runs `body` with kernels made for `target` in place of the adapter's own. */
export async function withTarget<T>(target: KernelTarget, body: () => T | Promise<T>): Promise<T> {
  const own = device().target;
  Object.assign(device(), { target });
  try {
    return await body();
  } finally {
    Object.assign(device(), { target: own });
  }
}

/**
 * Runs `body` with the kernels for CPU drivers and with those for GPUs, or with those of some `kinds`. A GPU runs its own alone: on an
 * H100 those for CPU drivers, which no GPU is given, had wrong rows in the product [18, 5] · [5, 900], in others of its workgroups each time; why is not known.
 */
export async function onBothTargets(
  body: () => Promise<void>,
  kinds: readonly ('cpu' | 'gpu')[] = ['cpu', 'gpu'],
): Promise<void> {
  for (const kind of kinds) if (kind === 'gpu' || device().target.isCpu) await withTarget(targetFor(kind), body);
}

/** Reproducible numbers in [low, high), exact in float32. */
export function numbers(count: number, seed: number, low = -1, high = 1): Float64Array {
  const rng = new Rng(seed, 0x7e57);
  return Float64Array.from({ length: count }, () => Math.fround(low + (high - low) * rng.uniform()));
}

/** Fails unless max|got − want| ≤ tolerance · max(1, max|want|); NaN and infinities must agree exactly. */
export function close(got: ArrayLike<number>, want: ArrayLike<number>, tolerance = 1e-5, what = 'values'): void {
  assert.is(got.length, want.length, `${what}: number of elements`);
  let scale = 1;
  for (let i = 0; i < want.length; i++) if (Number.isFinite(want[i])) scale = Math.max(scale, Math.abs(want[i]));
  for (let i = 0; i < want.length; i++)
    if (!(Object.is(got[i], want[i]) || got[i] === want[i] || Math.abs(got[i] - want[i]) <= tolerance * scale))
      assert.unreachable(
        `${what}: element ${i} is ${got[i]}, expected ${want[i]} (largest ${scale}, tolerance ${tolerance})`,
      );
}

/** ∂f/∂x by central differences in float64. */
export function numericGradient(f: (x: Float64Array) => number, x: ArrayLike<number>, step = 1e-5): Float64Array {
  const at = Float64Array.from(x);
  return at.map((value, i) => {
    at[i] = value + step;
    const up = f(at);
    at[i] = value - step;
    const down = f(at);
    at[i] = value;
    return (up - down) / (2 * step);
  });
}

export interface GradientCase {
  /** Arguments, flat; `shapes[i]` is the shape of `values[i]`. */
  shapes: Shape[];
  values: ArrayLike<number>[];
  run: (...inputs: Tensor[]) => Tensor;
  /** The same in float64 on flat arrays. */
  reference: (...inputs: Float64Array[]) => ArrayLike<number>;
  tolerance?: number;
}

/** Compares an operation and all its gradients, for a random upstream gradient, with a float64 reference and its finite differences. */
export async function checkOperation(
  what: string,
  { shapes, values, run, reference, tolerance = 1e-4 }: GradientCase,
): Promise<void> {
  const inputs = values.map((v, i) => tensor(Float32Array.from(v), { shape: shapes[i], requiresGrad: true }));
  const y = run(...inputs);
  const host = values.map((v) => Float64Array.from(v));
  close(await y.data(), reference(...host), tolerance, `${what}: value`);
  if (!y.requiresGrad) return;
  const upstream = numbers(size(y.shape), 77);
  backward(y, { gradient: tensor(Float32Array.from(upstream), { shape: y.shape }) });
  for (const [i, input] of inputs.entries()) {
    const objective = (x: Float64Array) => {
      const out = reference(...host.map((h, k) => (k === i ? x : h)));
      return upstream.reduce((sum, u, k) => sum + u * out[k], 0);
    };
    if (input.grad)
      close(await input.grad.data(), numericGradient(objective, host[i]), tolerance, `${what}: gradient ${i}`);
  }
}
