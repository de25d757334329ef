// README.md and docs/ tell the truth: their code blocks type-check, run and learn, so does each cell of the table from PyTorch; dependencies
// exist, and so does every file that is linked to. Their commands are looked at in commands.test.ts.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ENTRIES } from '../../scripts/publish/modules';
import { programOfCode } from '../program';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith('.md'),
);
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const blocks = pages.flatMap((page) =>
  [...textOf(page).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code], i) => ({ name: `${page}, block ${i + 1}`, code })),
);

/** The table's right column, each piece of code in a scope of its own. */
function tableProgram(): string {
  const rows = [...textOf('docs/from-pytorch.md').matchAll(/^\| `.*\| (.*) \|$/gm)].map(([, cell]) => cell);
  const cells = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, code]) => code));
  assert.ok(cells.length >= 70, `${cells.length} cells`);
  const scope = `
    const x = rand([2, 3]), y = rand([2, 3]), w = rand([4, 3]), labels = tensor(new Int32Array([0, 1]));
    const image = rand([1, 4, 4, 4]);
    const model = new nn.Linear(3, 4), opt = new optim.SGD(model.parameters(), { lr: 0.1 });
    const logits = model.forward(x), loss = F.crossEntropy(logits, labels);
    void [x, y, w, labels, image, model, opt, logits, loss];`;
  const names =
    'arange, autocast, checkpoint, compile, customFunction, DataLoader, detectAnomaly, device, F, full, grad, gradcheck, gradgradcheck, init, jvp, linalg, manualSeed, nn, noGrad, optim, rand, ' +
    'randomSplit, serializeSafetensors, shutdown, tensor, type Tensor, TensorDataset, toStored, WeightedRandomSampler, zeros';
  const body = cells.map((code) => `{${scope}\n    ${code};\n  }`).join('\n');
  return `import { ${names} } from 'dawnfield';\nawait init();\n${body}\nconsole.log('cells', ${cells.length});\nshutdown();\n`;
}

const section = (page: string, title: string) =>
  textOf(page)
    .split(/^## /m)
    .find((part) => part.startsWith(`${title}\n`)) ?? '';

const folder = mkdtempSync(join(tmpdir(), 'dawnfield-readme-'));
test.after(() => rmSync(folder, { recursive: true }));

/** The source of what the package exports by a name, such as `dawnfield/nn`, in Node. */
const sourceOf = (name: string): string => {
  const source = ENTRIES[name.replace(/^dawnfield/, '.') as keyof typeof ENTRIES];
  const inNode = source?.replace(/\.ts$/, '.node.ts') ?? '';
  return existsSync(join(root, inNode)) && inNode ? inNode : source;
};

/** Runs a program that imports `dawnfield`, with the sources in its place. */
async function run(code: string): Promise<string> {
  const program = await programOfCode(code.replace(/'(dawnfield[^']*)';/g, (_, name) => `'./${sourceOf(name)}';`));
  return execFileSync(process.execPath, program, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** All blocks as one program, each in a function of its own: a process for each would take three times as long. */
function blocksProgram(): string {
  const imports = new Map<string, string>();
  const bodies = blocks.map(({ code }) =>
    code.replace(/^import (type )?\{([^}]*)\} from '(dawnfield[^']*)';\n/gm, (_, type = '', names: string, from) => {
      for (const name of names.match(/(type )?\w+/g) ?? [])
        imports.set(name.startsWith('type ') ? name : type + name, from);
      return '';
    }),
  );
  const names = [...imports].filter(([name]) => !imports.has(name.replace(/^type /, '')) || !name.startsWith('type '));
  const runs = bodies.map(
    (body, i) =>
      `console.log('BLOCK ${i}');\nawait (async () => {\n${body}\n})().catch((error) => console.log('FAILED', error));\n`,
  );
  return names.map(([name, from]) => `import { ${name} } from '${from}';\n`).join('') + runs.join('');
}

let outputs: Promise<string[]> | null = null;
for (const [i, { name, code }] of blocks.entries())
  test(`${name} runs, and learns where it trains`, async () => {
    outputs ??= run(blocksProgram()).then((text) => text.split(/^BLOCK \d+\n/m).slice(1));
    const output = (await outputs)[i];
    assert.not.match(output, /^FAILED/m, output);
    const losses = [...output.matchAll(/^\d+ (\S+)/gm)].map(([, loss]) => Number(loss));
    if (/console\.log\((i|step|epoch),/.test(code)) assert.is(losses.length, 3, output);
    if (losses.length) assert.ok(losses.at(-1)! < losses[0], output);
  });

test('no block is of a kind that nothing runs', () => {
  const fences = pages.flatMap((page) =>
    [...textOf(page).matchAll(/^```(.*)\n[\s\S]*?^```$/gm)].map(([, kind]) => [page, kind]),
  );
  // What is not TypeScript: a page, run by tests/browser/without-bundler.test.ts, a drawing, and the files of clusters (commands.test.ts).
  const others = fences.filter(([, kind]) => kind !== 'ts').map((fence) => fence.join(': '));
  const ofClusters = ['bash', 'dockerfile', 'yaml'].map((kind) => `docs/sweeps.md: ${kind}`);
  assert.equal([...new Set(others)], ['docs/architecture.md: mermaid', 'docs/bundles.md: html', ...ofClusters]);
});

test('README shows a training loop, and is short', () => {
  assert.ok(blocks.some(({ name, code }) => name.startsWith('README') && /backward\(\)/.test(code)));
  assert.ok(textOf('README.md').split('\n').length <= 130);
});

test('every file that a page links to is there', () => {
  for (const page of pages)
    for (const [, target] of textOf(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      assert.ok(existsSync(join(root, dirname(page), target)), `${page}: ${target}`);
});

test('the cells of the table from PyTorch run', async () => {
  assert.match(await run(tableProgram()), /^cells \d+$/m);
});

test('code blocks and table are strictly typed', () => {
  for (const [i, { code }] of blocks.entries()) writeFileSync(join(folder, `typed${i + 1}.mts`), code);
  writeFileSync(join(folder, 'typed-table.mts'), tableProgram());
  const options = {
    baseUrl: root,
    paths: {
      ...Object.fromEntries(
        Object.keys(ENTRIES).map((path) => [`dawnfield${path.slice(1)}`, [sourceOf(`dawnfield${path.slice(1)}`)]]),
      ),
      '*': ['node_modules/*', 'node_modules/@types/*'],
    },
    typeRoots: [join(root, 'node_modules/@types'), join(root, 'node_modules')],
    noEmit: true,
  };
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: options,
    include: ['typed*.mts', join(root, 'shaders/*.d.ts')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8' });
  } catch (error) {
    assert.unreachable((error as { stdout: string }).stdout);
  }
});

test('each dependency is there, and each is explained', () => {
  const told = section('CONTRIBUTING.md', 'What it depends on, and why');
  const folders = ['examples/browser', 'tests/browser', 'tests/package/checks', 'tests/runtimes'];
  const manifests = folders.map((folder) => JSON.parse(textOf(`${folder}/package.json`)));
  const all = [manifest, ...manifests].map(({ dependencies, devDependencies }) => ({
    ...dependencies,
    ...devDependencies,
  }));
  for (const name of all.flatMap(Object.keys))
    assert.ok(name.startsWith('@types/') || told.includes(`\`${name.replace('@biomejs/', '')}\``), name);
});

test.run();
