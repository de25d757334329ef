// Autotune: which variant of its kernels an operation of some shape gets. The built-in one, unless a measurement on this adapter or a
// checkpoint says otherwise. Only names of variants are stored, in the adapter's cache and in checkpoints.
import { at, tuple, valueAt } from '../../shaders/checked';
import { F16 } from '../../shaders/elements';
import { halfBits } from '../../shaders/half';
import type { Lowering } from '../../shaders/kernel';
import { type KernelTarget, targetName } from '../../shaders/target';
import { type Candidates, candidates, type Variant } from '../../shaders/variants';
import type { TypedBinding } from './blocks';
import type { Device } from './device';
import { InputError } from './errors';
import { provider } from './provider';

/** The name of the chosen variant by operation, shape, adapter class and fingerprint of the kernels. */
export type TuningTable = Readonly<Record<string, string>>;

/** Where `tune` says what it has found. */
export interface TuneOptions {
  /** Sentences for people (default: console.warn). */
  onNotice?: (text: string) => void;
}

/** An operation that ran while tuning was on. */
interface Noted extends Candidates {
  readonly key: string;
  /** Bytes and types of element of both operands and the result. */
  readonly operands: readonly Pick<TypedBinding, 'bytes' | 'element'>[];
}

type Run = () => void;

const FASTER = 0.95; // of the built-in variant's time: what another one must stay below, lest noise should flip the choice
const REPETITIONS = 5;
const SAMPLE = 5; // milliseconds: short kernels are launched several times, as clocks are coarse
const MOST_LAUNCHES = 50;
const FORMAT = 'dawnfield-tuning-1';

export class Tuning {
  /** Settled operations; '' is the built-in variant. */
  #table = new Map<string, string>();
  #noted = new Map<string, Noted>();
  /** Times of the variants of one operation in any unit, in their order; by default measured on the device. */
  measure: (key: string, runs: ReadonlyMap<string, Run>) => Promise<readonly number[]>;

  constructor(
    readonly device: Device,
    /** Whether operations are noted. */
    public on: boolean,
  ) {
    this.measure = (_, runs) => medians(device, [...runs.values()]);
  }

