// Runs exported models in ONNX Runtime. It is large, so that it is installed with the first run only; where it cannot be had, tests are skipped and counted.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromFloat32, toFloat32 } from '../../src/formats/safetensors';
import { type nn, noGrad, Tensor, tensor } from '../../src/index.node.js';
import { exportOnnx, type OnnxModel, type OnnxOptions } from '../../src/onnx';
import { root } from '../bundle';
import { hasPackages } from '../packages';
import { pythonWith } from '../python';

type Numbers = ArrayLike<number | bigint>;
interface OrtTensor {
  readonly data: Numbers;
  readonly dims: readonly number[];
}
interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
}
interface Ort {
  readonly InferenceSession: {
    create(file: string | Uint8Array, options: { intraOpNumThreads: number }): Promise<Session>;
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
}

const folder = 'tests/onnx/runtime';
const ort: Ort | null = hasPackages(folder)
  ? createRequire(join(root, folder, 'package.json'))('onnxruntime-node')
  : null;

export const hasRuntime = ort !== null;

/** A test that needs ONNX Runtime. */
export const withRuntime: (name: string, body: () => Promise<void>) => void = ort ? test : test.skip;

/** Waves by formula: numbers of both signs, none of them equal. */
export const waves = (shape: readonly number[], seed = 1): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(12.9898 * i + 78.233 * seed) * 1.5),
    { shape },
  );
};

export const tensorsOf = (x: unknown): Tensor[] =>
  x instanceof Tensor ? [x] : Array.isArray(x) ? x.flatMap(tensorsOf) : [];

/** Bits of halves, as the runtime takes and gives them. */
const halves = (data: ArrayLike<number>) => fromFloat32(Float32Array.from(data), 'F16') as Uint16Array;

async function fed(x: Tensor): Promise<OrtTensor> {
  const data = await x.data();
  const { Tensor: Given } = ort!;
  const given = x.dtype === 'bool' ? Uint8Array.from(data) : x.dtype === 'float16' ? halves(data) : data;
  return new Given(x.dtype, given, x.shape);
}

/** How far ONNX Runtime is from the model for some inputs, in parts of the largest result. */
export async function distance(
  file: string | Uint8Array,
  model: nn.AnyModule,
  inputs: readonly unknown[],
): Promise<number> {
  const session = await ort!.InferenceSession.create(file, { intraOpNumThreads: 1 });
  let worst = 0;
  for (const given of inputs) {
    const args = given instanceof Tensor ? [given] : (given as unknown[]);
    const feeds = await Promise.all(
      tensorsOf(args).map(async (x, i) => [session.inputNames[i], await fed(x)] as const),
    );
    // Inputs that nothing depends on are none.
    const found = await session.run(Object.fromEntries(feeds.filter(([name]) => name !== undefined)));
    const wanted = tensorsOf(noGrad(() => model.forward(...args)));
    assert.is(session.outputNames.length, wanted.length);
    for (const [i, y] of wanted.entries()) {
      const { data: given, dims } = found[session.outputNames[i]!]!;
      const stored = { dtype: 'F16', shape: y.shape, data: given as Uint16Array<ArrayBuffer> } as const;
      const data = y.dtype === 'float16' ? toFloat32(stored) : given;
      assert.equal([...dims], [...y.shape], 'the shape of a result');
      const want = await y.data();
      const largest = [...want].reduce((most, x) => Math.max(most, Math.abs(x)), 1);
      for (const [k, x] of want.entries()) {
        const apart = Object.is(Number(data[k]), x) ? 0 : Math.abs(Number(data[k]) - x) / largest;
        worst = Math.max(worst, Number.isNaN(apart) ? Infinity : apart);
      }
    }
  }
  return worst;
}

/** Exports a model in evaluation mode for the first inputs, and compares it with ONNX Runtime for all of them, to 1e-5. */
export async function sameInRuntime(
  model: nn.AnyModule,
  inputs: readonly [unknown, ...unknown[]],
  options?: OnnxOptions,
): Promise<OnnxModel> {
  model.eval();
  const file = await exportOnnx(model, inputs[0] as Tensor | unknown[], options);
  exported.push(file.bytes);
  const apart = await distance(file.bytes, model, inputs);
  assert.ok(apart <= 1e-5, `${apart} apart:\n${file}`);
  return file;
}

const exported: Uint8Array[] = [];

/** The last test of a file: what `sameInRuntime` has exported passes ONNX's own checker, shapes included. Skipped where no Python has the package onnx. */
export function checkerTest(): void {
  const python = pythonWith('onnx');
  const tested = python && hasRuntime ? test : test.skip;
  tested('the checker of ONNX takes all of them (PYTHON with onnx)', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dawnfield-onnx-'));
    try {
      const paths = exported.map((bytes, i) => {
        const path = join(folder, `${i}.onnx`);
        writeFileSync(path, bytes);
        return path;
      });
      const check = 'import onnx, sys\nfor path in sys.argv[1:]: onnx.checker.check_model(path, full_check=True)';
      const { status, stderr } = spawnSync(python!, ['-c', check, ...paths], { encoding: 'utf8' });
      assert.ok(paths.length > 0 && status === 0, stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
