// What the page knows: the experiment as the worker has told it, and whose turn it is to draw.

import { addPoint } from '../history';
import type { Block, History, Phase, Pictures, Predictions, RunInfo, ToPage } from '../protocol';
import { DEFAULTS, type Settings } from '../settings';

export interface Lesion {
  readonly run: number;
  readonly blocks: readonly Block[];
  readonly error: number;
  readonly loss: number;
  readonly before: number;
}

export const store = {
  phase: 'idle' as Phase,
  message: '',
  /** The last notice, for those who do not see it. */
  news: '',
  /** When it was first drawn: while the experiment runs it goes with the next point some seconds later. */
  saidAt: 0,
  adapter: '',
  settings: DEFAULTS as Settings,
  runs: [] as readonly RunInfo[],
  histories: [] as History[],
  rate: 1,
  gauges: { imagesPerSecond: 0, bytes: 0, launches: 0 },
  classes: [] as readonly string[],
  pictures: null as Pictures | null,
  ownPictures: null as Pictures | null,
  predictions: new Map<number, { pictures: Predictions; own: Predictions | null }>(),
  lesion: null as Lesion | null,
  stored: [] as readonly string[],
  savedStep: 0,
};

type Part = 'run' | 'curves' | 'particles' | 'pictures' | 'lesion' | 'data';
const drawers = new Map<Part, Set<() => void>>();
/** What is to be drawn, whoever has waited longest first. */
const due = new Set<() => void>();
let asked = false;

/** Has `draw` run, some frame soon, when one of these parts has changed. */
export function onChange(parts: readonly Part[], draw: () => void): void {
  for (const part of parts) (drawers.get(part) ?? drawers.set(part, new Set()).get(part))?.add(draw);
}

export function changed(...parts: Part[]): void {
  for (const part of parts) for (const draw of drawers.get(part) ?? []) due.add(draw);
  ask();
}

/** One drawing a frame: however much there is to draw, no frame is late. */
function ask(): void {
  if (asked || due.size === 0) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const [draw] = due;
    if (draw) due.delete(draw);
    draw?.();
    ask();
  });
}

const ALL = ['run', 'curves', 'particles', 'pictures', 'lesion', 'data'] as const;
export const everything = (): void => changed(...ALL);

/** Takes in what the worker says of the experiment. */
export const hear = (message: ToPage): void => changed(...take(message));

function say(text: string): void {
  store.message = text;
  store.saidAt = Number.POSITIVE_INFINITY;
}

/** Returns what has changed by it. */
function take(message: ToPage): readonly Part[] {
  switch (message.type) {
    case 'ready':
      store.adapter = message.isCpu ? `${message.adapter} (software)` : message.adapter;
      store.stored = message.stored;
      return ['run', 'data'];
    case 'missing':
      store.phase = 'missing';
      return ['run'];
    case 'phase':
      store.phase = message.phase;
      say(message.message);
      if (message.phase === 'idle')
        Object.assign(store, { runs: [], histories: [], lesion: null, rate: 1, savedStep: 0 });
      if (message.phase === 'idle') store.predictions.clear();
      return ALL;
    case 'begun': {
      const { settings, runs, histories, rate } = message;
      Object.assign(store, { settings, runs, histories: [...histories], rate, lesion: null });
      store.predictions.clear();
      return ALL;
    }
    case 'point': {
      const history = store.histories[message.run];
      if (performance.now() - store.saidAt > 5000) store.message = '';
      if (history) addPoint(history, message.point, message.crossings);
      return ['run', 'curves', 'particles'];
    }
    case 'epoch':
      store.histories[message.run]?.epochs.push(message.line);
      return ['run', 'curves'];
    case 'gauges':
      store.gauges = message;
      return ['run'];
    case 'pictures':
      Object.assign(store, { classes: message.classes, pictures: message.pictures, ownPictures: message.own });
      return ['pictures'];
    case 'predictions':
      store.predictions.set(message.run, message);
      return ['pictures'];
    case 'lesion':
      store.lesion = message;
      return ['lesion'];
    case 'stored':
      store.stored = message.data;
      say(message.message);
      store.news = message.message;
      return ['data', 'run'];
    case 'saved':
      store.savedStep = message.step;
      if (store.phase === 'paused') store.message = '';
      return ['run'];
    case 'notice':
      say(message.text);
      store.news = message.text;
      return ['run'];
    case 'progress':
      say(`${message.what}: ${message.done} of ${message.total}`);
      return ['run'];
    default:
      return [];
  }
}
