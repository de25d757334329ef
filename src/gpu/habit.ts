// What a program does again: the order in which it takes blocks. Training repeats itself step by step, so a block that is taken where it was
// taken the last time around makes the same bind groups needed again, and these are in the cache.

/** Takes remembered: more than one step of most programs. */
const PAST = 1 << 16;

/** Something that is taken; it holds when that was, counted in takes. */
interface Taken {
  taken: number;
}

export class Habit<T extends Taken> {
  readonly #labels = new Int32Array(PAST);
  readonly #taken: T[] = [];
  /** Where the takes before a place looked the same for the last time, by a hash of them: as many as there are hashes. */
  readonly #places = new Int32Array(PAST).fill(-1);
  /** A hash of the last 32 labels: each take shifts the oldest one out. */
  #context = 0;
  #now = 0;
  /** The place in the past that the program seems to be at again; −1 where it does something new. */
  #at = -1;

  /** What was taken at this point the last time around; null where the program does something new. Call `took` then. */
  expected(label: number): T | null {
    this.#context = (this.#context << 1) ^ Math.imul(label, 0x9e3779b1);
    this.#labels[this.#now % PAST] = label;
    if (!this.#is(this.#at, label)) this.#at = this.#places[this.#slot] ?? -1;
    if (!this.#is(this.#at, label)) this.#at = -1;
    return (this.#at >= 0 && this.#taken[this.#at % PAST]) || null;
  }

  took(thing: T): void {
    thing.taken = this.#now;
    this.#taken[this.#now % PAST] = thing;
    this.#places[this.#slot] = this.#now++;
    if (this.#at >= 0) this.#at++;
  }

  /** Whether it was not taken in the last round: where what is expected is in use, this is not expected elsewhere. */
  isSpare(thing: T): boolean {
    return thing.taken < this.#at;
  }

  get #slot(): number {
    return Math.imul(this.#context, 0x85ebca6b) >>> 16;
  }

  #is(place: number, label: number): boolean {
    return place >= 0 && place < this.#now && place > this.#now - PAST && this.#labels[place % PAST] === label;
  }
}
