// The line to the worker.

import type { ToPage, ToWorker } from '../protocol';

type Listener = (message: ToPage) => void;
const listeners: Listener[] = [];
const worker = new Worker(new URL('../worker/main.ts', import.meta.url), { type: 'module', name: 'training' });

worker.onmessage = ({ data }: MessageEvent<ToPage>) => {
  for (const listener of listeners) listener(data);
};
worker.onerror = (event) => {
  const text = event.message || 'the worker could not be loaded';
  for (const listener of listeners) listener({ type: 'phase', phase: 'failed', message: text });
};

export const send = (message: ToWorker): void => worker.postMessage(message);

export const listen = (listener: Listener): void => void listeners.push(listener);
