// A model as ONNX has it, and its bytes: the protobuf messages of onnx.proto, of which an export needs a few. The numbers are those of the fields.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Element types, with the numbers of `TensorProto.DataType`. */
export const TYPES = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10, uint32: 12 } as const;
export type ElementType = keyof typeof TYPES;

/** A whole number, a float, a text, whole numbers, texts. */
export type Attribute =
  | number
  | { readonly float: number }
  | { readonly texts: readonly string[] }
  | string
  | readonly number[];
export type Attributes = Readonly<Record<string, Attribute>>;

export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  /** '' where an input is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Little-endian. */
  readonly bytes: Uint8Array;
}

/** A size, the name of one, or neither known. */
export type Dim = number | string | null;

export interface ValueInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly Dim[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

export const OPSET = 20;
/** The version of the file format that belongs to the opset. */
const IR_VERSION = 9;

/** A protobuf message that is written field by field. */
class Message {
  readonly #writer = new BinaryWriter();

  whole(field: number, value: number): this {
    this.#writer.tag(field, WireType.Varint).int64(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#writer.tag(field, WireType.Bit32).float(value);
    return this;
  }

  text(field: number, ...values: readonly string[]): this {
    for (const value of values) this.#writer.tag(field, WireType.LengthDelimited).string(value);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#writer.tag(field, WireType.LengthDelimited).bytes(value);
    return this;
  }

  /** Whole numbers, packed. */
  list(field: number, values: readonly number[]): this {
    this.#writer.tag(field, WireType.LengthDelimited).fork();
    for (const value of values) this.#writer.int64(value);
    this.#writer.join();
    return this;
  }

  messages(field: number, ...messages: readonly Message[]): this {
    for (const message of messages) this.bytes(field, message.finish());
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#writer.finish();
  }
}

function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name);
  if (typeof value === 'number') return message.whole(3, value).whole(20, 2);
  if (typeof value === 'string') return message.text(4, value).whole(20, 3);
  if ('float' in value) return message.float(2, value.float).whole(20, 1);
  if ('texts' in value) return message.text(9, ...value.texts).whole(20, 8);
  return message.list(8, value).whole(20, 7);
}

const node = ({ op, name, inputs, outputs, attributes }: OnnxNode): Message =>
  new Message()
    .text(1, ...inputs)
    .text(2, ...outputs)
    .text(3, name)
    .text(4, op)
    .messages(5, ...Object.entries(attributes).map(([key, value]) => attribute(key, value)));

const entry = (key: string, value: string): Message => new Message().text(1, key).text(2, value);

/** Where an initializer lies in a file of its own. */
interface Place {
  readonly file: string;
  readonly offset: number;
}

function tensor({ name, type, dims, bytes }: Initializer, place: Place | undefined): Message {
  const message = new Message().list(1, dims).whole(2, TYPES[type]).text(8, name);
  if (!place) return message.bytes(9, bytes);
  const entries = { location: place.file, offset: String(place.offset), length: String(bytes.length) };
  return message.messages(13, ...Object.entries(entries).map(([key, value]) => entry(key, value))).whole(14, 1);
}

function dimension(dim: Dim): Message {
  const message = new Message();
  if (typeof dim === 'number') return message.whole(1, dim);
  return dim === null ? message : message.text(2, dim);
}

const value = ({ name, type, dims }: ValueInfo): Message => {
  const shape = new Message().messages(1, ...dims.map(dimension));
  const ofTensor = new Message().whole(1, TYPES[type]).messages(2, shape);
  return new Message().text(1, name).messages(2, new Message().messages(1, ofTensor));
};

/** Weights begin at multiples of a page, so that runtimes can map the file into memory. */
const PAGE = 4096;
/** Smaller constants stay in the file of the graph, where runtimes look for shapes. */
const SMALL = 1024;

/** The file of the graph, and that of its weights where `file` names it. */
export function serialized(
  graph: OnnxGraph,
  file: string | null,
): { bytes: Uint8Array<ArrayBuffer>; data: Uint8Array<ArrayBuffer> | null } {
  const places = new Map<Initializer, Place>();
  let end = 0;
  if (file !== null)
    for (const initializer of graph.initializers) {
      const { length } = initializer.bytes;
      if (length < SMALL) continue;
      const offset = Math.ceil(end / PAGE) * PAGE;
      places.set(initializer, { file, offset });
      end = offset + length;
    }
  const data = file === null ? null : new Uint8Array(end);
  for (const [{ bytes }, { offset }] of places) data?.set(bytes, offset);
  const message = new Message()
    .messages(1, ...graph.nodes.map(node))
    .text(2, graph.name)
    .messages(5, ...graph.initializers.map((one) => tensor(one, places.get(one))))
    .messages(11, ...graph.inputs.map(value))
    .messages(12, ...graph.outputs.map(value));
  const opset = new Message().text(1, '').whole(2, OPSET);
  const model = new Message().whole(1, IR_VERSION).text(2, 'dawnfield').messages(7, message).messages(8, opset);
  return { bytes: model.finish(), data };
}
