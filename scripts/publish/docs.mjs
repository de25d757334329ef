// What editors show of the published types. TypeScript writes no comment for a method of Tensor that a mapped type makes of a function: it is written
// here, from the comment of the function.
import ts from 'typescript';

/**
 * What the source says of a name; of a shorthand, what is said of the value. '' where it says nothing.
 * @param {ts.TypeChecker} checker @param {ts.Symbol} symbol @returns {string}
 */
export function docOf(checker, symbol) {
  const own = ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim();
  const node = symbol.valueDeclaration;
  if (own || !node) return own;
  if (!ts.isShorthandPropertyAssignment(node)) return '';
  const value = checker.getShorthandAssignmentValueSymbol(node);
  if (!value) return '';
  return docOf(checker, value.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(value) : value);
}

/** @template {ts.Node} T @param {T} node @param {string} doc @returns {T} */
function commented(node, doc) {
  if (!doc) return node;
  const lines = doc.split('\n');
  const text = lines.length > 1 ? `*\n${lines.map((line) => ` * ${line}`).join('\n')}\n ` : `* ${doc} `;
  return ts.addSyntheticLeadingComment(node, ts.SyntaxKind.MultiLineCommentTrivia, text, true);
}

/**
 * A transformer of declarations that writes these comments.
 * @param {ts.TypeChecker} checker @returns {ts.TransformerFactory<ts.SourceFile | ts.Bundle>}
 */
export const withDocs = (checker) => (context) => (file) => {
  /** @param {ts.Node} node @returns {ts.Node} */
  const visit = (node) => {
    if (ts.isModuleDeclaration(node) || ts.isModuleBlock(node)) return ts.visitEachChild(node, visit, context);
    if (ts.isInterfaceDeclaration(node) && node.heritageClauses && !node.members.length)
      return spelledOut(checker, context.factory, node);
    return node;
  };
  return ts.visitEachChild(file, visit, context);
};

/**
 * An interface that extends mapped types (the methods of Tensor), with their properties by name: `exp: UnaryMethods['exp']`.
 * @param {ts.TypeChecker} checker @param {ts.NodeFactory} factory @param {ts.InterfaceDeclaration} node
 */
function spelledOut(checker, factory, node) {
  const original = /** @type {ts.InterfaceDeclaration} */ (ts.getOriginalNode(node));
  const mapped = (original.heritageClauses ?? [])
    .flatMap(({ types }) => types)
    .map((parent) => ({ parent, type: checker.getTypeAtLocation(parent) }))
    .filter(({ type }) => !type.isClassOrInterface());
  const docs = new Map(mapped.flatMap(({ type }) => type.getProperties()).map((p) => [p.name, docOf(checker, p)]));
  const members = mapped.flatMap(({ parent, type }) =>
    type.getProperties().map(({ name }) => {
      const base = docs.get(name.replace(/_$/, ''));
      const doc = docs.get(name) || (base && `In place, and returns x: ${base}`);
      const from = factory.createTypeReferenceNode(parent.expression.getText());
      const key = factory.createLiteralTypeNode(factory.createStringLiteral(name, true));
      const own = factory.createPropertySignature(
        undefined,
        name,
        undefined,
        factory.createIndexedAccessTypeNode(from, key),
      );
      return commented(own, doc ?? '');
    }),
  );
  return members.length
    ? factory.updateInterfaceDeclaration(
        node,
        node.modifiers,
        node.name,
        node.typeParameters,
        node.heritageClauses,
        members,
      )
    : node;
}
