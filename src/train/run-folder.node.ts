// The folder of a training run:
//
//   config.json                   format version, options, when it was begun
//   metrics.jsonl                 one JSON object a line, see metrics.ts
//   checkpoint-last.safetensors   what a resumed run goes on from; checkpoint-best.safetensors beside it
//   run.lock                      held while a process writes here

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Checkpoint,
  checkVersion,
  decodeCheckpoint,
  encodeCheckpoint,
  type JsonObject,
  stringify,
} from './checkpoint';
import { explain, parseJson, readBytes, readJson, writeAtomic } from './files.node.js';
import { acquireLock } from './lock.node.js';
import type { MetricsLine } from './metrics';

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

export type CheckpointName = 'last' | 'best';

export class RunFolder {
  private metricsFile: number;
  private metricsLines: number;

  private constructor(
    readonly path: string,
    readonly config: RunConfig,
    private readonly lock: { release(): void },
  ) {
    const metrics = this.file('metrics.jsonl');
    this.metricsFile = openSync(metrics, 'a');
    const logged = readBytes(metrics);
    this.metricsLines = logged.reduce((lines, byte) => lines + Number(byte === newline), 0);
    // Half a line, left by a crash, must not become the beginning of the next one.
    if (logged.length > 0 && logged.at(-1) !== newline) this.truncateMetrics({ metricsLines: this.metricsLines });
  }

  /** Makes the folder of a new run and locks it. Throws when it holds a run already. */
  static create(path: string, options: JsonObject): RunFolder {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw new Error(`${path}: the run folder could not be made (${explain(error)})`, { cause: error });
    }
    return RunFolder.locked(path, () => {
      if (existsSync(join(path, 'config.json'))) {
        throw new Error(`run folder ${path} holds a run already; resume that run, or choose another folder`);
      }
      const config: RunConfig = { format, version, created: new Date().toISOString(), options };
      writeAtomic(join(path, 'config.json'), `${stringify(config, 'config.json')}\n`);
      return config;
    });
  }

  /** Opens the folder of a run and locks it, in order to go on with the run. */
  static open(path: string): RunFolder {
    readRunConfig(path); // first, so that no lock file is left in a folder that holds no run
    return RunFolder.locked(path, () => readRunConfig(path));
  }

  private static locked(path: string, config: () => RunConfig): RunFolder {
    const lock = acquireLock(join(path, 'run.lock'), `run folder ${path}`);
    try {
      return new RunFolder(path, config(), lock);
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
    writeAtomic(this.file(name), content);
    return this.file(name);
  }

  /** Appends a line in one write, so that a crash of the process loses nothing. Numbers that are not finite become null. */
  appendMetrics(line: MetricsLine): void {
    writeSync(this.metricsFile, `${JSON.stringify(line)}\n`);
    this.metricsLines++;
  }

  readMetrics(): MetricsLine[] {
    return readMetrics(this.path);
  }

  /** Cuts metrics.jsonl back to the lines that a checkpoint had seen: what came later will be logged again. */
  truncateMetrics({ metricsLines }: { metricsLines: number }): void {
    const path = this.file('metrics.jsonl');
    const bytes = readBytes(path);
    let end = 0;
    let lines = 0;
    for (; lines < metricsLines; lines++) {
      const next = bytes.indexOf(newline, end);
      if (next < 0) break;
      end = next + 1;
    }
    closeSync(this.metricsFile);
    writeAtomic(path, bytes.subarray(0, end));
    this.metricsFile = openSync(path, 'a');
    this.metricsLines = lines;
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

  /** Gives the folder back. The end of the process does the same. */
  close(): void {
    closeSync(this.metricsFile);
    this.lock.release();
  }
}

const newline = 10;

export function checkpointFile(name: CheckpointName): string {
  return `checkpoint-${name}.safetensors`;
}

/** Reads a checkpoint without locking its folder, so that a run can be looked at while it goes on. */
export function readCheckpoint(path: string): SavedCheckpoint {
  const { metadata, ...checkpoint } = decodeCheckpoint(readBytes(path), path);
  const metricsLines = Number(metadata.metricsLines);
  if (!Number.isSafeInteger(metricsLines))
    throw new Error(`${path}: the checkpoint does not say how many lines it saw`);
  return { ...checkpoint, metricsLines };
}

/** The configuration of the run in a folder. */
export function readRunConfig(path: string): RunConfig {
  const file = join(path, 'config.json');
  if (!existsSync(file)) throw new Error(`${path} is not the folder of a run: it has no config.json`);
  const config = readJson(file) as RunConfig;
  if (config?.format !== format) throw new Error(`${file}: is not the configuration of a Dawnfield run`);
  checkVersion(config.version, version, `${file}: this run`);
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
