// How much of the library a bundle holds: minified and gzipped by esbuild, from the sources as they are published. And what that rests on: the
// list of modules that do something when they are loaded is exact, and no code of the library calls a method of Tensor.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ENTRIES, effects, modules, prepared } from '../../scripts/publish/modules';
import { root } from '../bundle';

/** The bundle of a program that imports `dawnfield/…`, for browsers. */
async function bundle(contents: string) {
  const alias = Object.fromEntries(
    Object.entries(ENTRIES).map(([name, source]) => [`dawnfield${name.slice(1)}`, join(root, source)]),
  );
  // The main entry stands last: the others begin with its name.
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    stdin: { contents, resolveDir: root, loader: 'ts' },
    alias: Object.fromEntries(Object.entries(alias).reverse()),
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    outfile: 'bundle.js',
    plugins: [prepared()],
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  const inputs = Object.entries(Object.values(metafile.outputs)[0]?.inputs ?? {});
  return {
    kilobytes: gzipSync(file?.contents ?? '', { level: 9 }).length / 1000,
    holds: inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path),
  };
}

const cnn = `
import { backward, init, tensor } from 'dawnfield/lean';
import { BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential } from 'dawnfield/nn';
import { crossEntropy } from 'dawnfield/functional';
import { SGD } from 'dawnfield/optim';
await init();
const model = new Sequential(new Conv2d(3, 16, 3), new BatchNorm2d(16), new ReLU(), new Flatten(), new Linear(16, 10));
const optimizer = new SGD(model.parameters(), { lr: 0.1 });
backward(crossEntropy(model.forward(tensor([[[[1]]]])), tensor([0])));
optimizer.step();
`;
const everything = (name: string) => `import * as all from '${name}'; console.log(Object.entries(all));`;

/** Budgets in kB (10³ bytes): what is reached and some 3 %. docs/bundles.md says what they are spent on. The methods of Tensor name some 300 operations, which then are in every bundle of 'dawnfield'. */
const budgets: Record<string, [kilobytes: number, program: string]> = {
  "init and tensor, of 'dawnfield/lean'": [21, "export { init, tensor } from 'dawnfield/lean';"],
  "init and tensor, of 'dawnfield' with all methods": [102, "export { init, tensor } from 'dawnfield';"],
  'a convolutional network, its loss and SGD': [100, cnn],
  "everything of 'dawnfield'": [275, everything('dawnfield')],
};
for (const [name, [kilobytes, program]] of Object.entries(budgets))
  test(`${name}: at most ${kilobytes} kB`, async () => {
    const found = await bundle(program);
    assert.ok(found.kilobytes <= kilobytes, `${found.kilobytes.toFixed(1)} kB`);
  });

test("'dawnfield' brings the methods, 'dawnfield/lean' and its parts leave them out", async () => {
  const methods = 'src/ops/methods.ts';
  assert.ok((await bundle(`import { tensor } from 'dawnfield'; tensor([1]);`)).holds.includes(methods));
  assert.ok((await bundle(`import 'dawnfield/methods';`)).holds.includes(methods));
  for (const name of Object.keys(ENTRIES))
    if (name !== '.' && name !== './methods')
      assert.not((await bundle(everything(`dawnfield${name.slice(1)}`))).holds.includes(methods), name);
});

/** Whether a statement does something when its module is loaded, beyond making a value. */
function acts(statement: ts.Statement): boolean {
  if (ts.isImportDeclaration(statement)) return !statement.importClause;
  return !(
    ts.isExportDeclaration(statement) ||
    ts.isVariableStatement(statement) ||
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isModuleDeclaration(statement)
  );
}

test('package.json lists exactly the modules that act when they are loaded', () => {
  const acting = [...modules()].filter((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    return ts.createSourceFile(path, text, ts.ScriptTarget.Latest).statements.some(acts);
  });
  const names = acting.map((path) => path.replace(/\.ts$/, '')).sort();
  assert.equal([...effects()].sort(), names);
  const { sideEffects } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.equal(
    sideEffects.filter((path: string) => path.startsWith('./src/')).sort(),
    names.map((name) => `./${name}.ts`).sort(),
  );
});

test('no code behind the lean entry calls a method of Tensor: its types have none', () => {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const program = ts.createProgram(
    ['src/lean.ts', 'shaders/wgsl-preprocessor.d.ts'].map((path) => join(root, path)),
    { ...options, incremental: false, tsBuildInfoFile: undefined },
  );
  assert.is(program.getSourceFile(join(root, 'src/ops/methods.ts')), undefined);
  assert.equal(
    ts
      .getPreEmitDiagnostics(program)
      .map((d) => `${d.file?.fileName}: ${ts.flattenDiagnosticMessageText(d.messageText, '\n')}`),
    [],
  );
});

test.run();
