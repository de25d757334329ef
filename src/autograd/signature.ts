// What is to be the same in two traces of one compiled step: `compile(step, { debug: true })` traces each call and compares.
import { InputError, Scalar } from '../gpu';
import type { Block } from '../gpu/blocks';
import type { Constant } from '../gpu/constants';
import { type Trace, VirtualBlock } from '../gpu/trace';
import type { Tensor } from '../tensor/tensor';

/** Refuses a trace that differs from the one before it. */
export function requireSame(before: readonly string[], now: readonly string[]): void {
  const at = Array.from({ length: Math.max(before.length, now.length) }, (_, i) => i).find((i) => before[i] !== now[i]);
  if (at === undefined) return;
  throw new InputError(
    `compile: the step does something else than when it was traced, with arguments alike, and a graph would repeat the old: launch ${at} was ` +
      `${before[at] ?? 'not there'} and is now ${now[at] ?? 'not there'}. Numbers and tensors that change must be arguments of the step.`,
  );
}

/** What is to be equal in two traces of one step: kernels, what they bind, and numbers that do not change by themselves. */
export function signatureOf({ launches, digests }: Trace, inputs: readonly Tensor[]): string[] {
  const numbers = new Map<Block, number>();
  const given = inputs.map((t) => t.storage.block);
  const nameOf = (block: Block) => {
    if (given.includes(block)) return `argument ${given.indexOf(block)}`;
    if (!(block instanceof VirtualBlock)) return `buffer ${block.id}`;
    if (!numbers.has(block)) numbers.set(block, numbers.size);
    return `temporary ${numbers.get(block)}`;
  };
  const number = (c: Constant) => (typeof c === 'number' ? c : c instanceof Scalar ? 'a scalar' : c.value);
  const lines = launches.map(({ kernel, bindings, constants, grid }) => {
    const bound = bindings.map((b) => `${nameOf(b.block)} ${b.offset}+${b.bytes}`);
    return `${kernel.name}(${bound.join(', ')}; ${constants.map(number).join(' ')}; ${grid.join('×')})`;
  });
  return [...lines, `host data ${digests.join()}`];
}
