// A place for one run at a time: the process that trains there, started again when it has ended.

import { type ChildProcess, fork } from 'node:child_process';
import type { HeldClaim } from '../../src/files/fence.node.js';
import type { RunJob, RunProgress } from '../queue/jobs';
import type { Say } from '../shared/progress';
import type { Message, Order, Outcome } from './messages';
import type { Given } from './options';
import { TRAINEE } from './trainee';

export class Slot {
  adapter = '';
  /** The run that is trained here, and how far it is. */
  run: string | null = null;
  progress: RunProgress | null = null;
  #child: ChildProcess | null = null;
  #heard = 0;
  #end: ((outcome: Outcome) => void) | null = null;
  #stopping = false;

  constructor(
    readonly given: Given,
    readonly part: string | undefined,
    readonly say: Say,
  ) {}

  /** Starts the process, unless it runs. Throws where it has no adapter to train on. */
  async start(): Promise<void> {
    if (this.#child?.connected) return;
    const { data, autotune } = this.given;
    const child = fork(process.argv[1] as string, [], {
      execArgv: process.execArgv,
      env: {
        ...process.env,
        ...(this.part && { DAWNFIELD_ADAPTER: this.part }),
        [TRAINEE]: JSON.stringify({ data, autotune }),
      },
      stdio: ['ignore', 2, 2, 'ipc'], // stdout is the worker's alone
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: Message) => {
        this.#heard = performance.now();
        if (message.type === 'ready') {
          this.adapter = message.adapter;
          resolve();
        } else if (message.type === 'unable') reject(new Error(message.message));
        else if (message.type === 'say') this.say(message.text);
        else if (message.type === 'progress') this.progress = message.progress;
        else if (message.type === 'end') this.#ended(message.outcome);
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        const message = `the process that trained ended with ${signal ?? `code ${code}`}`;
        if (this.#child === child) this.#child = null;
        this.#ended({ kind: 'failed', message });
        reject(new Error(message));
      });
    });
  }

  #ended(outcome: Outcome): void {
    this.#end?.(outcome);
    this.#end = null;
  }

  /** Trains a run, or goes on with it. `beat` is called every few seconds; when it returns false another worker has the run. */
  async train(path: string, job: RunJob, claim: HeldClaim, mayDiverge: boolean, beat: () => boolean): Promise<Outcome> {
    this.run = job.name;
    this.#heard = performance.now();
    const outcome = new Promise<Outcome>((resolve) => {
      this.#end = resolve;
    });
    this.#order({ type: 'train', path, job, claim, mayDiverge });
    if (this.#stopping) this.#order({ type: 'stop' });
    const timer = setInterval(() => {
      const minutes = (performance.now() - this.#heard) / 60_000;
      if (!lives(beat)) this.#kill({ kind: 'fenced', message: 'another worker has taken the run over' });
      else if (minutes > this.given.patience)
        this.#kill({ kind: 'failed', message: `hung: nothing moved for ${this.given.patience} minutes` });
    }, 250 * this.given.lease);
    try {
      return await outcome;
    } finally {
      clearInterval(timer);
      this.run = null;
      this.progress = null;
    }
  }

  #kill(outcome: Outcome): void {
    this.#child?.kill('SIGKILL');
    this.#ended(outcome);
  }

  #order(order: Order): void {
    if (this.#child?.connected) this.#child.send(order);
  }

  /** Lets the run save and stop, and ends the process. */
  stop(): void {
    this.#stopping = true;
    this.#order({ type: 'stop' });
  }
}

/** A full or absent file system is no sign that another worker has the run. */
function lives(beat: () => boolean): boolean {
  try {
    return beat();
  } catch {
    return true;
  }
}
