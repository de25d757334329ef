// The folder of a training run:
//
//   config.json                   format version, options, when it was begun
//   metrics.jsonl                 one JSON object a line, see metrics.ts
//   checkpoint-last.safetensors   what a resumed run goes on from; checkpoint-best.safetensors beside it
//   run.lock                      held while a process writes here
//   adapters.json                 names of the adapters that it was trained on
//   .writer-<n>/                  of a run that several machines may want to write: see files/fence.node.ts
//
// It counts as a run from its first checkpoint on, which is written before the first step. Until then there is nothing to go on with: a new
// run may take the folder over, and programs that look for runs pass it by.

import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkClaim, type HeldClaim } from '../files/fence.node.js';
import { explain, parseJson, readBytes, readJson, sweepTemporaries, writeAtomic } from '../files/files.node.js';
import { acquireLock } from '../files/lock.node.js';
import {
  type Checkpoint,
  checkUnchanged,
  checkVersion,
  decodeCheckpoint,
  encodeCheckpoint,
  type JsonObject,
  stringify,
} from './checkpoint';
import type { MetricsLine } from './metrics';
import { bestOf } from './progress';

const format = 'dawnfield-run';
const version = 1;

export interface RunConfig {
  readonly format: string;
  readonly version: number;
  readonly created: string;
  readonly options: JsonObject;
}

/** A checkpoint together with the number of lines that metrics.jsonl had when it was saved. */
export interface SavedCheckpoint extends Checkpoint {
  readonly metricsLines: number;
}

/** The checkpoint that a run goes on from, with its file. */
export type ResumedCheckpoint = SavedCheckpoint & { readonly path: string };

export type CheckpointName = 'last' | 'best';

export class RunFolder {
  private metricsFile: number;
  private metricsLines: number;
  /** Bytes of metrics.jsonl. */
  private metricsBytes: number;

  private constructor(
    readonly path: string,
    public config: RunConfig,
    private readonly lock: { release(): void },
    private readonly claim?: HeldClaim,
  ) {
    const metrics = this.file('metrics.jsonl');
    // An earlier writer that wakes up appends to the file that it has open: from now on that is another one.
    if (claim && existsSync(metrics)) this.put(metrics, readBytes(metrics));
    this.metricsFile = openSync(metrics, 'a');
    const logged = readBytes(metrics);
    this.metricsBytes = logged.length;
    this.metricsLines = logged.reduce((lines, byte) => lines + Number(byte === newline), 0);
    // Half a line, left by a crash, must not become the beginning of the next one.
    if (logged.length > 0 && logged.at(-1) !== newline) this.truncateMetrics({ metricsLines: this.metricsLines });
  }

