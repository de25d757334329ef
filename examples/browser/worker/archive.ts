// Reads .tar.gz archives as they stream in: of each file that is wanted its bytes.

/** Size of a record of tar. */
const RECORD = 512;

/** The files of an archive whose base name `wants`. Throws where it is no such archive, or ends too early. */
export async function readTarGz(file: Blob, wants: (name: string) => boolean): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const reader = new Reader(file.stream().pipeThrough(new DecompressionStream('gzip')));
  for (;;) {
    const header = await reader.take(RECORD);
    if (!header || header.every((byte) => byte === 0)) return found;
    const text = (from: number, length: number) =>
      new TextDecoder().decode(header.subarray(from, from + length)).replace(/\0.*$/s, '');
    const size = Number.parseInt(text(124, 12).trim() || '0', 8);
    if (text(257, 5) !== 'ustar' && !Number.isFinite(size)) throw new Error('this is no tar archive');
    const name = text(0, 100).split('/').at(-1) ?? '';
    const padded = Math.ceil(size / RECORD) * RECORD;
    const body = await reader.take(padded, !wants(name));
    if (padded > 0 && body === null) throw new Error(`the archive ends within ${name}: fetch it again`);
    if (body && wants(name)) found.set(name, body.subarray(0, size));
  }
}

/** Takes given numbers of bytes from a stream. */
class Reader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Null at the end of the stream; with `skip` the bytes are passed over and what comes back is empty. */
  async take(length: number, skip = false): Promise<Uint8Array | null> {
    const out = new Uint8Array(skip ? 0 : length);
    let done = 0;
    while (done < length) {
      if (this.#rest.length === 0) {
        const { value, done: ended } = await this.#reader.read();
        if (ended) return null;
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, length - done);
      if (!skip) out.set(part, done);
      this.#rest = this.#rest.subarray(part.length);
      done += part.length;
    }
    return out;
  }
}
