// What a worker and the processes that train for it say to each other.

import type { HeldClaim } from '../../src/files/fence.node.js';
import type { RunJob, RunProgress } from '../queue/jobs';
import type { Ending } from '../shared/grid';

/** To the process that trains: a run, or the wish to save and stop. */
export type Order =
  | { type: 'train'; path: string; job: RunJob; claim: HeldClaim; mayDiverge: boolean }
  | { type: 'stop' };

/** How a run ended for now. Fenced: another worker has it. */
export type Outcome = Ending | { kind: 'fenced'; message: string } | { kind: 'failed'; message: string };

/** From the process that trains. */
export type Message =
  | { type: 'ready'; adapter: string }
  | { type: 'unable'; message: string }
  | { type: 'say'; text: string }
  | { type: 'progress'; progress: RunProgress }
  | { type: 'alive' }
  | { type: 'end'; outcome: Outcome };
