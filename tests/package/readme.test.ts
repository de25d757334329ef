// README.md tells the truth: its code blocks type-check, run and learn, so does each cell of the table from PyTorch; its commands,
// options, variables and dependencies exist.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { programOfCode } from '../program';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code);

/** The table's right column, each piece of code in a scope of its own. */
function tableProgram(): string {
  const rows = [...section('From PyTorch').matchAll(/^\| `.*\| (.*) \|$/gm)].map(([, cell]) => cell);
  const cells = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, code]) => code));
  assert.ok(cells.length >= 70, `${cells.length} cells`);
  const scope = `
    const x = rand([2, 3]), y = rand([2, 3]), w = rand([4, 3]), labels = tensor(new Int32Array([0, 1]));
    const model = new nn.Linear(3, 4), opt = new optim.SGD(model.parameters(), { lr: 0.1 });
    const logits = model.forward(x), loss = F.crossEntropy(logits, labels);
    void [x, y, w, labels, model, opt, logits, loss];`;
  const names =
    'arange, checkpoint, compile, DataLoader, detectAnomaly, device, F, full, grad, gradcheck, init, jvp, manualSeed, nn, noGrad, optim, rand, ' +
    'serializeSafetensors, shutdown, tensor, type Tensor, toStored, zeros';
  const body = cells.map((code) => `{${scope}\n    ${code};\n  }`).join('\n');
  return `import { ${names} } from 'dawnfield';\nawait init();\n${body}\nconsole.log('cells', ${cells.length});\nshutdown();\n`;
}

const section = (title: string) => readme.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';

const folder = mkdtempSync(join(tmpdir(), 'dawnfield-readme-'));
test.after(() => rmSync(folder, { recursive: true }));

/** Runs a program that imports `dawnfield`, with the sources in its place. */
async function run(code: string): Promise<string> {
  const program = await programOfCode(code.replaceAll("'dawnfield'", "'./src/index.node.ts'"));
  return execFileSync(process.execPath, program, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

for (const [i, code] of blocks.entries())
  test(`code block ${i + 1} runs and learns`, async () => {
    const output = await run(code);
    const losses = [...output.matchAll(/^\d+ (\S+)/gm)].map(([, loss]) => Number(loss));
    assert.is(losses.length, 3, output);
    assert.ok(losses[2] < losses[0], output);
  });

test('the cells of the table from PyTorch run', async () => {
  assert.match(await run(tableProgram()), /^cells \d+$/m);
});

test('code blocks and table are strictly typed', () => {
  for (const [i, code] of blocks.entries()) writeFileSync(join(folder, `typed${i + 1}.mts`), code);
  writeFileSync(join(folder, 'typed-table.mts'), tableProgram());
  const options = {
    baseUrl: root,
    paths: { dawnfield: ['src/index.node.ts'], '*': ['node_modules/*', 'node_modules/@types/*'] },
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

test('commands and options exist', () => {
  /** A program's files, and those of examples/shared that it imports. */
  const text = (program: string) => {
    const folder = join(root, 'examples', program);
    const own = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    const texts = own.map((name) => readFileSync(join(folder, name), 'utf8'));
    const imports = [...texts.join().matchAll(/'\.\.\/shared\/([\w-]+)'/g)].map((match) => match[1]);
    return [
      ...texts,
      ...imports.map((name) => readFileSync(join(root, 'examples/shared', `${name}.ts`), 'utf8')),
    ].join();
  };
  const commands = [...readme.matchAll(/npm run ([\w-]+)(?: -- ([^#`\n]*))?/g)];
  assert.ok(commands.length >= 8);
  for (const [, name, args = ''] of commands) {
    assert.ok(name in manifest.scripts, `npm run ${name}`);
    for (const [option] of args.matchAll(/--[\w-]+/g))
      assert.ok(option === '--help' || text(name).includes(`'${option}`), `${name} ${option}`);
  }
  const table = section('Options').matchAll(/`(--[\w-]+)`/g);
  for (const [, option] of table) assert.ok(text('cifar-train').includes(`'${option}`), `cifar-train ${option}`);
});

test('each dependency is there, and each is explained', () => {
  const told = section('What it depends on, and why');
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }))
    assert.ok(name.startsWith('@types/') || told.includes(`\`${name.replace('@biomejs/', '')}\``), name);
});

test.run();
