// The package as users get it: packed, unpacked into an empty project, run in ESM and CJS, type-checked and run as TypeScript, looked over by
// publint and attw; its command trains. The programs of project/ are those of a user who extends it: strict, without casts.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { extract } from 'tar';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attwOf, hasChecks, publintOf, typescript7 } from './checks/checks';
import { quickInfo } from './quick-info';
import { checkLosses, tenSteps } from './ten-steps';

const root = new URL('../..', import.meta.url).pathname;
let tarball = '';
const project = mkdtempSync(join(tmpdir(), 'dawnfield-user-'));
const home = join(project, 'node_modules', 'dawnfield');
const own = new URL('project/', import.meta.url).pathname;
const example = new URL('../../examples/custom-kernel/swiglu.ts', import.meta.url).pathname;
const programs = readdirSync(own).filter((name) => name.endsWith('.ts'));
const withChecks = hasChecks() ? test : test.skip;
const report = 'tenSteps().then((losses) => console.log(JSON.stringify(losses)));\n';

const output = (file: string): string =>
  execFileSync(process.execPath, [file], { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const run = (file: string): number[] => JSON.parse(output(file));

const typescript5 = join(root, 'node_modules/typescript/bin/tsc');
const compile = (...flags: string[]): void => compileWith(typescript5, ...flags);

/** Fails with the compiler's messages. */
function compileWith(compiler: string, ...flags: string[]): void {
  try {
    execFileSync(process.execPath, [compiler, ...flags], {
      cwd: project,
      encoding: 'utf8',
    });
  } catch (error) {
    assert.unreachable((error as { stdout: string }).stdout);
  }
}

// As npm does it, but from this checkout's node_modules: the packed dependencies are linked, no other package is there.
async function install(): Promise<void> {
  const npm = process.env.npm_execpath;
  const flags = ['pack', '--json', '--pack-destination', project];
  const [tool, args] = npm?.endsWith('.js') ? [process.execPath, [npm, ...flags]] : ['npm', flags];
  const packed = execFileSync(tool, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const [{ filename }] = JSON.parse(packed.slice(packed.lastIndexOf('\n[') + 1));
  mkdirSync(home, { recursive: true });
  tarball = join(project, filename);
  await extract({ file: tarball, cwd: home, strip: 1 });
  const { dependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    const link = join(project, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), link);
  }
}

try {
  await install();
} catch (error) {
  rmSync(project, { recursive: true });
  throw error;
}

test.after(() => rmSync(project, { recursive: true }));

test('ES module: ten training steps', () => {
  writeFileSync(join(project, 'esm.mjs'), `import * as dawnfield from 'dawnfield';\n${tenSteps}${report}`);
  checkLosses(run('esm.mjs'));
});

test('CommonJS: ten training steps', () => {
  writeFileSync(join(project, 'cjs.cjs'), `const dawnfield = require('dawnfield');\n${tenSteps}${report}`);
  checkLosses(run('cjs.cjs'));
});

for (const resolution of ['nodenext', 'bundler']) {
  test(`TypeScript with moduleResolution ${resolution}: strict, libraries checked, ten training steps`, () => {
    // That a wrong argument is an error is expected, and its absence would be one.
    const wrong = "// @ts-expect-error\nexport const wrong = () => new dawnfield.nn.Linear('four', 2);\n";
    const typed = `${wrong}const losses: Promise<number[]> = tenSteps();\nlosses.then((all) => console.log(JSON.stringify(all)));\n`;
    writeFileSync(join(project, 'typed.mts'), `import * as dawnfield from 'dawnfield';\n${tenSteps}${typed}`);
    const module = resolution === 'nodenext' ? 'nodenext' : 'esnext';
    const flags = ['--strict', '--target', 'es2022', '--module', module, '--moduleResolution', resolution, 'typed.mts'];
    compile(...flags);
    checkLosses(run('typed.mjs'));
  });
}

test('programs of a project of its own are strictly typed, without casts', () => {
  for (const file of [example, ...programs.map((name) => join(own, name))]) {
    const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    const [cast] = code.match(/(?<!\*) as (?!const\b).*|\bany\b.*|\w!.*|@ts-.*/) ?? [];
    assert.is(cast, undefined, file);
  }
  cpSync(own, join(project, 'own'), { recursive: true });
  const kernels = readFileSync(example, 'utf8').replace('../../src/index.node.js', 'dawnfield');
  writeFileSync(join(project, 'own/swiglu.ts'), kernels);
  symlinkSync(join(root, 'node_modules/@types'), join(project, 'node_modules/@types'));
  compile('-p', 'own');
});

/** What editors must show of a name, in part: of functions and methods from the table, of other methods, of modules, options and fields. */
const shown = {
  'F.@exp': 'eˣ',
  'F.@relu': 'max(x, 0)',
  'F.@maximum': 'NaN if either is',
  'F.@conv2d': 'torch.nn.functional.conv2d',
  'x.@exp': 'eˣ',
  'x.@exp_': 'In place, and returns x: eˣ',
  'x.@maximum': 'NaN if either is',
  'x.@add': 'alpha',
  'x.@sum': 'torch.sum',
  'x.@reshape': 'torch.reshape',
  'x.@median': 'median',
  'x.@backward': 'grad',
  'new nn.@Linear(1, 2)': 'y = x·Wᵀ + b',
  'new nn.Linear(1, 2, { @bias: false })': 'bias',
  'new nn.LayerNorm(2, { @eps: 1 })': '1e-5',
  'new optim.@Adam([])': 'torch.optim.Adam',
  'new optim.Adam([], { @betas: [0, 0] })': 'running means',
};
test('editors show what a name of the package is', () => {
  const head = "import { F, nn, optim, tensor } from 'dawnfield';\nconst x = tensor([1]);\n";
  const infos = quickInfo(project, head, Object.keys(shown));
  for (const [name, part] of Object.entries(shown))
    assert.ok(infos.get(name)?.includes(part), `${name} shows '${infos.get(name)}', and not '${part}'`);
});

test('the published types hold no `any`', () => {
  const files = readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.d.ts'));
  assert.ok(files.length > 200, `${files.length} files`);
  for (const name of files) {
    const code = readFileSync(join(home, name), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    assert.is(/[?\w]: any\b.*/.exec(code)?.[0], undefined, name);
  }
});

/** Every entry of the package; the engine's own members are not there, and `dawnfield/lean` alone has no methods. */
const surface = {
  'surface.mts': `
    import { type Device, F, init, tensor } from 'dawnfield';
    import * as browser from 'dawnfield/browser';
    import { crossEntropy } from 'dawnfield/functional';
    import { regress } from 'dawnfield/feature-flow';
    import * as lean from 'dawnfield/lean';
    import { inv } from 'dawnfield/linalg';
    import { resnet18 } from 'dawnfield/models';
    import { Linear } from 'dawnfield/nn';
    import { SGD } from 'dawnfield/optim';
    export const device: Device = await init();
    export const label: string = device.gpu.label;
    tensor([1]).add(2);
    // @ts-expect-error
    device.pool;
    // @ts-expect-error
    tensor([1]).memory;
    // @ts-expect-error
    F.poolWindow;
    // @ts-expect-error
    F.unaryFunctions;
    export const all = [browser.tensor, crossEntropy, regress, lean.tensor, inv, resnet18, new SGD(new Linear(1, 1).parameters(), { lr: 1 })];
  `,
  'lean.mts': `
    import { tensor } from 'dawnfield/lean';
    // @ts-expect-error
    tensor([1]).add(2);
  `,
  'methods.mts': `
    import { tensor } from 'dawnfield/lean';
    import 'dawnfield/methods';
    tensor([1]).add(2);
  `,
};
test('a server that esbuild bundles, with webgpu left out, trains and answers', async () => {
  const server = `
    import { createServer } from 'node:http';
    import * as dawnfield from 'dawnfield';
    ${tenSteps}
    const server = createServer(async (_, response) => response.end(JSON.stringify(await tenSteps())));
    server.listen(0, 'localhost', async () => {
      const answer = await fetch('http://localhost:' + server.address().port);
      console.log(await answer.text());
      server.close();
    });
  `;
  writeFileSync(join(project, 'server.mjs'), server);
  const output = { bundle: true, format: 'esm', platform: 'node', outfile: 'bundled/server.mjs' } as const;
  await build({ ...output, absWorkingDir: project, entryPoints: ['server.mjs'], external: ['webgpu'] });
  assert.not.match(readFileSync(join(project, output.outfile), 'utf8'), /from "dawnfield/);
  checkLosses(run(output.outfile));
});

/** Checks a program whose libraries are declared by `lib` and the package alone. */
function checkTypes(compiler: string, lib: string[], file: string, code: string): void {
  const module = { module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022' };
  const compilerOptions = { ...module, lib, types: [], strict: true, noEmit: true, skipLibCheck: false };
  writeFileSync(join(project, file), code);
  writeFileSync(join(project, 'surface.json'), JSON.stringify({ compilerOptions, files: [file] }));
  compileWith(compiler, '-p', 'surface.json');
}

const compilers = [
  { name: 'TypeScript 5', compiler: typescript5, test },
  { name: 'TypeScript 7', compiler: typescript7, test: withChecks },
];
for (const { name, compiler, test } of compilers)
  for (const lib of [['es2022'], ['es2022', 'dom']])
    test(`${name}, lib ${lib} alone: no other types, libraries checked, methods where they are`, () => {
      for (const [file, code] of Object.entries(surface)) checkTypes(compiler, lib, file, code);
    });

// TypeScript 7 has WebGPU's types, but not its constants, such as GPUBufferUsage.
withChecks("TypeScript 7: its own types of WebGPU take the library's device", () => {
  const code = `
    import { init } from 'dawnfield';
    const { gpu } = await init();
    export const device: GPUDevice = gpu;
    export const buffer: GPUBuffer = gpu.createBuffer({ size: 4, usage: 8 });
  `;
  checkTypes(typescript7, ['es2022', 'dom'], 'device.mts', code);
});

withChecks('publint finds nothing', async () => {
  assert.equal(await publintOf(readFileSync(tarball)), []);
});

withChecks('attw finds nothing: import and require resolve to what they say', async () => {
  const problems = await attwOf(readFileSync(tarball));
  const told = problems.filter(
    ({ kind, entrypoint, resolutionKind }) =>
      // TypeScript's oldest resolution, of Node 10, knows no `exports`; what browsers run is an ES module only.
      resolutionKind !== 'node10' && !(kind === 'CJSResolvesToESM' && entrypoint === './browser'),
  );
  assert.equal(told, []);
});

const command = join(home, 'scripts/run.mjs');
const dawnfield = (...args: string[]) =>
  spawnSync(process.execPath, [command, ...args], { cwd: project, encoding: 'utf8', maxBuffer: 1 << 26 });
const jsonOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('dawnfield --help, --version, a wrong name', () => {
  assert.match(dawnfield('--help').stdout, /cifar-train[\s\S]*feature-flow-lab[\s\S]*completion/);
  assert.match(dawnfield('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  const wrong = dawnfield('cifar-trian');
  assert.is(wrong.status, 1);
  assert.match(wrong.stderr, /no program 'cifar-trian': choose one of doctor, cifar-train/);
  assert.match(dawnfield('evaluate', '--help').stdout, /^Usage: npx dawnfield evaluate /);
});

test('dawnfield doctor --json: one object on stdout, no line of the driver on stderr', () => {
  const { stdout, stderr, status } = dawnfield('doctor', '--json');
  assert.is(status, 0, stderr);
  const [report, ...more] = jsonOf(stdout);
  assert.equal(more, []);
  assert.type(report.adapter, 'string');
  assert.not.match(stderr, /artificially/);
});

test('dawnfield cifar-train --json on synthetic images: steps, epochs, a run folder', () => {
  const size = ['--model', 'resnet8', '--subset', '32', '--test-subset', '16', '--batch', '16', '--steps', '2'];
  const { stdout, stderr, status } = dawnfield('cifar-train', '--dataset', 'synthetic', ...size, '--json');
  assert.is(status, 0, stderr);
  const lines = jsonOf(stdout);
  assert.equal(
    lines.map(({ type }) => type),
    ['step', 'step', 'epoch', 'summary'],
  );
  assert.ok(existsSync(join(project, lines.at(-1).folder, 'figure.svg')));
});

test('a reader that has seen enough ends a program quietly', () => {
  const piped = ['-c', '"$0" "$@" | head -1; echo "$PIPESTATUS"', process.execPath, command];
  const { stdout, stderr } = spawnSync('bash', [...piped, 'doctor'], { cwd: project, encoding: 'utf8' });
  assert.match(stdout, /\n0\n$/);
  assert.not.match(stderr, /EPIPE|Error/);
});

test('completions for bash know programs and their options', () => {
  const { stdout, stderr } = dawnfield('completion', 'bash');
  const script = `${stdout}\nCOMP_WORDS=(dawnfield cifar-train --lr); COMP_CWORD=2; _dawnfield; echo "\${COMPREPLY[@]}"`;
  assert.match(spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout, /^--lr\b/, stderr);
  for (const shell of ['zsh', 'fish']) assert.match(dawnfield('completion', shell).stdout, /feature-flow-lab/);
});

for (const name of programs) test(`${name} runs`, () => void output(join('own/built', name.replace(/ts$/, 'js'))));

test.run();
