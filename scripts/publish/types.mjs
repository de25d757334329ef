// The published types: one .d.ts a module, for ES modules, and the same as .d.cts for CommonJS. Imports name files, as Node's resolution wants it;
// what the platform declares comes from webgpu.d.ts, which declares nothing globally.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import ts from 'typescript';
import { root } from '../setup/places.mjs';
import { SetupError } from '../setup/say.mjs';
import { withDocs } from './docs.mjs';

const here = import.meta.dirname;
const place = 'src/gpu/webgpu';

/** The names that webgpu.d.ts exports. */
const provided = new RegExp(
  `\\b(?:${[...readFileSync(join(here, 'webgpu.d.ts'), 'utf8').matchAll(/^export (?:type|interface) (\w+)/gm)].map(([, name]) => name).join('|')})\\b`,
  'g',
);

/**
 * Writes the types of `entries` and of all that they name below `folder`, which holds their modules already.
 * @param {string} folder @param {readonly string[]} entries sources, by paths below the root
 */
export function writeTypes(folder, entries) {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const program = ts.createProgram(
    [...entries, 'shaders/wgsl-preprocessor.d.ts'].map((path) => join(root, path)),
    {
      ...options,
      noEmit: false,
      incremental: false,
      emitDeclarationOnly: true,
      outDir: folder,
      rootDir: root,
      tsBuildInfoFile: undefined,
      stripInternal: true,
    },
  );
  const { diagnostics, emitSkipped } = program.emit(
    undefined,
    (path, text) => write(path, text, folder),
    undefined,
    true,
    { afterDeclarations: [withDocs(program.getTypeChecker())] },
  );
  if (emitSkipped || diagnostics.length)
    throw new SetupError(
      `the types cannot be written: ${ts.formatDiagnostics(diagnostics, { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => '\n' })}`,
    );
  for (const ending of ['d.ts', 'd.cts']) {
    mkdirSync(dirname(join(folder, place)), { recursive: true });
    copyFileSync(join(here, 'webgpu.d.ts'), join(folder, `${place}.${ending}`));
  }
}

/**
 * @param {string} path of a declaration file below `folder` @param {string} text
 * @param {string} folder
 */
function write(path, text, folder) {
  const below = dirname(relative(folder, path));
  const source = text.replace(/\/\*[\s\S]*?\*\//g, '');
  const names = [...new Set(source.match(provided))];
  const up = relative(below, place).split(sep).join('/');
  const head = names.length
    ? `import type { ${names.join(', ')} } from '${up.startsWith('.') ? up : `./${up}`}.js';\n`
    : '';
  const esm =
    head +
    text.replace(/((?:from|import\(|import|declare module) ?)(['"])(\.[^'"]*)\2/g, (_, before, quote, specifier) => {
      const name = specifier.replace(/\.js$/, '');
      const file = [name, `${name}/index`].find((candidate) => existsSync(join(root, below, `${candidate}.ts`)));
      if (!file) throw new SetupError(`the types of ${path} name '${specifier}', which is no source`);
      return `${before}${quote}${file}.js${quote}`;
    });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, esm);
  writeFileSync(
    path.replace(/\.d\.ts$/, '.d.cts'),
    esm.replace(/((?:from|import\(|import|declare module) ?)(['"])(\.[^'"]*)\.js\2/g, '$1$2$3.cjs$2'),
  );
}
