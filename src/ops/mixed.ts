// How operations meet float16 and autocast. Elementwise functions, reductions, matrix products, convolutions, attention, norms, softmax and cross-entropy read halves themselves; every other
// operation that takes them computes in float32 between two conversions, so that sums are float32 and the result is rounded once.
import { autocastArguments, mapTensors, withoutAutocast } from '../autograd/autocast';
import { castTo, widened } from '../autograd/cast';
import { callWith, type Operation, operation, wrapping } from '../autograd/operation';
import { isPlain, memoriesIn, tensorsIn } from '../autograd/tape';
import { inputError } from '../tensor/context';
import { owned } from '../tensor/memory';
import { Tensor } from '../tensor/tensor';

/**
 * Where float16 meets float32 among an operation's operands: 'refuse', as PyTorch does; 'first': the type of the first operand is the result's, as
 * in norms, whose weights may be float32; 'widest': the result is float32.
 */
type Mixture = 'refuse' | 'first' | 'widest';

/** Whether a tensor among the arguments is float16. */
function hasHalf(value: unknown): boolean {
  if (value instanceof Tensor) return value.dtype === 'float16';
  if (Array.isArray(value)) return value.some(hasHalf);
  return isPlain(value) && Object.values(value).some(hasHalf);
}

/** The operation `f` under autocast's rule for `name`; it takes float16 by itself. */
export const autocasting = <F extends object>(name: string, f: F): F =>
  operation(
    name,
    wrapping(f, (inner) => (...args) => {
      const converted = autocastArguments(name, args);
      return converted ? withoutAutocast(() => inner(...converted)) : inner(...args);
    }),
  );

/** The operation `f` of float32 for float16 too, and under autocast's rule for `name`. Gradients of float16 operands are float16. */
export const mixed = <F extends object>(name: string, f: F, mixture: Mixture = 'refuse'): F =>
  autocasting(
    name,
    wrapping(
      f,
      (inner) =>
        (...args) =>
          args.some(hasHalf) ? withoutAutocast(() => throughFloat(name, inner, args, mixture)) : inner(...args),
    ),
  );

/** The operation `f`, whose kernels read float32 and float16, under autocast's rule for `name`. Operands of both types are refused unless told. */
export const native = <F extends object>(name: string, f: F, mixture: Mixture = 'refuse'): F =>
  autocasting(
    name,
    wrapping(f, (inner) => (...args) => {
      if (mixture === 'first' || !args.some(hasHalf)) return inner(...args);
      const given = [...tensorsIn(args)];
      if (mixture === 'refuse') refuseBoth(name, given);
      else if (given.some(({ dtype }) => dtype === 'float32'))
        return withoutAutocast(() => throughFloat(name, inner, args, mixture));
      return inner(...args);
    }),
  );

/** Throws where some of the tensors are float32 and, as is known, some float16. */
function refuseBoth(name: string, given: readonly Tensor[]): void {
  if (given.some(({ dtype }) => dtype === 'float32'))
    throw inputError(
      name,
      'some operands are float16, some float32',
      Object.fromEntries(given.map((x, i) => [`${i}: ${x.dtype}`, x])),
      "Convert one: x.to('float32'), or run it in autocast(() => …).",
    );
}

/** `f` of float32, for float16 operands. */
function throughFloat(name: string, f: Operation, args: unknown[], mixture: Mixture): unknown {
  const given = [...tensorsIn(args)];
  if (mixture === 'refuse') refuseBoth(name, given);
  const single = given.filter(({ dtype }) => dtype === 'float32');
  const half = mixture === 'first' ? given[0]?.dtype === 'float16' : single.length === 0;
  const copies = new Map<Tensor, ReturnType<typeof widened>>();
  const original = new Map<Tensor, Tensor>();
  const run = () => {
    const wide = mapTensors(args, (x) => {
      if (x.dtype !== 'float16') return x;
      const copy = copies.get(x) ?? widened(x);
      copies.set(x, copy);
      original.set(copy.wide, x);
      return copy.wide;
    });
    const narrow = (y: Tensor) =>
      original.get(y) ?? (half && y.dtype === 'float32' && !given.includes(y) ? castTo(y, 'float16') : y);
    const result = callWith(f, wide);
    if (result instanceof Promise) return result.then((y) => mapTensors(y, narrow));
    const rounded = mapTensors(result, narrow);
    for (const { park } of copies.values()) park();
    return rounded;
  };
  // What is computed on the way goes with the tape.
  return owned(run, (result, made) => (result instanceof Promise ? made : memoriesIn(result)));
}
