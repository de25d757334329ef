// The worker: opens the GPU, hears what the page wants, and answers in messages.

import { device, init } from '../../../src/index';
import type { ToPage, ToWorker } from '../protocol';
import type { Settings } from '../settings';
import { keepFiles, storedData } from './data';
import { FlowPanel } from './flow';
import { decodePicture } from './pictures';
import { isLost, Session } from './session';

const scope = globalThis as unknown as {
  postMessage(message: ToPage, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
};
const post = (message: ToPage): void =>
  scope.postMessage(message, message.type === 'file' ? [message.bytes.buffer] : []);

const session = new Session(post);
const flow = new FlowPanel(post, session.turns);

/** Opens the GPU and what was saved. */
async function open(): Promise<void> {
  try {
    const { info, target } = await init();
    const adapter = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ') || 'a GPU';
    post({ type: 'ready', adapter, isCpu: target.isCpu, stored: await storedData() });
    await session.reopen();
  } catch (error) {
    post({ type: 'missing', message: error instanceof Error ? error.message : String(error) });
  }
}
let isOpen = false;
const opened = open().then(() => {
  isOpen = true;
});

/** Begins an experiment. Whoever presses Start before it is known what was saved gets that, where there is some. */
async function start(settings: Settings): Promise<void> {
  const isEarly = !isOpen;
  await opened;
  if (!(isEarly && session.hasRuns)) await session.start(settings);
}

async function answer(message: ToWorker): Promise<unknown> {
  switch (message.type) {
    case 'start':
      return start(message.settings);
    case 'pause':
      return session.pause();
    case 'resume':
      return session.resume();
    case 'step':
      return session.step();
    case 'reset':
      return session.reset();
    case 'rate':
      return session.setRate(message.factor);
    case 'preview':
      return session.preview(message.settings);
    case 'lesion':
      return session.lesion(message.run, message.blocks);
    case 'look':
      return look(message.files);
    case 'store':
      return store(message.files);
    case 'export':
      return session.export(message.what, message.run);
    case 'import':
      return session.open(new Uint8Array(await message.file.arrayBuffer()), message.file.name);
    case 'save':
      return session.save();
    case 'flow':
      return message.run ? flow.run(message.small) : flow.stop();
    case 'lose-device':
      return device().gpu.destroy();
  }
}

async function look(files: readonly File[]): Promise<void> {
  const all = await Promise.all(files.map(decodePicture));
  const bytes = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  for (const [i, picture] of all.entries()) bytes.set(picture, i * picture.length);
  await session.look({ bytes, count: all.length, labels: all.map(() => -1) });
}

async function store(files: readonly { path: string; file: File }[]): Promise<void> {
  const onProgress = (done: number, total: number) => post({ type: 'progress', what: 'reading files', done, total });
  const message = await keepFiles(files, onProgress);
  post({ type: 'stored', data: await storedData(), message });
}

scope.onmessage = ({ data }) => {
  answer(data).catch(async (error: unknown) => {
    if (await isLost(error)) return session.recover();
    const text = error instanceof Error ? error.message : String(error);
    const began = ['start', 'resume', 'step'].includes(data.type);
    if (began) post({ type: 'phase', phase: 'failed', message: text });
    else post({ type: 'notice', text });
  });
};