  /** The choices other than built in. */
  get table(): TuningTable {
    return Object.fromEntries([...this.#table].filter(([, variant]) => variant));
  }

  /** Takes over the choices of a checkpoint in place of all others, for good. Throws InputError where the device lacks the matrix units that some are for. */
  install(table: TuningTable): void {
    const { target } = this.device;
    const onUnits = ([key, variant]: [string, string]) =>
      key.includes(` ${adapterClass(target)} `) && variant.startsWith('matrix ');
    if (!target.matrix && Object.entries(table).some(onUnits))
      throw new InputError(
        'this run chose kernels on matrix units, which the device was not opened for; with others it would not go on bit for bit. ' +
          'Open it with init({ autotune: true }), or DAWNFIELD_AUTOTUNE=1.',
      );
    this.#table = new Map(Object.entries(table));
    this.on = false;
  }

  /** The lowering of an operation (two operands, one result) on this device. `shape` lists its numbers in a fixed order. */
  lowering(
    name: string,
    shape: object,
    operands: readonly TypedBinding[],
    make: (target: KernelTarget, variant: Variant) => Lowering,
  ): Lowering {
    const { target } = this.device;
    if (!this.on && this.#table.size === 0) return make(target, {});
    const operation = `${name} ${Object.values(shape).join()} ${adapterClass(target)}`;
    let noted = this.#noted.get(operation);
    if (!noted) {
      const found = candidates(target, (variant) => make(target, variant));
      const kinds = operands.map(({ bytes, element }) => ({ bytes, element }));
      noted = { ...found, key: `${operation} ${found.fingerprint}`, operands: kinds };
      this.#noted.set(operation, noted);
    }
    return noted.lowerings.get(this.#table.get(noted.key) ?? '') ?? valueAt(noted.lowerings, '');
  }

  /** See `tune`. */
  async tune({ onNotice = console.warn }: TuneOptions = {}): Promise<TuningTable> {
    if (!this.on)
      throw new InputError(
        'tune: tuning is off. Turn it on with init({ autotune: true }); a resumed run keeps the choices of its checkpoint.',
      );
    const unsettled = () =>
      [...this.#noted.values()].filter(({ key, lowerings }) => lowerings.size > 1 && !this.#table.has(key));
    const before = unsettled().length;
    const cached = before ? this.#readCache(onNotice) : {};
    for (const { key, lowerings } of unsettled()) {
      const choice = cached[key];
      if (choice !== undefined && lowerings.has(choice)) this.#table.set(key, choice);
    }
    const open = unsettled();
    if (open.length) onNotice(`tuning ${open.length} kernels${open.length < before ? ', others are known' : ''} …`);
    for (const noted of open) this.#table.set(noted.key, await this.#fastest(noted));
    if (open.length) this.#writeCache(onNotice);
    return this.table;
  }

  async #fastest({ key, lowerings, operands }: Noted): Promise<string> {
    const { device } = this;
    const storages = operands.map(({ bytes }) => device.allocate(bytes, 'tuning'));
    const bound = storages.map(({ block, offset, bytes }, i): TypedBinding => {
      return { block, offset, bytes, element: at(operands, i).element };
    });
    const [a, b, out] = tuple(bound, 3);
    for (const operand of [a, b]) device.write(operand, likely(operand));
    const runs = new Map(
      [...lowerings].map(([name, lowering]) => [name, () => device.launchLowering(lowering, a, b, out)]),
    );
    const times = await this.measure(key, runs);
    for (const storage of storages) storage.release();
    const fastest = times.indexOf(Math.min(...times));
    return at(times, fastest) < FASTER * at(times, 0) ? at([...lowerings.keys()], fastest) : '';
  }

  get #adapter(): string {
    const { info, profile } = this.device;
    return [info.vendor, info.architecture, info.device, info.description, profile].join(' ');
  }

  get #cache(): string {
    return `tuning-${this.#adapter.replace(/\W+/g, '-').toLowerCase()}`;
  }

  /** The choices made on this adapter before; none where the cache cannot be used. */
  #readCache(onNotice: (text: string) => void): TuningTable {
    const { store } = provider();
    try {
      const text = store.read(this.#cache);
      if (text === null) return {};
      const { format, adapter, choices } = JSON.parse(text) ?? {};
      if (format === FORMAT && adapter === this.#adapter) return { ...choices };
      onNotice(`${store.place(this.#cache)}: holds no choices of kernels for this adapter; it is ignored`);
    } catch (error) {
      onNotice(`${store.place(this.#cache)}: cannot be read (${(error as Error).message}); it is ignored`);
    }
    return {};
  }

  #writeCache(onNotice: (text: string) => void): void {
    const { store } = provider();
    try {
      // Read again: another process may have tuned meanwhile.
      const choices = { ...this.#readCache(() => {}), ...Object.fromEntries(this.#table) };
      const content = { format: FORMAT, adapter: this.#adapter, choices };
      store.write(this.#cache, `${JSON.stringify(content, null, 1)}\n`);
    } catch (error) {
      onNotice(
        `${store.place(this.#cache)}: cannot be written (${(error as Error).message}); the next run tunes again`,
      );
    }
  }
}

/** What choices hold for: targets of one kind whose subgroups have one size. */
const adapterClass = (target: KernelTarget): string => `${targetName(target)}/${target.subgroupSize}`;

/** Numbers as they come in training, to fill a range: zeros or what lay there before may be faster or, where denormal, slower. */
function likely({ bytes, element }: TypedBinding): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const value = (_: number, i: number) => ((i * 7919) % 257) / 128 - 1;
  if (element === F16) return new Uint16Array(bytes / 2).map((_, i) => halfBits(value(_, i)));
  return new Float32Array(bytes / 4).map(value);
}

/** Median time of each of `runs`, taken in turns so that a slow moment of the machine hits all of them. */
async function medians(device: Device, runs: readonly Run[]): Promise<number[]> {
  const measured: { run: Run; launches: number; samples: number[] }[] = [];
  for (const run of runs) {
    run(); // compiles
    await device.sync();
    const launches = Math.min(MOST_LAUNCHES, Math.ceil(SAMPLE / (await wallClock(device, run))));
    measured.push({ run, launches, samples: [] });
  }
  const clock = device.features.has('timestamp-query') ? gpuClock : wallClock;
  for (let repetition = 0; repetition < REPETITIONS; repetition++)
    for (const { run, launches, samples } of measured) {
      const time = await clock(device, () => {
        for (let n = 0; n < launches; n++) run();
      });
      samples.push(time / launches);
    }
  return measured.map(({ samples }) =>
    at(
      samples.sort((x, y) => x - y),
      REPETITIONS >> 1,
    ),
  );
}

/** Milliseconds until the GPU has done what `body` launches. */
async function wallClock(device: Device, body: Run): Promise<number> {
  const begin = performance.now();
  body();
  await device.sync();
  return performance.now() - begin;
}

/** The same as the sum over its launches, by timestamps. */
async function gpuClock(device: Device, body: Run): Promise<number> {
  return (await device.timed(body)).reduce((sum, { duration }) => sum + duration, 0) / 1000;
}
