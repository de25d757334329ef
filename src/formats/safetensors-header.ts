// The JSON header of a safetensors file, which may come from anywhere: read so that no header, however long, deep or odd, does harm.

/** Ends the reading with an error that names the file. */
export type Fail = (problem: string) => never;

export interface Header {
  readonly metadata: Record<string, string>;
  /** What the header says of each tensor, not checked yet. */
  readonly entries: Map<string, Record<string, unknown>>;
}

export const metadataKey = '__metadata__';

/** Names, entries and metadata. Throws where the text is not a JSON object of objects, nests deeply, or names anything twice. */
export function parseHeader(text: Uint8Array, fail: Fail): Header {
  let header: unknown;
  try {
    const source = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text);
    checkText(source, fail);
    header = JSON.parse(source);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    fail(`the header is not JSON (${clip(error.message)}); the file is damaged or not a safetensors file`);
  }
  if (!isObject(header)) return fail('the header is not a JSON object');
  const entries = new Map<string, Record<string, unknown>>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === metadataKey && entry === null) continue; // none, as the reference library reads it
    if (!isObject(entry)) return fail(`the header's entry '${clip(name)}' is not an object`);
    if (name === metadataKey) metadata = textsOf(entry, fail);
    else entries.set(name, entry);
  }
  return { metadata, entries };
}

function textsOf(entry: Record<string, unknown>, fail: Fail): Record<string, string> {
  for (const [key, value] of Object.entries(entry))
    if (typeof value !== 'string') fail(`metadata '${clip(key)}' must be text, not ${show(value)}`);
  return entry as Record<string, string>;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const deepest = 64; // tensors need three levels; what is deeper than this could exhaust the stack of whoever walks it

/**
 * Looks at the text before anything is made of it: its nesting is bounded, and no key stands twice in the header or in one of its entries
 * (JSON.parse would keep the last one silently). What is no JSON is left to JSON.parse.
 */
function checkText(json: string, fail: Fail): void {
  const keys: Set<string>[] = [];
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '{' || char === '[') {
      if (++depth > deepest) fail(`the header nests more than ${deepest} levels`);
      keys[depth] = new Set();
    } else if (char === '}' || char === ']') depth--;
    else if (char === '"') {
      const begin = i;
      i = endOfText(json, begin);
      const seen = depth > 2 ? undefined : keys[depth];
      if (!seen || !isKey(json, i + 1)) continue;
      const key = JSON.parse(json.slice(begin, i + 1)) as string;
      if (seen.has(key)) fail(`the header names '${clip(key)}' twice`);
      seen.add(key);
    }
  }
}

/** Where the closing quotation mark of the text stands that begins here; the end where there is none. */
function endOfText(json: string, begin: number): number {
  let end = begin;
  let backslashes: number;
  do {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length;
    backslashes = 0;
    while (json[end - 1 - backslashes] === '\\') backslashes++;
  } while (backslashes % 2);
  return end;
}

/** Whether a colon follows. */
function isKey(json: string, from: number): boolean {
  let i = from;
  while (json[i] === ' ' || json[i] === '\t' || json[i] === '\n' || json[i] === '\r') i++;
  return json[i] === ':';
}

/** The beginning of a text that may be very long. */
export const clip = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);

/** Any value of a header for a message. */
export const show = (value: unknown): string => clip(JSON.stringify(value) ?? 'undefined');
