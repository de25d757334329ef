// Mixed precision: inside of `autocast`, products run in float16 and what needs range or long sums in float32, by PyTorch's lists
// (autocast-rules.ts).
import { device } from '../gpu';
import { inputError } from '../tensor/context';
import { requireHalf } from '../tensor/half';
import { asProgram } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';
import { autocastRule } from './autocast-rules';
import { castTo } from './cast';
import { assume, Mode } from './modes';
import { isPlain, isRecording, type Node, tensorsIn } from './tape';

/** A weight in float16, and when it was converted. */
interface Converted {
  readonly half: Tensor;
  readonly version: number;
}

interface Region {
  readonly enabled: boolean;
  /** Made in the step that is being traced: the step's own business. */
  readonly traced: boolean;
  /** Weights that were converted here: once for all their uses. */
  readonly weights: Map<Tensor, Converted>;
}

const OFF: Region = { enabled: false, traced: false, weights: new Map() };
const regions = new Mode<Region>(OFF);

/** The region whose rules hold; null outside of autocast. */
function current(): Region | null {
  const region = regions.get();
  if (!region.traced && device().tracing) assume(regions, () => regions.get().enabled === region.enabled);
  return region.enabled ? region : null;
}

/**
 * Runs `body`, which may be an async function, in mixed precision, as `torch.autocast('cuda', torch.float16)`: matrix products, convolutions,
 * recurrent cells and attention convert their operands to float16 (weights once for the region), exp, log, sums, norms and losses to float32,
 * some operations to the widest type of their operands; all others run in the types that they are given. Results have the type that was computed in.
 * Parameters stay float32, and so do their gradients. `autocast(false, body)` switches it off within.
 *
 *     const loss = autocast(() => F.crossEntropy(model.forward(x), y));
 *     loss.backward(); // outside
 *
 * Throws AdapterError where the adapter has no 'shader-f16'.
 */
export function autocast<T>(body: () => T): T;
export function autocast<T>(enabled: boolean, body: () => T): T;
export function autocast<T>(...args: [() => T] | [boolean, () => T]): T {
  const [enabled, body] = args.length === 1 ? [true, args[0]] : args;
  if (typeof enabled !== 'boolean' || typeof body !== 'function')
    throw inputError(
      'autocast',
      'the arguments are not understood',
      {},
      'autocast(() => …) or autocast(false, () => …).',
    );
  if (enabled) requireHalf('autocast');
  const region: Region = { enabled, traced: device().tracing, weights: new Map() };
  const result = regions.run('autocast', region, body);
  const leave = () => {
    for (const { half } of region.weights.values()) half.memory.letGo();
    region.weights.clear();
  };
  if (result instanceof Promise) void result.then(leave, leave);
  else leave();
  return result;
}

/** Whether autocast is on here. */
export const isAutocasting = (): boolean => current() !== null;

/** Runs `body` as outside of autocast: inside of an operation whose operands are converted already, and for gradient rules. */
export const withoutAutocast = <T>(body: () => T): T =>
  regions.get().enabled
    ? regions.run('autocast', { ...OFF, traced: regions.get().traced || device().tracing }, body)
    : body();

/** A function that runs a body under the autocast that holds now: for what is computed again in a backward pass. */
export function sameAutocast(): <T>(body: () => T) => T {
  const region = current();
  if (!region) return withoutAutocast;
  return (body) => {
    const again: Region = { enabled: true, traced: device().tracing, weights: new Map() };
    try {
      return regions.run('autocast', again, body);
    } finally {
      for (const { half } of again.weights.values()) half.memory.letGo();
    }
  };
}

/** A value with every tensor in it, also in lists and plain objects, exchanged for what `f` makes of it. */
export function mapTensors<A>(value: A, f: (x: Tensor) => Tensor): A {
  if (value instanceof Tensor) return f(value) as A;
  if (Array.isArray(value)) return value.map((item) => mapTensors(item, f)) as A;
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTensors(item, f)])) as A;
}

/** A float32 operand in float16: a weight once for the region, while it stays as it is and its graph can be used. */
function toHalf(x: Tensor, region: Region): Tensor {
  if (x.dtype !== 'float32') return x;
  // A region around a compiled step outlives what is made in the step.
  if (!(x.isLeaf && x.requiresGrad) || region.traced !== device().tracing) return castTo(x, 'float16');
  const found = region.weights.get(x);
  const { version } = x.memory;
  if (found && found.version === version && !found.half.memory.gone && isUsable(found.half)) return found.half;
  const half = asProgram(() => castTo(x, 'float16'));
  region.weights.set(x, { half, version });
  return half;
}

const isUsable = ({ requiresGrad, gradNode }: Tensor): boolean =>
  requiresGrad ? !(gradNode as Node).done : !isRecording();

/** The arguments of an operation as the region's rule for it has them, or null where there is none. */
export function autocastArguments<A extends unknown[]>(name: string, args: A): A | null {
  const region = current();
  const rule = region && autocastRule(name);
  if (!region || !rule) return null;
  if (rule === 'error')
    throw inputError(
      name,
      'not defined under autocast: the probabilities of float16 are too coarse',
      {},
      'Use the loss of logits, bceWithLogits, or compute it in autocast(false, () => …) from float32.',
    );
  if (rule === 'float16') return mapTensors(args, (x) => toHalf(x, region));
  const wide = rule === 'float32' || [...tensorsIn(args)].some(({ dtype }) => dtype === 'float32');
  return wide ? mapTensors(args, (x) => (x.dtype === 'float16' ? castTo(x, 'float32') : x)) : args;
}
