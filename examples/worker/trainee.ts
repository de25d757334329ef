// The process that trains for a worker, one run after the other. A crash of the driver ends it, and not the worker.
// It saves and ends when the worker is gone.

import { FencedError } from '../../src/files/fence.node.js';
import { adapterName, withDevice } from '../shared/device';
import { type Events, Session } from '../shared/grid';
import { percent } from '../shared/report';
import type { Message, Order, Outcome } from './messages';
import type { Given } from './options';

/** Set in the environment of such a process: the options of its worker. */
export const TRAINEE = 'DAWNFIELD_TRAINEE';

const send = (message: Message): void => {
  if (process.connected) process.send?.(message);
};

/** Trains what the worker orders until it is gone. */
export async function serve(given: Pick<Given, 'data' | 'autotune'>): Promise<void> {
  // Ctrl-C and the end of a session reach all processes of a terminal or of a job: the worker decides what is to be done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const stopping = new AbortController();
  const orders: Order[] = [];
  let wake = (): void => undefined;
  const gone = () => {
    stopping.abort();
    wake();
  };
  process.on('disconnect', gone);
  process.on('message', (order: Order) => {
    if (order.type === 'stop') stopping.abort();
    else orders.push(order);
    wake();
  });
  try {
    await withDevice(async () => {
      send({ type: 'ready', adapter: adapterName() });
      const say = (text: string) => send({ type: 'say', text });
      const session = new Session({ ...given, fallback: false }, null, { say });
      while (process.connected && !stopping.signal.aborted) {
        const order = orders.shift();
        if (order?.type === 'train') send({ type: 'end', outcome: await train(order, session, stopping.signal) });
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    }, given);
  } catch (error) {
    send({ type: 'unable', message: (error as Error).message });
  }
  if (process.connected) process.disconnect();
}

async function train(
  { path, job, claim, mayDiverge }: Order & { type: 'train' },
  session: Session,
  signal: AbortSignal,
): Promise<Outcome> {
  const { name, row, recipe } = job;
  const say = (text: string) => send({ type: 'say', text: `${name}: ${text}` });
  const alive = () => send({ type: 'alive' });
  const events: Events = {
    onEpochStart: alive,
    onStep({ epoch, step, done, total, loss }, { imagesPerSecond }) {
      const left = (recipe.epochs - epoch + 1) * total - done;
      const secondsLeft = imagesPerSecond > 0 ? left / imagesPerSecond : 0;
      const progress = { run: name, epoch, epochs: recipe.epochs, step, loss, imagesPerSecond, secondsLeft };
      send({ type: 'progress', progress });
    },
    onEvaluate: alive,
    onEpoch({ epoch, trainLoss, testError }) {
      const test = testError === undefined ? '' : `, test error ${percent(testError)}`;
      say(`epoch ${epoch}/${recipe.epochs}, train loss ${trainLoss.toFixed(3)}${test}`);
    },
    onNotice: say,
  };
  try {
    return await session.train(row, { path, recipe, signal, say, events, claim, mayDiverge });
  } catch (error) {
    const { message } = error as Error;
    return { kind: error instanceof FencedError ? 'fenced' : 'failed', message };
  }
}
