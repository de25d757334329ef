// The package as users get it: packed, unpacked into an empty project, run in ESM and CJS, type-checked and run as TypeScript. The programs of
// project/ are those of a user who extends it: strict, without casts.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { extract } from 'tar';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkLosses, tenSteps } from './ten-steps';

const root = new URL('../..', import.meta.url).pathname;
const project = mkdtempSync(join(tmpdir(), 'dawnfield-user-'));
const home = join(project, 'node_modules', 'dawnfield');
const own = new URL('project/', import.meta.url).pathname;
const example = new URL('../../examples/custom-kernel/swiglu.ts', import.meta.url).pathname;
const programs = readdirSync(own).filter((name) => name.endsWith('.ts'));
const report = 'tenSteps().then((losses) => console.log(JSON.stringify(losses)));\n';

const output = (file: string): string =>
  execFileSync(process.execPath, [file], { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const run = (file: string): number[] => JSON.parse(output(file));

/** Fails with the compiler's messages. */
function compile(...flags: string[]): void {
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...flags], {
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
  await extract({ file: join(project, filename), cwd: home, strip: 1 });
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

for (const name of programs) test(`${name} runs`, () => void output(join('own/built', name.replace(/ts$/, 'js'))));

test.run();
