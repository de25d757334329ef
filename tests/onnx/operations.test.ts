// Every public operation: it exports and gives the same in ONNX Runtime, or docs/export.md names it among those that do not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { F, nn, Tensor, tensor } from '../../src/index.node.js';
import { exportOnnx } from '../../src/onnx';
import { root } from '../bundle';
import { useGpu } from '../util';
import { EXAMPLES, type Example } from './operations';
import { distance, hasRuntime, waves } from './runtime';

useGpu();

class Fn extends nn.Module<Tensor[], unknown> {
  readonly #f: Example;

  constructor(f: Example) {
    super();
    this.#f = f;
  }

  /** A list of what the operation gives. */
  override forward(...[a, b, i, x]: Tensor[]): unknown {
    const y = this.#f(a!, b!, i!, x!);
    const isRecord = typeof y === 'object' && y !== null && !(y instanceof Tensor || y instanceof Promise);
    return isRecord && !Array.isArray(y) ? Object.values(y) : y;
  }
}

const whole = () => Int32Array.from({ length: 24 }, (_, k) => (k * 7 + 3) % 6);
const inputs = () => [waves([4, 6]), waves([4, 6], 2), tensor(whole(), { shape: [4, 6] }), waves([4, 4, 6, 6], 3)];

/** Names in the list of docs/export.md. */
const documented = (): string[] => {
  const [, list = ''] = /<!-- operations without a mapping -->([\s\S]*?)\n\n/.exec(
    readFileSync(join(root, 'docs/export.md'), 'utf8'),
  )!;
  return [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name!).sort();
};

test('each has an example', () => {
  const names = Object.entries(F).flatMap(([name, f]) => (typeof f === 'function' ? [name] : []));
  assert.equal(Object.keys(EXAMPLES).sort(), names.sort());
});

test('each gives the same in ONNX Runtime, or stands in the list of those that cannot be exported', async () => {
  const [refused, apart]: [string[], string[]] = [[], []];
  for (const [name, example] of Object.entries(EXAMPLES)) {
    const model = new Fn(example).eval();
    try {
      const { bytes } = await exportOnnx(model, inputs(), { dynamicAxes: {} });
      const far = hasRuntime ? await distance(bytes, model, [inputs()]) : 0;
      if (!(far <= 1e-5)) apart.push(`${name}: ${far}`);
    } catch (error) {
      if (!/has no mapping|is async|returns no tensor/.test((error as Error).message)) throw error;
      refused.push(name);
    }
  }
  assert.equal(apart, []);
  assert.equal(refused.sort(), documented());
});

test.run();
