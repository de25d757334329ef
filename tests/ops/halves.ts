// What tests of float16 share: they are skipped where the adapter has none, and begin with numbers that float16 holds.
import { test } from 'uvu';
import { fromHalf, halfBits } from '../../shaders/half';
import { device, init } from '../../src/gpu';
import '../../src/gpu/node';
import { numbers } from '../util';

/**
 * `test`, which skips where the adapter has no shader-f16: float16 tensors are refused there. Awaited by each test file, not here: esbuild
 * may start a shared file that awaits before the imports of the file that needs it, and then no provider of adapters is set.
 */
export async function halfTest(): Promise<(name: string, body: () => void | Promise<void>) => void> {
  await init();
  const has = device().features.has('shader-f16');
  return (name, body) => (has ? test(name, body) : test.skip(`${name} (the adapter has no shader-f16)`, body));
}

export const round = (x: number): number => fromHalf(halfBits(x));
export const rounded = (count: number, seed: number): number[] => [...numbers(count, seed)].map(round);
