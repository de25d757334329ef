// What every command line here shares: typed option values, errors that say what would have been right,
// and exit codes (0 done, 1 failed, 2 called wrongly).

import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { at } from '../../shaders/checked';
import { UsageError } from './usage-error';

export { UsageError } from './usage-error';

/** How a program of ours is called here, for users to copy: by npm in a clone, by npx where the package is installed. */
export const commandOf = (name: string): string =>
  process.env.DAWNFIELD_COMMAND ? `${process.env.DAWNFIELD_COMMAND} ${name}` : `npm run ${name} --`;

/** A command with help, suggestions for misspelt options, and `--json`. */
export function createProgram(name: string, description: string): Command {
  return new Command(commandOf(name))
    .description(description)
    .option('--json', 'print one JSON object a line and nothing else')
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
    .showHelpAfterError('--help lists the options')
    .exitOverride();
}

/**
 * Parses the command line, runs `main` with its options and arguments, and ends the process when that fails.
 * Errors are printed as one sentence; with the environment variable DEBUG set, with their stack.
 */
export async function runProgram<Options>(
  program: Command,
  main: (options: Options, args: string[]) => Promise<void>,
  argv: readonly string[] = process.argv,
): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    if (!stream.listeners('error').includes(whenUnread)) stream.on('error', whenUnread);
  if (process.env.DAWNFIELD_WORDS) return printWords(program);
  try {
    program.parse(argv);
    refuseEmpty(program);
    await main(program.opts() as Options, program.args);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
    printError(error);
    process.exit(error instanceof UsageError ? 2 : 1);
  }
}

/** What may follow the name of a program, a word a line, for the completion of shells. */
function printWords(program: Command): void {
  const flags = [program, ...program.commands].flatMap(({ options }) => options.flatMap(({ long }) => long ?? []));
  const words = [...program.commands.map((command) => command.name()), ...flags, '--help'];
  process.stdout.write(`${[...new Set(words)].join('\n')}\n`);
}

/** An empty text is never what was meant: `--resume "$FOLDER"` with an unset variable, say. */
function refuseEmpty(program: Command): void {
  const hint = 'is empty; is a variable of the shell unset?';
  for (const command of [program, ...program.commands])
    for (const option of command.options)
      if ([command.opts()[option.attributeName()]].flat().includes(''))
        throw new UsageError(`the value of ${option.long} ${hint}`);
  if (program.args.includes('')) throw new UsageError(`an argument ${hint}`);
}

/** Nobody reads the output any more: `| head -1` has seen enough, or the terminal is gone. Programs that have something to save listen. */
function whenUnread(error: NodeJS.ErrnoException): void {
  if (!['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED'].includes(error.code ?? '')) throw error;
  if (!process.emit('SIGPIPE', 'SIGPIPE')) process.exit(0);
}

export function printError(error: unknown): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`error: ${message}\n`);
  if (process.env.DEBUG) process.stderr.write(`${stack}\n`);
}

/** One line of machine-readable output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function toNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError(`'${text}' is not a number.`);
  return value;
}

/** A number within [least, most]. */
export function numberFrom(least: number, most = Number.POSITIVE_INFINITY) {
  return (text: string): number => {
    const value = toNumber(text);
    if (value < least || value > most) {
      throw new InvalidArgumentError(
        most < Number.POSITIVE_INFINITY ? `It must be from ${least} to ${most}.` : `It must be at least ${least}.`,
      );
    }
    return value;
  };
}

/** A whole number within [least, most]. */
export function integerFrom(least: number, most: number) {
  return (text: string): number => {
    const value = toNumber(text);
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** How many: rounds, samples, widths. */
export const count = integerFrom(1, 100_000);
/** Images, of a batch or of a data set. */
export const imageCount = integerFrom(1, 60_000);
/** Updates of the weights. */
export const stepCount = integerFrom(1, 1_000_000_000);
/** A seed is one word of a random generator's key. */
export const seedNumber = integerFrom(0, 2 ** 32 - 1);
/** Layers or particles, each with weights of its own. */
export const depth = integerFrom(1, 10_000);

/** Numbers as 'a,b,c'; exactly `length` of them where that is given. */
export function numberList(length?: number) {
  return (text: string): number[] => {
    const values = text === '' ? [] : text.split(',').map(toNumber);
    if (length !== undefined && values.length !== length) {
      throw new InvalidArgumentError(`It needs ${length} numbers separated by commas, got ${values.length}.`);
    }
    return values;
  };
}

/** One of `allowed`. */
export function choice<Value extends string>(allowed: readonly Value[]) {
  return (text: string): Value => {
    const value = allowed.find((name) => name === text);
    if (value !== undefined) return value;
    throw new InvalidArgumentError(`${didYouMean(text, allowed)}Allowed are ${allowed.join(', ')}.`);
  };
}

/** Words as 'a,b,c', at least one. */
export function words() {
  return (text: string): string[] => {
    const found = text.split(',').map((word) => word.trim());
    if (found.some((word) => word === '')) throw new InvalidArgumentError('It needs names separated by commas.');
    return found;
  };
}

/** Several of `allowed`, separated by commas. */
export function choices<Value extends string>(allowed: readonly Value[]) {
  return (text: string): Value[] => words()(text).map(choice(allowed));
}

/** 'Did you mean X? ' where one of `known` is close to `word`, else nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const nearest = known
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, 0.4 * name.length))
    .sort((a, b) => a.distance - b.distance)[0];
  return nearest ? `Did you mean ${nearest.name}? ` : '';
}

/** The least number of letters to insert, delete or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + Number(a[i - 1] !== b[j - 1]));
    }
    row = next;
  }
  return at(row, b.length);
}
