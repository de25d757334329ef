// What an editor shows of names of the package: the language service on a small program that imports it.
import { join } from 'node:path';
import ts from 'typescript';

const options: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  strict: true,
  types: [],
};

/** The comments shown at the names marked by @ in `expressions`, which a program in `folder` with the imports `head` would hold. */
export function quickInfo(folder: string, head: string, expressions: readonly string[]): Map<string, string> {
  const file = join(folder, 'quick-info.mts');
  const at = new Map<string, number>();
  let text = head;
  for (const expression of expressions) {
    at.set(expression, text.length + expression.indexOf('@'));
    text += `${expression.replace('@', '')};\n`;
  }
  const service = ts.createLanguageService({
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: ts.sys.realpath,
    getCompilationSettings: () => options,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const content = name === file ? text : ts.sys.readFile(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
  });
  const shown = (position: number) =>
    ts.displayPartsToString(service.getQuickInfoAtPosition(file, position)?.documentation ?? []);
  return new Map([...at].map(([expression, position]) => [expression, shown(position)]));
}
