// What every implementation of WebGPU runs, the same in Node, Deno and browsers: conformance cases, operations whose numbers are compared with
// Node's, training, eager and compiled. Takes and gives what JSON can hold.

import { Rng } from '../../datasets/random';
import { isSoftware } from '../../src/gpu/target';
import {
  backward,
  compile,
  device,
  endStep,
  F,
  init,
  manualSeed,
  models,
  optim,
  shutdown,
  tensor,
} from '../../src/index';
import type { Case } from '../conformance/case';
import { runOptimizer } from '../conformance/optimizer-case';
import { isFailure } from '../conformance/outcome';
import { runProgram } from '../conformance/program';
import { OWN_CASES, runOwn } from './own-cases';

export interface Task {
  /** Cases of ../shared/conformance, which not every checkout has. */
  cases: Case[];
  steps: number;
  /** Steps of ResNet-20 on batches of `batch` to time; 0: none. */
  timed: number;
  batch: number;
}

export interface Report {
  adapter: { vendor: string; architecture: string; device: string; description: string };
  target: { isCpu: boolean; subgroupSize: number };
  software: boolean;
  /** Where the device was lost, and why; another one was opened, and what came next ran on it. */
  lost: string[];
  /** Conformance: what passed, what was judged apart or does not apply, and what failed, with the reason. */
  passed: number;
  aside: number;
  failures: string[];
  /** The values and gradients of the own cases, by name. */
  values: Record<string, number[][]>;
  errors: string[];
  /** An error's message, and the line above the call that it is about, as the engine tells it of itself. */
  error: { message: string; above: string };
  losses: { eager: number[]; compiled: number[] };
  /** Launches of a compiled step of ResNet-20, where steps were timed. */
  launches: number;
  imagesPerSecond: number;
}

const batchOf = (size: number, seed: number) => {
  const rng = new Rng(seed, 0xba7c4);
  const x = Float32Array.from({ length: size * 3072 }, () => 2 * rng.uniform() - 1);
  const labels = Int32Array.from({ length: size }, (_, i) => (7 * i + seed) % 10);
  return [tensor(x, { shape: [size, 3, 32, 32] }), tensor(labels)] as const;
};

/** A step of training of a mean-field network. */
function training(blocks: number, isCompiled: boolean) {
  manualSeed(5);
  const model = new models.MeanFieldResNet({ blocks });
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });
  const step = (x: ReturnType<typeof tensor>, y: ReturnType<typeof tensor>) => {
    const loss = F.crossEntropy(model.forward(x), y);
    backward(loss);
    optimizer.step();
    model.sortParticles();
    optimizer.zeroGrad();
    return loss;
  };
  return isCompiled ? compile(step) : step;
}

async function losses(steps: number, isCompiled: boolean): Promise<number[]> {
  const step = training(1, isCompiled);
  const found: number[] = [];
  for (let i = 0; i < steps; i++) found.push(await step(...batchOf(4, i % 2)).item());
  return found;
}

/** Images a second of a compiled step of ResNet-20, with the fastest of the steps, and its launches. */
async function speed(steps: number, batch: number) {
  if (!steps) return { launches: 0, imagesPerSecond: 0 };
  const step = training(3, true);
  const [x, y] = batchOf(batch, 0);
  for (const t of [x, y]) t.keep();
  await step(x, y).item();
  await step(x, y).item();
  let best = Infinity;
  let launches = 0;
  for (let i = 0; i < steps; i++) {
    const before = device().stats().dispatches;
    const begin = performance.now();
    await step(x, y).item();
    best = Math.min(best, performance.now() - begin);
    launches = device().stats().dispatches - before;
  }
  return { launches, imagesPerSecond: (1000 * batch) / best };
}

/** Runs a part on the device. Where it is lost meanwhile, `lost` gets what was at work and the reason, and the next part gets another device. */
async function part<T>(what: string, lost: string[], body: () => Promise<T>): Promise<T | null> {
  try {
    const result = await body();
    if (!device().lost) return result;
  } catch (error) {
    if (!device().lost) throw error;
  }
  const { reason, message } = await device().gpu.lost;
  lost.push(`${what}: ${[reason, message].filter(Boolean).join(', ')}`);
  shutdown();
  await init();
  return null;
}

/** What an error says of a wrong call. */
function wrongCall(): Report['error'] {
  const [a, b] = [tensor([1, 2]), tensor([1, 2, 3])];
  let above = '';
  try {
    above = new Error().stack ?? '';
    F.add(a, b);
    return { message: 'none', above };
  } catch (error) {
    return { message: error instanceof Error ? error.message : String(error), above };
  }
}

/** `say` hears what comes next, so that it is known should the whole page end. */
export async function run({ cases, steps, timed, batch }: Task, say = (_: string): void => undefined): Promise<Report> {
  await init();
  try {
    const { info, target } = device();
    const { vendor, architecture, device: name, description } = info;
    const outcomes = [];
    const lost: string[] = [];
    for (const c of cases) {
      say(c.id);
      outcomes.push(
        ...((await part(c.id, lost, () => (c.kind === 'optimizer' ? runOptimizer(c) : runProgram(c)))) ?? []),
      );
    }
    const failed = outcomes.filter(isFailure);
    const passed = outcomes.filter(({ status }) => status === 'passed').length;
    const values: Report['values'] = {};
    const errors: string[] = [];
    for (const [key, own] of Object.entries(OWN_CASES)) {
      say(key);
      try {
        const found = await part(key, lost, () => runOwn(own));
        if (found) values[key] = found;
      } catch (error) {
        errors.push(`${key}: ${error}`);
      }
      endStep();
    }
    const train = async (isCompiled: boolean) => {
      const what = isCompiled ? 'compiled training' : 'training';
      say(what);
      return (await part(what, lost, () => losses(steps, isCompiled))) ?? [];
    };
    const eager = await train(false);
    const compiled = await train(true);
    say('timed training');
    const timing = await part('timed training', lost, () => speed(timed, batch));
    return {
      adapter: { vendor, architecture, device: name, description },
      target: { isCpu: target.isCpu, subgroupSize: target.subgroupSize },
      software: isSoftware(info),
      passed,
      aside: outcomes.length - passed - failed.length,
      failures: failed.map(({ id, direction, note }) => `${id} (${direction}): ${note}`),
      values,
      errors,
      error: wrongCall(),
      losses: { eager, compiled },
      ...(timing ?? { launches: 0, imagesPerSecond: 0 }),
      lost,
    };
  } finally {
    shutdown();
  }
}
