/**
 * The imports of a TypeScript file, read from its syntax tree, and where they lead inside the workspace.
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import type { Workspace } from "./workspace.ts";

export interface Import {
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type … from`, `import("x").T`. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Static, dynamic and type imports, re-exports, `require` and `import.meta.resolve` of a literal. */
export function importsOf(text: string, path = "file.ts"): Import[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false);
  const found: Import[] = [];
  const add = (literal: ts.Node | undefined, typeOnly: boolean): void => {
    if (!literal || !ts.isStringLiteralLike(literal)) return;
    const line = source.getLineAndCharacterOfPosition(literal.pos).line + 1;
    found.push({ specifier: literal.text, typeOnly, line });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      if (ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression;
      const loads =
        callee.kind === ts.SyntaxKind.ImportKeyword ||
        (ts.isIdentifier(callee) && callee.text === "require") ||
        (ts.isPropertyAccessExpression(callee) &&
          ts.isMetaProperty(callee.expression) &&
          callee.name.text === "resolve");
      if (loads) add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

export const importsOfFile = (path: string): Import[] =>
  importsOf(readFileSync(path, "utf8"), path);

/** `@scope/name` or `name` of a bare specifier; undefined for relative paths and Node's modules. */
export function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith(".") || specifier.startsWith("/") || specifier.startsWith("node:")) {
    return undefined;
  }
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Source file behind an entry of a package's `exports`, "." or "./name"; undefined when it has no source condition. */
export function entrySource(of: Workspace, entry: string): string | undefined {
  const target = of.manifest.exports?.[entry];
  if (target === undefined || typeof target === "string") return undefined;
  const source = target["@dm/source"];
  return source === undefined ? undefined : join(of.folder, source);
}

export interface Reached {
  readonly specifier: string;
  /** Files from the entry to the one with the import. */
  readonly path: readonly string[];
}

/**
 * Everything that running `entry` may load, across packages of the workspace: the specifiers that leave it (Node's
 * modules, packages of others). Imports that the compiler erases are not followed.
 */
export function reachedFrom(entry: string, all: readonly Workspace[]): Reached[] {
  const outside: Reached[] = [];
  const seen = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const here = [...path, file];
    for (const { specifier, typeOnly } of importsOfFile(file)) {
      if (typeOnly) continue;
      if (specifier.startsWith(".")) {
        const target = join(dirname(file), specifier);
        if (!existsSync(target))
          throw new Error(`${file} imports ${specifier}, which is not there`);
        if (target.endsWith(".ts")) walk(target, here);
        continue;
      }
      const owner = all.find(({ manifest }) => manifest.name === packageOf(specifier));
      const source = owner && entrySource(owner, `.${specifier.slice(owner.manifest.name.length)}`);
      if (source) walk(source, here);
      else outside.push({ specifier, path: here });
    }
  };
  walk(entry, []);
  return outside;
}
