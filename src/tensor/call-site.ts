// The line of the user's program that called in, read off a stack trace: the first frame outside of the framework. V8 (Node, Chromium, Deno)
// writes `at f (file:1:2)`, Firefox and Safari `f@file:1:2`. The framework's frames are told by their files; where a bundler has put them into
// one file with the user's, by their places: bundles keep the order of evaluation, so that what lies between `context.ts`, which is early, and
// the entry, which is evaluated last, is the framework's.
import { at, fromEnd } from '../../shaders/checked';

/** Where in a file code lies. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

interface Frame extends Place {
  /** As it is shown. */
  readonly text: string;
}

/** The frames of a stack trace, innermost first; lines that name no place are left out. */
export function framesOf(stack: string): Frame[] {
  return stack.split('\n').flatMap((row) => {
    const [, file, line, column] = /^(?:\s*at (?:.*\()?|.*?@)(?:async )?([^@(\s].*?):(\d+):(\d+)\)?$/.exec(row) ?? [];
    if (!file) return [];
    return [{ file, line: Number(line), column: Number(column), text: row.trim().replace(/^at /, '') }];
  });
}

const places: Place[] = [];

/** Called by modules of the framework when they are evaluated: bundles tell by it where the framework begins and ends. */
export function notePlace(): void {
  const caller = framesOf(new Error().stack ?? '')[1];
  if (caller) places.push(caller);
}

const isBefore = (a: Place, b: Place): boolean => a.line < b.line || (a.line === b.line && a.column <= b.column);

/**
 * The frame of the user's program in a stack whose innermost frame is one of the framework, as text, or '' where none can be told. Packages
 * between the framework and the program are passed over. `noted` are places of the framework in bundles.
 */
export function userFrame(stack: string, noted: readonly Place[] = places): string {
  const [own, ...frames] = framesOf(stack);
  if (!own) return '';
  // The framework's sources lie around this file.
  const root = own.file.replace(/[\\/]tensor[\\/]call-site\.\w+$/, '');
  const isOwn = (frame: Frame): boolean => {
    const { file } = frame;
    if (/[\\/]dawnfield[\\/](src|dist)[\\/]|^node:internal|^<anonymous>|^native/.test(file)) return true;
    if (root !== own.file) return file.startsWith(root);
    const here = noted.filter((place) => place.file === file).sort((a, b) => (isBefore(a, b) ? -1 : 1));
    if (here.length < 2) return file === own.file; // its bounds are not known
    return isBefore(at(here, 0), frame) && isBefore(frame, fromEnd(here, 1));
  };
  const foreign = frames.filter((frame) => !isOwn(frame));
  return (foreign.find(({ file }) => !/[\\/]node_modules[\\/]/.test(file)) ?? foreign[0])?.text ?? '';
}

/** The line of the user's program that called in. */
export function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200; // a deep model calls through many frames
  const { stack = '' } = new Error();
  Error.stackTraceLimit = limit;
  return userFrame(stack);
}
