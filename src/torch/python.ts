// Python text: values, calls, and the classes of a file that is written piece by piece.
import { InputError } from '../gpu';
import type { AnyModule } from '../nn/module';

/** A value as Python has it. Lists become tuples. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' && !Number.isNaN(value))
    return Number.isFinite(value) ? String(value) : `float("${value < 0 ? '-' : ''}inf")`;
  if (Array.isArray(value)) return `(${value.map(literal).join(', ')}${value.length === 1 ? ',' : ''})`;
  throw new InputError(`exportTorch: ${String(value)} has no form in Python`);
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** `f(1, 2, in_channels=3)`: arguments are Python text or values; what is undefined is left out, names become Python's. */
export function call(f: string, args: readonly unknown[], named: Readonly<Record<string, unknown>> = {}): string {
  const text = (value: unknown) => (value instanceof Text ? value.text : literal(value));
  const given = Object.entries(named).filter(([, value]) => value !== undefined);
  return `${f}(${[...args.map(text), ...given.map(([name, value]) => `${snake(name)}=${text(value)}`)].join(', ')})`;
}

/** An argument that is Python already. */
export class Text {
  constructor(readonly text: string) {}
}

/** A list of modules in Python, equal neighbours as one loop. */
export function moduleList(items: readonly string[], list = 'nn.ModuleList'): string {
  const runs: { item: string; count: number }[] = [];
  for (const item of items) {
    const last = runs.at(-1);
    if (last?.item === item) last.count++;
    else runs.push({ item, count: 1 });
  }
  const texts = runs.map(({ item, count }) => (count > 1 ? `*(${item} for _ in range(${count}))` : item));
  return list === 'nn.ModuleList' ? `${list}([${texts.join(', ')}])` : `${list}(${texts.join(', ')})`;
}

export const unknown = (where: string, module: AnyModule, why = 'which has no form in PyTorch here'): InputError =>
  new InputError(
    `exportTorch: ${where || 'the network'} is a ${module.constructor.name}, ${why}. Give the Python of its forward: ` +
      `{ classes: [[${module.constructor.name}, 'def forward(self, x): …']] }, see docs/export.md.`,
  );

export const refused = (problem: string): InputError => new InputError(`exportTorch: ${problem}`);

/** The classes and functions of a file, in the order in which they are needed. */
export class Definitions {
  readonly #texts = new Map<string, string>();

  /** Adds the text of a class or function, once. */
  add(text: string): void {
    const name = /^(?:class|def) (\w+)/m.exec(text)?.[1] ?? '';
    const known = this.#texts.get(name) ?? text;
    if (known !== text) throw refused(`two different classes would be called ${name} in model.py`);
    this.#texts.set(name, text);
  }

  get texts(): readonly string[] {
    return [...this.#texts.values()];
  }
}
