// The names of operations and their arguments, for who notes them: an export writes each as one of the other format. Every operation that is not
// made of others is a function wrapped here.

/** A function of any arguments. */
export type Operation = (...args: never[]) => unknown;

/** Calls it with arguments of which no more is known. */
export const callWith = (f: Operation, args: readonly unknown[]): unknown => f(...(args as never[]));

/** Gets each call in the place of the operation: it runs `f` itself, if with others noted inside of it. @internal */
export type Recorder = (name: string, f: Operation, args: readonly unknown[]) => unknown;

let recorder: Recorder | null = null;

/** Runs `body`, which is synchronous, with operations handed to `to`; with null they run as they are. @internal */
export function withRecorder<T>(to: Recorder | null, body: () => T): T {
  const outer = recorder;
  recorder = to;
  try {
    return body();
  } finally {
    recorder = outer;
  }
}

const wrapped = new WeakMap<object, Operation>();

/** What `operation`, `mixed` or `autocasting` has wrapped; any other function as it is. Tests look at its source. @internal */
export function unwrapped(f: Operation): Operation {
  const inner = wrapped.get(f);
  return inner ? unwrapped(inner) : f;
}

/** @internal */
export function wrapping<F extends object>(f: F, wrap: (f: Operation) => Operation): F {
  const inner = f as Operation;
  const wrapper = wrap(inner);
  wrapped.set(wrapper, inner);
  return wrapper as F;
}

// `object` and not `Operation`: a signature there would type each parameter that has only a default, such as `keepDims = false`, as any.

/** The operation `f`, which whoever notes operations sees under its name, with its arguments and its result. */
export const operation = <F extends object>(name: string, f: F): F =>
  wrapping(
    f,
    (inner) =>
      (...args) =>
        recorder ? recorder(name, inner, args) : inner(...args),
  );
