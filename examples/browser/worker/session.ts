// The experiment: a state machine of one or two runs that are prepared, run, paused, stepped and given up, and survive a lost device and a
// closed tab. Runs take turns, so both are at the same step; everything else happens between two steps.

import type { ImageDataset } from '../../../datasets/cifar';
import { fromEnd } from '../../../shaders/checked';
import { DeviceLostError, device, init, shutdown, tensor } from '../../../src/index';
import { decodeCheckpoint } from '../../../src/train/checkpoint';
import { checkRecipe, type Recipe } from '../../shared/recipe';
import { initialise, residentImages } from '../../shared/training';
import { emptyHistory } from '../history';
import type { Block, History, Phase, Pictures, Predictions, ToPage } from '../protocol';
import { type PageRecipe, recipesOf, type Settings, settingsOf } from '../settings';
import { loadImages } from './data';
import { Guesser, testPictures } from './pictures';
import { Run } from './run';
import { forgetExperiment, loadExperiment, saveExperiment } from './storage';
import { Gate, Turns } from './turns';

/** Milliseconds between two checkpoints while the experiment runs, and the part of the time that predictions may take. */
const SAVE_EVERY = 15_000;
const GUESSING = 0.1;

/** What an experiment is made of. */
interface Plan {
  readonly settings: Settings;
  readonly recipes: readonly PageRecipe[];
  readonly histories: readonly History[];
  readonly checkpoints: readonly Uint8Array<ArrayBuffer>[];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export class Session {
  readonly #post: (message: ToPage) => void;
  readonly #turns = new Turns();
  #gate = new Gate();
  #phase: Phase = 'idle';
  /** What there is to go on with, while it is not yet made. */
  #plan: Plan | null = null;
  #runs: Run[] = [];
  #data: ImageDataset | null = null;
  #images: ReturnType<typeof residentImages> | null = null;
  #guesser: Guesser | null = null;
  #ownPictures: Pictures | null = null;
  #own: Guesser | null = null;
  #rate = 1;
  #driving = false;
  #savedAt = 0;
  #guessAfter = 0;
  #recoveries = 0;
  #recovery: Promise<void> | null = null;

  constructor(post: (message: ToPage) => void) {
    this.#post = post;
  }

  get hasRuns(): boolean {
    return this.#runs.length > 0;
  }

  get turns(): Turns {
    return this.#turns;
  }

  #enter(phase: Phase, message = ''): void {
    this.#phase = phase;
    this.#post({ type: 'phase', phase, message });
  }

  /** Begins a new experiment. */
  async start(settings: Settings): Promise<void> {
    await this.reset();
    this.#rate = 1;
    this.#plan = { settings, recipes: recipesOf(settings), histories: [], checkpoints: [] };
    await this.resume();
  }

  /** What was saved in this browser, if anything: paused where it stood. */
  async reopen(): Promise<void> {
    const saved = await loadExperiment();
    if (!saved) return this.#enter('idle');
    const { settings, rate, histories, checkpoints } = saved;
    this.#plan = { settings, recipes: recipesOf(settings), histories, checkpoints };
    this.#rate = rate;
    await this.#make();
    this.#enter('paused', `Your run is back, at step ${this.#runs[0]?.trainer.step ?? 0}.`);
  }

  /** A checkpoint of the page or of Node, to look at and to go on with. */
  async open(bytes: Uint8Array<ArrayBuffer>, what: string): Promise<void> {
    const recipe = recipeIn(bytes, what); // a wrong file leaves what there is as it is
    await this.reset();
    this.#rate = 1;
    this.#plan = { settings: settingsOf(recipe), recipes: [recipe], histories: [], checkpoints: [bytes] };
    try {
      await this.#make();
    } catch (error) {
      if (await isLost(error)) throw error;
      return this.#enter('failed', messageOf(error));
    }
    this.#enter('paused', `${what} is open, at step ${this.#runs[0]?.trainer.step ?? 0}.`);
    await this.lesion(0, []);
  }

