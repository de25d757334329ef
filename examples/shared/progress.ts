// Progress of a run on the terminal: a bar per epoch, or a plain line now and then where output goes to a file.

import type { Writable } from 'node:stream';
import { Presets, SingleBar } from 'cli-progress';

/** Prints a line for people. */
export type Say = (line: string) => void;

/** Running means of the epoch; accuracy in percent. */
export interface ProgressValues {
  loss?: number;
  accuracy?: number;
}

export interface Progress {
  /** Begins a bar over so many images (or other units), `done` of which are behind us already (in a resumed epoch). */
  begin(title: string, total: number, done?: number): void;
  update(done: number, values?: ProgressValues): void;
  end(): void;
  /** Prints a line without tearing the bar. */
  log: Say;
}

export interface ProgressOptions {
  /** Print nothing at all: the output is for a machine. */
  silent?: boolean;
  stream?: Writable & { isTTY?: boolean };
  /** What is counted (default: images). */
  unit?: string;
  /** Seconds between plain lines where the stream is no terminal. */
  every?: number;
  /** Clock in milliseconds. */
  now?: () => number;
}

export function createProgress(options: ProgressOptions = {}): Progress {
  const { silent = false, stream = process.stderr, unit = 'images', every = 10, now = Date.now } = options;
  const bar = !silent && stream.isTTY ? createBar(stream) : undefined;
  const print = (line: string) => void (silent || stream.write(`${line}\n`));
  let title = '';
  let images = 0;
  let first = 0;
  let began = 0;
  let printed = 0;
  let last = '';

  const describe = (done: number, { loss, accuracy }: ProgressValues): string => {
    const seconds = (now() - began) / 1000;
    const rate = seconds > 0 ? (done - first) / seconds : 0;
    const parts = [`${count(done)}/${count(images)}`];
    if (rate > 0) parts.push(`${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))} ${unit}/s`);
    if (loss !== undefined) parts.push(`loss ${loss.toFixed(3)}`);
    if (accuracy !== undefined) parts.push(`accuracy ${accuracy.toFixed(1)} %`);
    if (rate > 0 && done < images) parts.push(`${formatDuration((images - done) / rate)} left`);
    return parts.join('  ');
  };

  return {
    begin(newTitle, total, done = 0) {
      [title, images, first, began, printed, last] = [newTitle, total, done, now(), now(), ''];
      bar?.start(total, done, { title, text: describe(done, {}) });
    },
    update(done, values = {}) {
      if (silent) return;
      last = describe(done, values);
      if (bar) bar.update(done, { text: last });
      else if (now() - printed >= every * 1000) {
        print(`${title}  ${last}`);
        printed = now();
        last = '';
      }
    },
    end() {
      if (bar) bar.stop();
      else if (last) print(`${title}  ${last}`);
    },
    log(line) {
      // Overwrites the bar's line; the bar is drawn again below.
      if (bar?.isActive) stream.write('\r\x1b[2K');
      print(line);
      if (bar?.isActive) bar.render();
    },
  };
}

function createBar(stream: Writable): SingleBar {
  const options = {
    stream: stream as NodeJS.WritableStream,
    format: '{title} {bar} {text}',
    barsize: 24,
    gracefulExit: false, // its SIGINT handler would end the process before the run is saved
    forceRedraw: true, // after a line was logged, the bar is drawn again though nothing in it changed
  };
  return new SingleBar(options, Presets.shades_classic);
}

export const count = (n: number): string => n.toLocaleString('en');

/** 7 → '0:07', 3700 → '1:01:40'. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
