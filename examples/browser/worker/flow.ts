// The feature-flow panel: Theorem 1's gap against width and the coordinate check, computed by the laboratory's own code and told as they come.

import { ResidentImages } from '../../../datasets/resident';
import { synthetic } from '../../../datasets/synthetic';
import { F, init } from '../../../src/index';
import { ARMS, measure } from '../../feature-flow-lab/coordinate-sizes';
import { follow, lossesOf, makeNets, problem, release, sup } from '../../feature-flow-lab/dense';
import { type Group, powerLaw } from '../../feature-flow-lab/statistics';
import type { ToPage } from '../protocol';
import type { Turns } from './turns';

const NETS = { layers: 3, samples: 8, inputs: 8, eta: 0.1, seed: 0 };
/** How much is computed: what is shown, and what is enough to see that it works. */
const SIZES = { time: 4, seeds: 6, widths: [16, 32, 64, 128, 256], particles: 8192 };
const SMALL: typeof SIZES = { time: 0.5, seeds: 2, widths: [16, 32, 64], particles: 512 };

const CHECK = {
  widths: [1, 2, 4],
  seeds: 1,
  batch: 16,
  pool: 8,
  depth: 8,
  steps: 4,
  rate: 1,
  standardRate: 0.1,
  seed: 0,
};

/** Ends a computation that is not wanted any more. */
class Stopped extends Error {}

export class FlowPanel {
  #running = false;
  #stop = false;

  constructor(
    readonly post: (message: ToPage) => void,
    readonly turns: Turns,
  ) {}

  stop(): void {
    this.#stop = true;
  }

  async run(small = false): Promise<void> {
    if (this.#running) return;
    [this.#running, this.#stop] = [true, false];
    const say = (text: string) => this.post({ type: 'flow-status', running: true, text });
    try {
      await init();
      await this.#gaps(small ? SMALL : SIZES, say);
      await this.#coordinates(say);
      this.post({ type: 'flow-status', running: false, text: 'Done.' });
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
      this.post({ type: 'flow-status', running: false, text: 'Stopped.' });
    } finally {
      this.#running = false;
    }
  }

  /** Between two pieces of work: others get the GPU, and a stop is heard. */
  async #yield(): Promise<void> {
    this.turns.give();
    await new Promise((resolve) => setTimeout(resolve));
    await this.turns.take();
    if (this.#stop) throw new Stopped();
  }

  async #gaps({ time, seeds, widths, particles }: typeof SIZES, say: (text: string) => void): Promise<void> {
    await this.turns.during(async () => {
      const nets = { ...NETS, seeds };
      const steps = Math.round(time / nets.eta);
      say(`The flow itself: ${particles} particles …`);
      const { x, y } = problem(nets);
      for (const sample of [x, y]) sample.keep();
      const start = { layers: nets.layers, particles, seed: nets.seed, time, dt: nets.eta };
      const reference = await follow({ x, y }, start, (k) => (k % 4 ? undefined : this.#yield()));
      const groups: Group[] = [];
      for (const width of widths) {
        say(`${seeds} nets of width ${width} …`);
        const net = await makeNets(nets, x, { width, replicas: seeds });
        const runs = await lossesOf(net, x, y, nets.eta, steps, () => undefined);
        release(net);
        groups.push({ x: width, values: runs.map((run) => sup(run, reference)) });
        const fit = groups.length > 1 ? powerLaw(groups, nets.seed) : null;
        const { values } = groups.at(-1) ?? { values: [] };
        this.post({ type: 'flow-gap', width, values, slope: fit?.slope ?? null, interval: fit?.interval ?? null });
        await this.#yield();
      }
    });
  }

  async #coordinates(say: (text: string) => void): Promise<void> {
    await this.turns.during(async () => {
      const { widths, batch: batchSize, pool, seed, ...options } = CHECK;
      const data = synthetic({ train: 64, test: 1 });
      const source = new ResidentImages(data.train, data);
      for (const { images, labels } of source.batches({ batchSize, seed, shuffle: true })) {
        const [small, right] = [F.avgPool2d(images, { kernel: pool }).keep(), labels.keep()];
        for (const arm of ARMS) {
          const updates: number[][] = [];
          for (const width of widths) {
            say(`Coordinate check: ${arm}, width ×${width} …`);
            const sizes = await measure(arm, width, seed, small, right, options);
            updates.push(sizes.updates.map(Math.sqrt));
            this.post({ type: 'flow-coordinates', sizes: { arm, widths: widths.slice(0, updates.length), updates } });
            await this.#yield();
          }
        }
        break;
      }
      source.dispose();
    });
  }
}
