/** The texts in a source that may come before people: sentences in string literals and templates, "…" for what is put in. */
import ts from "typescript";

export function failureTexts(source: string, file: string): string[] {
  const parsed = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    const whole = wholeText(node);
    if (whole === undefined) {
      ts.forEachChild(node, visit);
      return;
    }
    if (!isLogged(node) && !ts.isLiteralTypeNode(node.parent) && isSentence(whole))
      found.add(whole);
    // What is put in may be a sentence of its own.
    for (const part of partsOf(node))
      if (ts.isTemplateExpression(part))
        for (const { expression } of part.templateSpans) visit(expression);
  };
  visit(parsed);
  return [...found];
}

/** Of literals, templates, and literals that are joined by `+`. */
function wholeText(node: ts.Node): string | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (ts.isTemplateExpression(node))
    return [node.head.text, ...node.templateSpans.map(({ literal }) => `…${literal.text}`)].join(
      "",
    );
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const texts = partsOf(node).map(wholeText);
    return texts.every((text) => text !== undefined) ? texts.join("") : undefined;
  }
  return undefined;
}

function partsOf(node: ts.Node): ts.Node[] {
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return [...partsOf(node.left), ...partsOf(node.right)];
  return [node];
}

/** Two words at least, apart from what is put in. */
function isSentence(text: string): boolean {
  return text.split(/\s+/).filter((word) => /^[(["']?[A-Za-z][a-z]{1,}/.test(word)).length >= 2;
}

/** The first argument of a call of a logger. */
function isLogged(node: ts.Node): boolean {
  const call = node.parent;
  return (
    ts.isCallExpression(call) &&
    call.arguments[0] === node &&
    /\blog(ger)?\??\.(debug|info|warn|error)$/.test(call.expression.getText())
  );
}
