// What tests of float16 share: they are skipped where the adapter has none, and begin with numbers that float16 holds.
import { test } from 'uvu';
import { fromHalf, halfBits } from '../../shaders/half';
import { device, init } from '../../src/gpu';
import '../../src/gpu/node';
import { numbers } from '../util';

await init(); // what is skipped depends on the adapter
const has = device().features.has('shader-f16');

/** Skipped where the adapter has no shader-f16: float16 tensors are refused there. */
export const withHalf = (name: string, body: () => void | Promise<void>) =>
  has ? test(name, body) : test.skip(`${name} (the adapter has no shader-f16)`, body);

export const round = (x: number): number => fromHalf(halfBits(x));
export const rounded = (count: number, seed: number): number[] => [...numbers(count, seed)].map(round);
