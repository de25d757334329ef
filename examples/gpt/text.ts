// A text as characters: its vocabulary, and random pieces of it, drawn on the GPU.
import { arange, F, randint, type Tensor, tensor } from '../../src/index.node.js';

/** The characters of a text as numbers, and back. */
export class Characters {
  readonly all: readonly string[];
  readonly #number: Map<string, number>;

  /** `all`: those of a run that goes on. */
  constructor(text: string, all: readonly string[] = [...new Set(text)].sort()) {
    this.all = all;
    this.#number = new Map(this.all.map((character, i) => [character, i]));
  }

  /** Numbers of the characters; those that the text does not have are left out. */
  encode(text: string): number[] {
    return [...text].flatMap((character) => this.#number.get(character) ?? []);
  }

  decode(tokens: readonly number[]): string {
    return tokens.map((token) => this.all[token]).join('');
  }
}

/** The text on the GPU. */
export class Pieces {
  readonly #tokens: Tensor;

  constructor(tokens: readonly number[]) {
    this.#tokens = tensor(Int32Array.from(tokens)).keep();
  }

  /** Random pieces [batch, length], and what comes a token later: nothing comes from the host, so a compiled step draws others each time. */
  draw(batch: number, length: number): { inputs: Tensor; targets: Tensor } {
    const starts = randint(0, this.#tokens.size - length, [batch, 1]);
    const at = starts.add(arange(0, length + 1, 1, { dtype: 'int32' })).reshape([-1]);
    const pieces = F.indexSelect(this.#tokens, 0, at).reshape([batch, length + 1]);
    return { inputs: pieces.narrow(1, 0, length), targets: pieces.narrow(1, 1, length) };
  }
}
