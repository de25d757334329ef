// Python's pickle as data: the part of its stack machine that builds numbers, strings, lists, tuples, dictionaries and sets. What a pickle may
// name beyond them is decided by the caller, one callable at a time; nothing is ever looked up or run.

/** A callable or class that a pickle names. */
export interface PickleGlobal {
  readonly module: string;
  readonly name: string;
}

/** What stands for Python's objects: None is null, int a number or bigint, tuple and list arrays, dict a Map, set a Set, bytes a Uint8Array. */
export type PickleValue = unknown;

export interface PickleHooks {
  /** The value of a class that is named and used as a value; throws where it must not be. */
  global(it: PickleGlobal): PickleValue;
  /** What `it(...args)` gives; throws where it must not be called. */
  call(it: PickleValue, args: readonly PickleValue[]): PickleValue;
  /** What the program that wrote the pickle keeps elsewhere. */
  persistent(id: PickleValue): PickleValue;
}

/** Bytes. Longer ones are of no use here, and take long to read. */
const LONGEST_NUMBER = 1024;

const MARK = Symbol('mark');
const latin1 = new TextDecoder('latin1');
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads the pickle that begins at `start`; returns its value and where it ends. Throws an Error that tells the byte and what is wrong: an
 * instruction beyond data, a stack that runs empty, an end that is missing.
 */
export function readPickle(bytes: Uint8Array, hooks: PickleHooks, start = 0): { value: PickleValue; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: PickleValue[] = [];
  const memo = new Map<number, PickleValue>();
  let at = start;
  let opcode = 0;

  const fail = (problem: string): never => {
    throw new Error(`the pickle ${problem} (byte ${at})`);
  };
  const take = (n: number): Uint8Array => {
    if (n > bytes.byteLength - at) fail('is cut off');
    at += n;
    return bytes.subarray(at - n, at);
  };
  const unsigned = (n: 1 | 2 | 4 | 8): number => {
    if (n > bytes.byteLength - at) fail('is cut off');
    const from = at;
    at += n;
    if (n === 8) return Number(view.getBigUint64(from, true));
    return n === 1 ? view.getUint8(from) : n === 2 ? view.getUint16(from, true) : view.getUint32(from, true);
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0) fail('is cut off');
    const text = latin1.decode(bytes.subarray(at, end));
    at = end + 1;
    return text;
  };
  /** A number of `n` bytes in two's complement. */
  const long = (n: number): number | bigint => {
    const digits = take(n);
    if (n > LONGEST_NUMBER) fail(`has a number of ${n} bytes`);
    let value = 0n;
    for (const digit of digits.toReversed()) value = (value << 8n) | BigInt(digit);
    if ((digits[n - 1] ?? 0) & 0x80) value -= 1n << BigInt(8 * n);
    const plain = Number(value);
    return Number.isSafeInteger(plain) ? plain : value;
  };
  const pop = (): PickleValue => {
    const value = stack.pop();
    if (value === undefined || value === MARK) fail('takes more than it has');
    return value;
  };
  const top = <T>(kind: new (...args: never[]) => T): T => {
    const value = stack[stack.length - 1];
    if (!(value instanceof kind)) return fail(`fills something that is no ${kind.name}`);
    return value;
  };
  const sinceMark = (): PickleValue[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) fail('has no mark where one is needed');
    return stack.splice(mark).slice(1);
  };
  const last = (n: number): PickleValue[] => Array.from({ length: n }, pop).reverse();
  const setItems = (items: readonly PickleValue[]) => {
    const map = top(Map);
    if (items.length % 2) fail('has a key without a value');
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  };
  const remember = (index: number) => {
    if (!stack.length) fail('remembers nothing');
    memo.set(index, stack[stack.length - 1]);
  };
  const recall = (index: number) => {
    if (!memo.has(index)) fail('recalls what was not remembered');
    stack.push(memo.get(index));
  };
  const pushGlobal = (module: PickleValue, name: PickleValue) => {
    if (typeof module !== 'string' || typeof name !== 'string') return fail('names something by no text');
    stack.push(hooks.global({ module, name }));
  };
  const push = (value: PickleValue) => void stack.push(value);

  const operations: Record<number, () => void> = {
    128: () => void (unsigned(1) > 5 && fail('has a protocol beyond 5')),
    149: () => void take(8), // the length of a frame
    [code('(')]: () => push(MARK),
    [code('0')]: () => void stack.pop(),
    [code('1')]: () => void sinceMark(),
    [code('2')]: () => push(stack[stack.length - 1]),
    [code('N')]: () => push(null),
    136: () => push(true),
    137: () => push(false),
    [code('J')]: () => push(unsigned(4) | 0),
    [code('K')]: () => push(unsigned(1)),
    [code('M')]: () => push(unsigned(2)),
    138: () => push(long(unsigned(1))),
    139: () => push(long(unsigned(4))),
    [code('G')]: () => {
      take(8);
      push(view.getFloat64(at - 8, false));
    },
    [code('X')]: () => push(utf8.decode(take(unsigned(4)))),
    140: () => push(utf8.decode(take(unsigned(1)))),
    141: () => push(utf8.decode(take(unsigned(8)))),
    [code('U')]: () => push(latin1.decode(take(unsigned(1)))),
    [code('T')]: () => push(latin1.decode(take(unsigned(4)))),
    [code('C')]: () => push(take(unsigned(1)).slice()),
    [code('B')]: () => push(take(unsigned(4)).slice()),
    [code(')')]: () => push([]),
    133: () => push(last(1)),
    134: () => push(last(2)),
    135: () => push(last(3)),
    [code('t')]: () => push(sinceMark()),
    [code(']')]: () => push([]),
    [code('a')]: () => {
      const item = pop();
      top(Array).push(item);
    },
    [code('e')]: () => {
      const items = sinceMark();
      const list = top(Array);
      for (const item of items) list.push(item);
    },
    [code('}')]: () => push(new Map()),
    [code('s')]: () => setItems(last(2)),
    [code('u')]: () => setItems(sinceMark()),
    143: () => push(new Set()),
    144: () => {
      const items = sinceMark();
      const set = top(Set);
      for (const item of items) set.add(item);
    },
    [code('q')]: () => remember(unsigned(1)),
    [code('r')]: () => remember(unsigned(4)),
    148: () => remember(memo.size),
    [code('h')]: () => recall(unsigned(1)),
    [code('j')]: () => recall(unsigned(4)),
    [code('c')]: () => pushGlobal(line(), line()),
    147: () => {
      const [module, name] = last(2);
      pushGlobal(module, name);
    },
    [code('R')]: () => {
      const [callable, args] = last(2);
      if (!Array.isArray(args)) return fail('calls with no tuple');
      push(hooks.call(callable, args));
    },
    [code('Q')]: () => push(hooks.persistent(pop())),
    // Attributes of a dictionary, such as the `_metadata` of a state dict: no data.
    [code('b')]: () => {
      pop();
      top(Map);
    },
  };

  for (;;) {
    opcode = unsigned(1);
    if (opcode === code('.')) {
      const value = pop();
      if (stack.length) fail('leaves values behind');
      return { value, end: at };
    }
    const operation = operations[opcode];
    if (!operation)
      return fail(`has the instruction 0x${opcode.toString(16).padStart(2, '0')}, which builds more than plain data`);
    operation();
  }
}

function code(letter: string): number {
  return letter.charCodeAt(0);
}
