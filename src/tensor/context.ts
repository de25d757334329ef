// Where the program is: the module being called, for error messages and for the rule of what outlives `backward()`.
import { InputError, setPath } from '../gpu';

const modules: string[] = [];

/** Runs `body` as the forward pass of the module at `path`, counted from the outermost one. */
export function insideModule<T>(path: string, body: () => T): T {
  modules.push(path);
  try {
    return body();
  } finally {
    modules.pop();
  }
}

/** How many modules are being called right now. */
export const moduleDepth = (): number => modules.length;

/** `layer2.1.conv1`, or '' outside of modules. */
export const modulePath = (): string => modules.findLast(Boolean) ?? '';

setPath(modulePath);

/** The line of the user's program that called in: the first frame outside of the framework. */
export function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200; // a deep model calls through many frames
  const [own = '', ...frames] = (new Error().stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = limit;
  // The framework's sources lie around this file; bundled into a program they are in one file with it, and lines tell nothing.
  const root = fileOf(own).replace(/[\\/]tensor[\\/]context\.\w+$/, '');
  const foreign = frames.find(
    (frame) =>
      !fileOf(frame).startsWith(root) &&
      !/[\\/]dawnfield[\\/](src|dist)[\\/]|node:internal|<anonymous>\)?$/.test(frame),
  );
  return foreign?.trim().replace(/^at /, '') ?? '';
}

/** The file of a line of a stack trace. */
const fileOf = (frame: string): string => /(?:[(@\s]|^)([^(@\s][^(@]*?):\d+:\d+\)?$/.exec(frame)?.[1] ?? frame;

/** Refuses arguments that are no numbers, such as tensors: arithmetic on the host would make NaN of them. */
export function requireNumbers(op: string, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values))
    if (typeof value !== 'number') throw inputError(op, `${name} is ${String(value)}`, {}, 'Use a number.');
}

/** The same for whole numbers. */
export function requireIntegers(op: string, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values))
    if (!Number.isInteger(value)) throw inputError(op, `${name} is ${String(value)}`, {}, 'Use a whole number.');
}

/** An error that names the operation, the shapes (given as such or as tensors), the module's path, the user's line and a hint. */
export function inputError(
  op: string,
  problem: string,
  shapes: Record<string, readonly number[] | { readonly shape: readonly number[] }> = {},
  hint = '',
): InputError {
  const list = Object.entries(shapes).map(([name, x]) => `${name} [${('shape' in x ? x.shape : x).join(', ')}]`);
  const path = modulePath();
  const site = callSite();
  return new InputError(
    `${op}: ${problem}${list.length ? ` (${list.join(', ')})` : ''}${path ? `, in module ${path}` : ''}.${hint ? ` ${hint}` : ''}${site ? `\n    called from ${site}` : ''}`,
  );
}