  /** Networks, trainers and images of the plan; what was saved is put back. */
  async #make(): Promise<void> {
    const plan = this.#plan;
    if (!plan) return;
    this.#enter('preparing', 'Loading images …');
    await init();
    const data = await loadImages(plan.settings);
    const [first] = plan.recipes;
    if (!first) throw new Error('an experiment needs a run');
    this.#data = data;
    this.#images = residentImages(data, first as Recipe);
    const shared = this.#images;
    this.#enter('preparing', 'Making the networks …');
    this.#runs = plan.recipes.map(
      (recipe, id) =>
        new Run(
          id,
          recipe,
          data,
          shared,
          {
            point: (run, point, crossings) => this.#post({ type: 'point', run: run.id, point, crossings }),
            epoch: (run) => this.#post({ type: 'epoch', run: run.id, line: fromEnd(run.history.epochs, 1) }),
            notice: (text) => this.#post({ type: 'notice', text }),
            between: (run) => this.#between(run),
          },
          plan.histories[id] ?? emptyHistory(),
        ),
    );
    for (const [i, run] of this.#runs.entries()) {
      const saved = plan.checkpoints[i];
      if (saved) run.restore(saved, 'the saved checkpoint');
      else await initialise(run.model, run.recipe as Recipe, data, (text) => this.#post({ type: 'notice', text }));
      await run.begin();
      if (this.#rate !== 1) run.setRate(this.#rate, 1);
    }
    this.#guesser?.dispose();
    const pictures = testPictures(data);
    this.#guesser = new Guesser(pictures, data, first.size);
    const runs = this.#runs.map(({ info }) => info);
    const histories = this.#runs.map(({ history }) => history);
    this.#post({ type: 'begun', settings: plan.settings, runs, histories, rate: this.#rate });
    this.#post({ type: 'pictures', classes: data.classes, pictures, own: this.#ownPictures });
    this.#plan = { ...plan, checkpoints: [] };
    if (this.#ownPictures) this.#own = new Guesser(this.#ownPictures, data, first.size);
    await this.#guess();
  }

  /** Runs, or goes on. */
  async resume(): Promise<void> {
    if (!this.#runs.length) await this.#make();
    if (!this.#runs.length) return;
    const compiles = !this.#driving;
    this.#gate.open();
    this.#enter('running', compiles ? 'The first step compiles its kernels …' : '');
    this.#drive();
  }

  async step(): Promise<void> {
    if (!this.#runs.length) await this.#make();
    this.#gate.close();
    if (this.#driving) this.#gate.step();
    else this.#drive();
    this.#enter('paused');
  }

  async pause(): Promise<void> {
    this.#gate.close();
    this.#enter('paused', this.#savable ? 'Paused. Saving …' : '');
    await this.save();
  }

  /** Whether there is anything that would be lost. */
  get #savable(): boolean {
    return this.#runs.some(({ trainer }) => trainer.step > 0);
  }

  /** Gives the experiment up. */
  async reset(): Promise<void> {
    const gate = this.#gate;
    this.#gate = new Gate();
    for (const run of this.#runs) run.stop.abort();
    gate.open();
    await this.#ended;
    this.#images?.dispose();
    this.#guesser?.dispose();
    this.#own?.dispose();
    [this.#runs, this.#plan, this.#images, this.#guesser, this.#own] = [[], null, null, null, null];
    await forgetExperiment();
    this.#enter('idle');
  }

  #ended: Promise<unknown> = Promise.resolve();

  /** Lets all runs go until they end, each in its turns. */
  #drive(): void {
    if (this.#driving) return;
    this.#driving = true;
    this.#savedAt = performance.now();
    const runs = this.#runs;
    const all = runs.map((run) => this.#turns.during(() => run.trainer.run()));
    this.#ended = Promise.all(all)
      .then(
        async (summaries) => {
          if (!summaries.every(({ finished }) => finished)) return;
          await this.#guess();
          await this.save();
          this.#enter('finished');
        },
        (error: unknown) => this.#failed(error),
      )
      .finally(() => {
        this.#driving = false;
      });
  }

  async #failed(error: unknown): Promise<void> {
    for (const run of this.#runs) run.stop.abort();
    this.#gate.open();
    if (await isLost(error)) void this.recover();
    else this.#enter('failed', messageOf(error));
  }

  /** The device is gone: opens another one and goes on from the last checkpoint. Whoever notices it too waits for the same. */
  recover(): Promise<void> {
    this.#recovery ??= this.#recover().finally(() => {
      this.#recovery = null;
    });
    return this.#recovery;
  }

  async #recover(): Promise<void> {
    const wasPaused = !this.#gate.isOpen;
    const settings = this.#runs[0] && (this.#plan?.settings ?? null);
    this.#enter('preparing', 'The GPU was lost. Opening it again …');
    await this.#ended;
    shutdown();
    [this.#runs, this.#images, this.#guesser, this.#own] = [[], null, null, null];
    this.#gate = new Gate();
    if (++this.#recoveries > 5)
      return this.#enter('failed', 'The GPU was lost again and again. Reload the page to go on.');
    try {
      await this.reopen();
      if (this.#phase === 'idle' && settings) await this.start(settings);
      else if (!wasPaused) await this.resume();
      this.#post({ type: 'notice', text: 'The GPU was lost; the run went on from its last checkpoint.' });
    } catch (error) {
      this.#enter('failed', messageOf(error));
    }
  }

  /** Between two steps: gauges, predictions now and then, a checkpoint now and then, then whoever waits for the GPU. */
  async #between(run: Run): Promise<void> {
    const now = performance.now();
    if (run.id === 0) {
      const { launches, imagesPerSecond } = run;
      this.#post({ type: 'gauges', imagesPerSecond, bytes: device().stats().reservedBytes, launches });
      if (now > this.#guessAfter) await this.#guess();
    }
    this.#turns.give();
    if (run.id === 0 && now - this.#savedAt > SAVE_EVERY && this.#gate.isOpen) void this.save();
    await new Promise((resolve) => setTimeout(resolve)); // messages are heard
    let isStep = await this.#gate.pass();
    await this.#turns.take();
    // The gate may have been closed while the turn was waited for: what was saved then is where the run stands.
    while (!isStep && !this.#gate.isOpen) {
      this.#turns.give();
      isStep = await this.#gate.pass();
      await this.#turns.take();
    }
  }

  /** What the networks take the pictures for. The GPU must be free, or the caller's. */
  async #guess(): Promise<void> {
    const begun = performance.now();
    for (const run of this.#runs) {
      if (!this.#guesser) continue;
      const pictures = await this.#guesser.guess(run.model);
      const own: Predictions | null = this.#own ? await this.#own.guess(run.model) : null;
      this.#post({ type: 'predictions', run: run.id, pictures, own });
    }
    this.#guessAfter = performance.now() + (performance.now() - begun) / GUESSING;
  }

  /** A checkpoint of all runs, in this browser. */
  async save(): Promise<void> {
    this.#savedAt = performance.now();
    const { settings } = this.#plan ?? {};
    const runs = this.#runs;
    if (!settings || !this.#savable) return;
    try {
      await this.#turns.during(async () => {
        if (runs !== this.#runs) return;
        const checkpoints: Uint8Array<ArrayBuffer>[] = [];
        for (const run of runs) checkpoints.push(await run.checkpoint());
        await saveExperiment({
          settings,
          rate: this.#rate,
          histories: runs.map(({ history }) => history),
          checkpoints,
        });
        this.#post({ type: 'saved', step: runs[0]?.trainer.step ?? 0 });
      });
    } catch (error) {
      if (!(await isLost(error))) this.#post({ type: 'notice', text: `Not saved: ${messageOf(error)}` });
    }
  }

  /** Changes the rate of all runs; 1 is what the settings say. */
  setRate(factor: number): void {
    for (const run of this.#runs) run.setRate(factor, this.#rate);
    this.#rate = factor;
  }

  /** The test error with some blocks switched off, beside that of the whole network. */
  async lesion(id: number, blocks: readonly Block[]): Promise<void> {
    const run = this.#runs[id];
    if (!run) return;
    await this.#turns.during(async () => {
      const whole = await run.measure();
      const { error, loss } = blocks.length ? await run.measure(blocks) : whole;
      this.#post({ type: 'lesion', run: id, blocks, error, loss, before: whole.error });
    });
  }

  /** Pictures of the user's own, beside the test images. */
  async look(pictures: Pictures): Promise<void> {
    this.#ownPictures = pictures;
    this.#own?.dispose();
    this.#own = null;
    if (!this.#data || !this.#runs.length) return;
    const { size } = this.#runs[0]?.recipe ?? {};
    this.#own = new Guesser(pictures, this.#data, size);
    this.#post({ type: 'pictures', classes: this.#data.classes, pictures: testPictures(this.#data), own: pictures });
    await this.#turns.during(() => this.#guess());
  }

  /** Test images of settings that nobody has started yet. */
  async preview(settings: Settings): Promise<void> {
    if (this.#runs.length) return;
    const few = settings.data.startsWith('synthetic') ? { images: 1, testImages: 32 } : {};
    const data = await loadImages({ ...settings, ...few });
    if (this.#runs.length) return;
    this.#post({ type: 'pictures', classes: data.classes, pictures: testPictures(data), own: this.#ownPictures });
  }

  async export(what: 'checkpoint' | 'metrics', id: number): Promise<void> {
    const run = this.#runs[id];
    if (!run) throw new Error('there is no run yet: start one first');
    const name = `${run.recipe.model}-${run.recipe.dataset}-${run.recipe.seed}`;
    if (what === 'metrics') {
      const bytes = new TextEncoder().encode(JSON.stringify(run.metrics));
      this.#post({ type: 'file', name: `${name}.json`, mime: 'application/json', bytes });
      return;
    }
    const bytes = await this.#turns.during(() => run.checkpoint());
    this.#post({ type: 'file', name: `${name}.safetensors`, mime: 'application/octet-stream', bytes });
  }
}

/** The recipe of a checkpoint. Throws where the file is none, or comes from a program of another kind. */
function recipeIn(bytes: Uint8Array<ArrayBuffer>, what: string): PageRecipe {
  const { options } = decodeCheckpoint(bytes, what);
  if (typeof options.model !== 'string')
    throw new Error(`${what}: it has no recipe; the page opens checkpoints of its own and of cifar-train`);
  // Own images are the page's alone: no recipe of Node names them.
  checkRecipe(options.dataset === 'own' ? { ...options, dataset: 'synthetic' } : options, what);
  return options as unknown as PageRecipe;
}

/** Whether the device is lost: what was under way when it went may say something else, but a read that begins now tells. */
export async function isLost(error: unknown): Promise<boolean> {
  if (error instanceof DeviceLostError) return true;
  try {
    await tensor([0]).data();
    return false;
  } catch (again) {
    return again instanceof DeviceLostError;
  }
}
