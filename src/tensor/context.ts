// Where the program is: the module being called, for error messages and for the rule of what outlives `backward()`.
import { InputError, setPath } from '../gpu';
import { callSite, notePlace } from './call-site';

notePlace();

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
