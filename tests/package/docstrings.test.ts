// Every name that the package exports says what it is, and so does every public member of its classes and interfaces: what an editor shows.
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { docOf } from '../../scripts/publish/docs.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const entry = join(root, 'src/index.node.ts');
const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [entry] }, ts.sys, root);
const program = ts.createProgram([entry], { ...options, incremental: false, tsBuildInfoFile: undefined });
const checker = program.getTypeChecker();

const isOwn = (node: ts.Node) => !node.getSourceFile().fileName.includes('node_modules');
const place = (node: ts.Node) => {
  const file = node.getSourceFile();
  return `${relative(root, file.fileName)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
};

/** Whether a member is no part of the public surface, or is a module in a field, which its own class describes. */
function isExempt(member: ts.Symbol, node: ts.Node): boolean {
  if (!isOwn(node) || member.name.startsWith('__') || member.name.includes('#')) return true;
  if (member.getJsDocTags().some(({ name }) => name === 'internal')) return true;
  if (
    ts.getCombinedModifierFlags(node as ts.Declaration) &
    (ts.ModifierFlags.Private | ts.ModifierFlags.Protected | ts.ModifierFlags.Static)
  )
    return true;
  const type = checker.getNonNullableType(checker.getTypeOfSymbolAtLocation(member, node));
  return ts.isPropertyDeclaration(node) && !!type.getProperty('namedParameters');
}

/** What a class or an interface has, inherited members included; of a type alias the fields of its literal. */
function membersOf(declaration: ts.Declaration): ts.Symbol[] {
  if (ts.isTypeAliasDeclaration(declaration) && !ts.isTypeLiteralNode(declaration.type)) return [];
  const isKind =
    ts.isClassDeclaration(declaration) ||
    ts.isInterfaceDeclaration(declaration) ||
    ts.isTypeAliasDeclaration(declaration);
  return isKind ? checker.getTypeAtLocation(declaration).getProperties() : [];
}

const seen = new Set<ts.Symbol | ts.Node>();
const missing = new Set<string>();

function tell(symbol: ts.Symbol, name: string, node: ts.Node): void {
  if (!docOf(checker, symbol)) missing.add(`${name} (${place(node)})`);
}

function visit(symbol: ts.Symbol, path: string): void {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const [node] = target.declarations ?? [];
  if (seen.has(target) || !node || !isOwn(node)) return;
  seen.add(target);
  if (target.flags & ts.SymbolFlags.Module) {
    for (const inner of checker.getExportsOfModule(target)) visit(inner, `${path}.${inner.name}`);
    return;
  }
  tell(target, path, node);
  for (const declaration of target.declarations ?? [])
    for (const member of membersOf(declaration)) {
      const [at] = member.declarations ?? [];
      if (!at || seen.has(at) || isExempt(member, at)) continue;
      seen.add(at);
      tell(member, `${path}.${member.name}`, at);
    }
}

test('exports and their members have docstrings', () => {
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!);
  for (const symbol of exported) visit(symbol, symbol.name);
  assert.ok(seen.size > 2000, `only ${seen.size} names were found`);
  assert.is(missing.size, 0, `${missing.size} of ${seen.size} names have no docstring:\n${[...missing].join('\n')}`);
});

test('no comment begins as Markdown defines a link, which editors and typedoc do not show', () => {
  const sources = program
    .getSourceFiles()
    .filter(({ fileName }) => fileName.startsWith(root) && !fileName.includes('node_modules'));
  assert.ok(sources.length > 100);
  for (const { fileName, text } of sources)
    assert.not.match(text, /^\s*(\/\*)?\* \[[^\]\n]*\]: /m, relative(root, fileName));
});

test.run();
