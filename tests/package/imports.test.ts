// What may import what, type imports included: folders import one way, files in no circle. docs/architecture.md shows the same table.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));

const runtime = ['shaders', 'src/gpu'];
const tensors = [...runtime, 'src/tensor'];
const operations = [...tensors, 'src/autograd', 'src/ops'];
const modules = [...operations, 'src/formats', 'src/nn'];
const trained = [...modules, 'src/data', 'datasets', 'src/optim'];
const methods = ['src/meanfield', 'src/featureflow'];

/** From the ground up: what each folder may import, besides itself and the random numbers of `datasets/random.ts`. */
const may: Record<string, readonly string[]> = {
  shaders: [],
  'src/gpu': ['shaders'],
  'src/formats': ['shaders'],
  'src/files': [],
  'src/tensor': runtime,
  'src/autograd': tensors,
  'src/ops': [...tensors, 'src/autograd'],
  'src/nn': [...operations, 'src/formats'],
  'src/data': [...modules, 'datasets'],
  datasets: [...modules, 'src/data'],
  'src/optim': [...modules, 'src/data', 'datasets'],
  'src/meanfield': trained,
  'src/featureflow': trained,
  'src/models': [...trained, ...methods],
  'src/onnx': modules,
  'src/torch': [...trained, ...methods, 'src/models'],
  'src/train': [...trained, 'src/files'],
  src: [...trained, ...methods, 'src/files', 'src/models', 'src/onnx', 'src/torch', 'src/train'],
};

/** Circles that are still there: remove them from here as they go. */
const circles = [
  ['shaders/build.ts', 'shaders/elements.ts', 'shaders/kernel.ts', 'shaders/segments.ts'],
  ['src/gpu/device.ts', 'src/gpu/tuning.ts'],
];

/** Every source file with the files that it imports, for values or types. */
function sources(): Map<string, string[]> {
  const files = ['shaders', 'src', 'datasets'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /(?<!\.d)\.ts$/.test(name))
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
  );
  const resolved = (from: string, name: string): string => {
    const path = normalize(join(dirname(from), name))
      .replaceAll('\\', '/')
      .replace(/\.js$/, '');
    const found = [path, `${path}.ts`, `${path}/index.ts`].find(
      (file) => /\.\w+$/.test(file) && existsSync(join(root, file)),
    );
    if (!found) throw new Error(`${from} imports ${name}, which is not there`);
    return found;
  };
  return new Map(
    files.map((file) => {
      const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), 'utf8'));
      const names = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.'));
      return [file, [...new Set(names.map((name) => resolved(file, name)))]];
    }),
  );
}
const imports = sources();

/** The row of the table that a file belongs to: its innermost folder there. */
const folderOf = (path: string): string | undefined =>
  Object.keys(may)
    .filter((folder) => path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0];

test('folders import one way', () => {
  const wrong: string[] = [];
  for (const [file, targets] of imports) {
    const folder = folderOf(file)!;
    if (folder === 'src' && !/^src\/(index|lean)\b/.test(file)) wrong.push(`${file} is in no folder of the table`);
    for (const target of targets.filter((path) => path !== 'datasets/random.ts')) {
      const to = folderOf(target);
      if (!to || (to !== folder && !may[folder].includes(to))) wrong.push(`${file} → ${target}`);
    }
  }
  assert.equal(wrong, []);
});

test('the table has an order: what a folder imports stands above it', () => {
  const rows = Object.keys(may);
  const pair = ['src/data', 'datasets']; // sets of data and what reads them: one level
  const below = rows.flatMap((folder, i) =>
    may[folder]
      .filter((other) => rows.indexOf(other) >= i && !(pair.includes(folder) && pair.includes(other)))
      .map((other) => `${folder} → ${other}`),
  );
  assert.equal(below, []);
});

test('no files import each other in a circle', () => {
  assert.equal(circlesIn(imports), circles);
});

/** Groups of files that reach each other (Tarjan). */
function circlesIn(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): number => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      const reach = !order.has(next) ? visit(next) : stack.includes(next) ? order.get(next)! : Infinity;
      lowest.set(file, Math.min(lowest.get(file)!, reach));
    }
    if (lowest.get(file) === order.get(file)) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1) found.push(group.sort());
    }
    return lowest.get(file)!;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found.sort();
}

test('docs/architecture.md names every folder', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const missing = Object.keys(may).filter((folder) => folder !== 'src' && !page.includes(`\`${folder}/\``));
  assert.equal(missing, []);
});

test.run();