  /**
   * Makes the folder of a new run, or takes over one whose run has not begun, and locks it. Throws when it holds a run already. With `claim` it
   * writes behind the fence of that claim.
   */
  static create(path: string, options: JsonObject, claim?: HeldClaim): RunFolder {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw new Error(`${path}: the run folder could not be made (${explain(error)})`, { cause: error });
    }
    return RunFolder.locked(path, claim, () => {
      if (isRun(path)) {
        throw new Error(`run folder ${path} holds a run already; resume that run, or choose another folder`);
      }
      rmSync(join(path, 'metrics.jsonl'), { force: true });
      const config: RunConfig = { format, version, created: new Date().toISOString(), options };
      put(join(path, 'config.json'), `${stringify(config, 'config.json')}\n`, claim);
      return config;
    });
  }

  /** Opens the folder of a run and locks it, in order to go on with the run. */
  static open(path: string, claim?: HeldClaim): RunFolder {
    readRunConfig(path); // first, so that no lock file is left in a folder that holds no run
    return RunFolder.locked(path, claim, () => readRunConfig(path));
  }

  private static locked(path: string, claim: HeldClaim | undefined, config: () => RunConfig): RunFolder {
    const lock = acquireLock(join(path, 'run.lock'), `run folder ${path}`, claim?.number);
    try {
      if (claim) checkClaim(claim);
      sweepTemporaries(path, FILES);
      return new RunFolder(path, config(), lock, claim);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes one of the run's other files (a figure, say) atomically and returns its path. */
  write(name: string, content: Uint8Array | string): string {
    this.put(this.file(name), content);
    return this.file(name);
  }

  private put(path: string, content: Uint8Array | string): void {
    put(path, content, this.claim);
  }

  /** Appends a line: all of it, or nothing. Numbers that are not finite become null. */
  appendMetrics(line: MetricsLine): void {
    if (this.claim) checkClaim(this.claim);
    const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
    try {
      writeFileSync(this.metricsFile, bytes);
    } catch (error) {
      // A full disk may have taken the first half of it.
      ftruncateSync(this.metricsFile, this.metricsBytes);
      throw new Error(`${this.file('metrics.jsonl')}: could not be written (${explain(error)})`, { cause: error });
    }
    this.metricsBytes += bytes.length;
    this.metricsLines++;
  }

  readMetrics(): MetricsLine[] {
    return readMetrics(this.path);
  }

  /** Cuts metrics.jsonl back to the lines that a checkpoint had seen: what came later will be logged again. */
  truncateMetrics({ metricsLines }: { metricsLines: number }): void {
    const bytes = readBytes(this.file('metrics.jsonl'));
    let end = 0;
    let lines = 0;
    for (; lines < metricsLines; lines++) {
      const next = bytes.indexOf(newline, end);
      if (next < 0) break;
      end = next + 1;
    }
    ftruncateSync(this.metricsFile, end);
    this.metricsLines = lines;
    this.metricsBytes = end;
  }

  /** Saves atomically; the metrics logged so far reach the disk before it. */
  saveCheckpoint(state: Checkpoint, name: CheckpointName = 'last'): string {
    fsyncSync(this.metricsFile);
    return this.write(checkpointFile(name), encodeCheckpoint(state, { metricsLines: String(this.metricsLines) }));
  }

  loadCheckpoint(name: CheckpointName = 'last'): SavedCheckpoint {
    return readCheckpoint(this.file(checkpointFile(name)));
  }

  hasCheckpoint(name: CheckpointName = 'last'): boolean {
    return existsSync(this.file(checkpointFile(name)));
  }

  /**
   * The checkpoint to go on from, or null where the run has not begun; the folder is brought to its state: the metrics are cut back, the best
   * checkpoint is made again where an interruption has lost it. Throws when the options in config.json, those in `changeable` aside, are not
   * those that the run was saved with. `notice` gets sentences for people.
   */
  resume(
    changeable: readonly string[] = [],
    notice: (text: string) => void = () => undefined,
  ): ResumedCheckpoint | null {
    if (!isRun(this.path)) return null;
    const name = this.hasCheckpoint('last') ? 'last' : 'best';
    if (name === 'best') notice(`${this.path} has no last checkpoint: going on from the best one`);
    const file = this.file(checkpointFile(name));
    const checkpoint = readCheckpoint(file);
    const keys = Object.keys({ ...this.config.options, ...checkpoint.options }).filter(
      (key) => !changeable.includes(key),
    );
    checkUnchanged(this.file('config.json'), this.config.options, checkpoint.options, keys);
    if (this.metricsLines === 0 && checkpoint.metricsLines > 0)
      notice(`${this.file('metrics.jsonl')} is lost: the log begins again`);
    else if (this.metricsLines < checkpoint.metricsLines)
      throw new Error(
        `${file}: metricsLines is ${checkpoint.metricsLines}, but metrics.jsonl has ${this.metricsLines} lines; ` +
          'restore that file, or delete it in order to begin a new log',
      );
    this.truncateMetrics(checkpoint);
    return { ...this.repairBest(checkpoint, name, notice), path: file };
  }

  /** Makes sure that the best checkpoint is the one that `checkpoint`, the last one, speaks of. */
  private repairBest(
    checkpoint: SavedCheckpoint,
    name: CheckpointName,
    notice: (text: string) => void,
  ): SavedCheckpoint {
    const best = this.hasCheckpoint('best') ? this.bestProgress() : null;
    if (!isOvertaken(best, checkpoint.progress)) return checkpoint;
    if (isItself(checkpoint.progress)) {
      this.write(checkpointFile('best'), readBytes(this.file(checkpointFile(name))));
      return checkpoint;
    }
    const { bestEpoch, bestLoss } = checkpoint.progress;
    const older = best?.bestEpoch ?? null;
    const value = bestLoss === undefined ? { bestError: best?.bestError ?? null } : { bestLoss: best?.bestLoss };
    notice(
      `the weights of the best epoch, ${bestEpoch}, are lost: ${older ? `the best that is left is epoch ${older}` : 'the next one that is tested counts as the best'}`,
    );
    return { ...checkpoint, progress: { ...checkpoint.progress, ...value, bestEpoch: older } };
  }

  /** Null where the file is damaged. */
  private bestProgress(): JsonObject | null {
    try {
      return this.loadCheckpoint('best').progress;
    } catch {
      return null;
    }
  }

  /** Writes changed options to config.json. */
  setOptions(options: JsonObject): void {
    this.config = { ...this.config, options };
    this.put(this.file('config.json'), `${stringify(this.config, 'config.json')}\n`);
  }

  /** Gives the folder back. The end of the process does the same. */
  close(): void {
    closeSync(this.metricsFile);
    this.lock.release();
  }
}

/** Writes a file of a run's folder; behind a fence, so that it does not arrive once there is a later claim. */
function put(path: string, content: Uint8Array | string, claim?: HeldClaim): void {
  try {
    if (claim) checkClaim(claim);
    writeAtomic(path, content, claim?.folder);
  } catch (error) {
    if (claim) checkClaim(claim); // the reason, if it was lost meanwhile
    throw error;
  }
}

const newline = 10;
/** What a killed process may have left half-written. A lock that is being taken meanwhile does without its temporary file (lock.node.ts). */
const FILES = [
  'run.lock',
  'run.lock.takeover',
  'config.json',
  'adapters.json',
  'metrics.jsonl',
  checkpointFile('last'),
  checkpointFile('best'),
  'figure.svg',
  'trace.json',
];

/** Whether a folder holds a run that has begun: whether it has a checkpoint. */
export const isRun = (path: string): boolean =>
  (['last', 'best'] as const).some((name) => existsSync(join(path, checkpointFile(name))));

/** Whether `last` speaks of a better epoch than the best checkpoint is of; null is none. */
function isOvertaken(best: JsonObject | null, last: JsonObject): boolean {
  const [now, before] = [bestOf(last), bestOf(best ?? {})];
  return now !== null && (before === null || before > now);
}

/** Whether a checkpoint is of the best epoch that it speaks of. */
const isItself = ({ epoch, bestEpoch, position }: JsonObject): boolean => epoch === bestEpoch && position === 0;

/**
 * The file of the best weights that a run has: its best checkpoint, or the last one where there is no best one, or only one of an epoch that
 * was not the best. Null where the run has not begun.
 */
export function bestWeights(path: string): string | null {
  if (!isRun(path)) return null;
  const [last, best] = [join(path, checkpointFile('last')), join(path, checkpointFile('best'))];
  if (!existsSync(best)) return last;
  if (!existsSync(last)) return best;
  return isOvertaken(readCheckpoint(best).progress, readCheckpoint(last).progress) ? last : best;
}

export function checkpointFile(name: CheckpointName): string {
  return `checkpoint-${name}.safetensors`;
}

/** Reads a checkpoint without locking its folder, so that a run can be looked at while it goes on. */
export function readCheckpoint(path: string): SavedCheckpoint {
  const { metadata, ...checkpoint } = decodeCheckpoint(readBytes(path), path);
  const metricsLines = /^\d+$/.test(metadata.metricsLines ?? '') ? Number(metadata.metricsLines) : Number.NaN;
  if (!Number.isSafeInteger(metricsLines))
    throw new Error(
      `${path}: metadata 'metricsLines' is ${JSON.stringify(metadata.metricsLines)}, it must be the number of lines that were logged`,
    );
  return { ...checkpoint, metricsLines };
}

/** The configuration of the run in a folder. */
export function readRunConfig(path: string): RunConfig {
  const file = join(path, 'config.json');
  if (!existsSync(file)) throw new Error(`${path} is not the folder of a run: it has no config.json`);
  const config = readJson(file) as RunConfig;
  if (config?.format !== format) throw new Error(`${file}: is not the configuration of a Dawnfield run`);
  checkVersion(config.version, version, `${file}: this run`);
  if (typeof config.options !== 'object' || config.options === null || Array.isArray(config.options))
    throw new Error(`${file}: 'options' is no object`);
  return config;
}

/** The lines logged by the run in a folder; half a last line, left by a crash, is ignored. */
export function readMetrics(path: string): MetricsLine[] {
  const file = join(path, 'metrics.jsonl');
  const lines = new TextDecoder().decode(readBytes(file)).split('\n').slice(0, -1);
  return lines.map((line, index) => parseJson(line, `${file}: line ${index + 1}`) as MetricsLine);
}

/** `runs/<model>-<dataset>-<seed>-<timestamp>`, with the local time to the second. */
export function defaultRunPath(model: string, dataset: string, seed: number, time = new Date()): string {
  const pad = (n: number) => String(n).padStart(2, '0');
  const day = `${time.getFullYear()}${pad(time.getMonth() + 1)}${pad(time.getDate())}`;
  const clock = `${pad(time.getHours())}${pad(time.getMinutes())}${pad(time.getSeconds())}`;
  return join('runs', `${model}-${dataset}-${seed}-${day}-${clock}`);
}
