// The published modules: each source becomes a module of its own (dist/src/…, dist/shaders/…, dist/datasets/…), so that bundlers take only what a
// program uses. What they need for that is written in on the way: imports with the names of files, and notes that the values made when a module
// is loaded have no other effect. WGSL is shortened.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import MagicString from 'magic-string';
import ts from 'typescript';
import { minifyWgsl } from './wgsl';

/** esbuild's plugin, as far as it is used here: tsup brings an esbuild of its own. */
interface Build {
  onLoad(
    options: { filter: RegExp },
    callback: (args: { path: string }) => { contents: string; loader: 'ts' } | undefined,
  ): void;
  onResolve(
    options: { filter: RegExp },
    callback: (args: {
      path: string;
      importer: string;
      kind: string;
    }) => { path: string; external: true; sideEffects?: boolean } | undefined,
  ): void;
}

const root = process.cwd();

/** What package.json exports, as sources; the names are those of the package's subpaths. */
export const ENTRIES = {
  '.': 'src/index.ts',
  './lean': 'src/lean.ts',
  './methods': 'src/ops/methods.ts',
  './nn': 'src/nn/index.ts',
  './functional': 'src/nn/functional.ts',
  './optim': 'src/optim/index.ts',
  './models': 'src/models/index.ts',
  './linalg': 'src/ops/linalg/index.ts',
  './feature-flow': 'src/featureflow/index.ts',
  './onnx': 'src/onnx/index.ts',
  './torch': 'src/torch/index.ts',
} as const;
const NODE = ['src/index.node.ts', 'src/lean.node.ts'];

/** The library: every source that the entries reach, as paths below the root. */
export function modules(): Set<string> {
  const found = new Set<string>([...Object.values(ENTRIES), ...NODE]);
  for (const path of found) {
    const text = readFileSync(join(root, path), 'utf8');
    for (const [, type, specifier] of text.matchAll(/^(?:import|export)( type)?\b[^;]*?'(\.[^']+)';/gm))
      if (!type && specifier) found.add(sourceOf(join(root, path), specifier));
  }
  return found;
}

/** Modules that do something when they are loaded: the list of package.json, as paths of sources without their ending. */
export function effects(): Set<string> {
  const { sideEffects } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { sideEffects: string[] };
  return new Set(sideEffects.flatMap((path) => /^\.\/dist\/(.*)\.js$/.exec(path)?.[1] ?? []));
}

/** The source that a relative import names, as a path below the root. */
function sourceOf(importer: string, specifier: string): string {
  const path = resolve(dirname(importer), specifier).replace(/\.js$/, '');
  const found = [`${path}.ts`, join(path, 'index.ts')].find((file) => existsSync(file));
  if (!found) throw new Error(`${relative(root, importer)} imports '${specifier}', which is no source`);
  return relative(root, found);
}

/** Notes `@__PURE__` before the calls that make the values of a module, and shortens its WGSL (in shaders/). */
export function prepare(path: string, text: string, options: { pure: boolean; wgsl: boolean }): MagicString {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const out = new MagicString(text);
  if (options.pure)
    for (const statement of file.statements) {
      if (ts.isVariableStatement(statement))
        for (const { initializer } of statement.declarationList.declarations)
          if (initializer) notePure(initializer, out);
      // A base class that is made by a call, such as `extends applying(relu)`.
      if (ts.isClassDeclaration(statement))
        for (const { types } of statement.heritageClauses ?? [])
          for (const { expression } of types) notePure(expression, out);
    }
  if (options.wgsl) shorten(file, out);
  return out;
}

/** Bundlers know of a call that is noted, but not of sums and of texts with values in them: such values are made in a call. */
function notePure(node: ts.Node, out: MagicString): void {
  if (ts.isFunctionLike(node) || ts.isTypeNode(node)) return;
  if (ts.isTaggedTemplateExpression(node) || ts.isTemplateExpression(node) || isSum(node)) {
    out.appendRight(node.getStart(), '/* @__PURE__ */ (() => ');
    out.appendLeft(node.getEnd(), ')()');
    return;
  }
  if (ts.isCallExpression(node) || ts.isNewExpression(node)) out.appendRight(node.getStart(), '/* @__PURE__ */ ');
  ts.forEachChild(node, (child) => notePure(child, out));
}

/** Whether it computes with more than numbers that are written out. */
function isSum(node: ts.Node): boolean {
  const written = (part: ts.Node): boolean =>
    ts.isBinaryExpression(part) ? written(part.left) && written(part.right) : ts.isLiteralExpression(part);
  return ts.isBinaryExpression(node) && !written(node);
}

/** Templates of several lines are WGSL: everything else in shaders/ fits one. */
function shorten(node: ts.Node, out: MagicString): void {
  if (ts.isNoSubstitutionTemplateLiteral(node)) rewrite([node], out);
  if (ts.isTemplateExpression(node)) rewrite([node.head, ...node.templateSpans.map(({ literal }) => literal)], out);
  ts.forEachChild(node, (child) => shorten(child, out));
}

function rewrite(literals: readonly ts.Node[], out: MagicString): void {
  // The raw text, between what delimits it: ` or } before, ` or ${ behind.
  const raw = literals.map((literal) =>
    literal
      .getText()
      .replace(/^[`}]/, '')
      .replace(/(`|\$\{)$/, ''),
  );
  if (!raw.some((piece) => piece.includes('\n'))) return;
  for (const [i, short] of minifyWgsl(raw).entries()) {
    const start = literals[i]!.getStart() + 1;
    const length = raw[i]!.length;
    if (short !== raw[i]) out.update(start, start + length, short);
  }
}

/** Prepared sources, for the next bundle of the same process. */
const ready = new Map<string, { text: string; contents: string }>();

/** Prepares the sources of the library. */
export const prepared = () => ({
  name: 'prepared sources',
  setup: ({ onLoad }: Build) => {
    const [list, library] = [effects(), modules()];
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const below = relative(root, path);
      if (!library.has(below)) return;
      const text = readFileSync(path, 'utf8');
      let found = ready.get(path);
      if (found?.text !== text) {
        const pure = !list.has(below.replace(/\.ts$/, ''));
        const out = prepare(path, text, { pure, wgsl: below.startsWith('shaders') });
        const map = out.generateMap({ hires: 'boundary', source: path, includeContent: true }).toUrl();
        found = { text, contents: `${out.toString()}\n//# sourceMappingURL=${map}` };
        ready.set(path, found);
      }
      return { contents: found.contents, loader: 'ts' };
    });
  },
});

/** Leaves the library's modules outside of the file that imports them. `from`: the folder in dist/ of the files, where it is not that of the source. */
export const unbundled = (from?: string) => ({
  name: 'unbundled modules',
  setup: ({ onResolve }: Build) => {
    const [list, library] = [effects(), modules()];
    onResolve({ filter: /^\./ }, ({ path, importer, kind }) => {
      if (kind === 'entry-point' || !importer.endsWith('.ts') || path.endsWith('.mjs')) return;
      const source = sourceOf(importer, path);
      if (!library.has(source)) return;
      const name = source.replace(/\.ts$/, '');
      const place = relative(from ?? dirname(relative(root, importer)), `${name}.js`)
        .split(sep)
        .join('/');
      return { path: place.startsWith('.') ? place : `./${place}`, external: true, sideEffects: list.has(name) };
    });
  },
});
