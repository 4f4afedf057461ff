/**
 * The little XML that S3 speaks. Written with everything escaped; read strictly and within bounds: no document types, no
 * entities but the five and numbers, no processing instructions, no text beside elements.
 * Proof: test/testing-s3-formats.test.ts.
 * @module
 */
import { refuse } from "./refusal.ts";

/** A finished piece of XML, which is not escaped again. */
export interface Xml {
  readonly xml: string;
}

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

// Control characters have no place in XML 1.0, escaped or not; S3 sends them as references all the same, which is why
// clients ask for `encoding-type=url`. So do we, rather than lose them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
const special = /[&<>"'\u0000-\u001f\u007f]/g;
const names: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escaped = (text: string): string =>
  text.replace(special, (found) => names[found] ?? `&#x${found.charCodeAt(0).toString(16)};`);

/** An element; texts are escaped, undefined children left out. */
export function tag(
  name: string,
  ...children: ReadonlyArray<Xml | string | number | boolean | undefined>
): Xml {
  let inner = "";
  for (const child of children) {
    if (child === undefined) continue;
    inner += typeof child === "object" ? child.xml : escaped(String(child));
  }
  return { xml: `<${name}>${inner}</${name}>` };
}

/** A whole document whose root has this name; errors carry no namespace. */
export function xmlDocument(name: string, ...children: ReadonlyArray<Xml | undefined>): string {
  const attribute = name === "Error" ? "" : ` xmlns="${namespace}"`;
  const inner = children.map((child) => child?.xml ?? "").join("");
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name}${attribute}>${inner}</${name}>`;
}

/** An element that was read: either it has children or a text. Names are without their prefix. */
export interface XmlElement {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

const maxDepth = 8;
const maxElements = 10_000;
const nameAt = /[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?/y;
const attributeAt = /\s+[A-Za-z_][\w.:-]*\s*=\s*(?:"[^"<]*"|'[^'<]*')/y;

const malformed = (why: string): Error => refuse("MalformedXML", `The XML is not valid: ${why}.`);

/** Reads a document whose root must be `rootName`. */
export function parseXml(bytes: Uint8Array, rootName: string): XmlElement {
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("it is not UTF-8");
  }
  let at = 0;
  let elements = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const skip = (start: string, end: string): boolean => {
    if (!source.startsWith(start, at)) return false;
    const close = source.indexOf(end, at + start.length);
    if (close < 0) throw malformed(`${start} has no end`);
    at = close + end.length;
    return true;
  };
  const skipBetween = (): void => {
    do match(/\s+/y);
    while (skip("<!--", "-->"));
  };

  const element = (depth: number): XmlElement => {
    if (depth > maxDepth) throw malformed("elements are nested too deeply");
    elements += 1;
    if (elements > maxElements) throw malformed("it has too many elements");
    if (source[at] !== "<") throw malformed("an element was expected");
    at += 1;
    const full = match(nameAt);
    if (full === undefined) throw malformed("an element has no name");
    while (match(attributeAt) !== undefined);
    match(/\s+/y);
    const read: XmlElement = { name: full.slice(full.indexOf(":") + 1), children: [], text: "" };
    if (source.startsWith("/>", at)) {
      at += 2;
      return read;
    }
    if (source[at] !== ">") throw malformed(`the tag of ${full} does not end`);
    at += 1;
    for (;;) {
      if (at >= source.length) throw malformed(`${full} is not closed`);
      if (source.startsWith("</", at)) {
        at += 2;
        if (match(nameAt) !== full) throw malformed(`${full} is closed by another name`);
        match(/\s+/y);
        if (source[at] !== ">") throw malformed(`the end of ${full} does not end`);
        at += 1;
        break;
      }
      const begin = at;
      if (skip("<!--", "-->")) continue;
      if (skip("<![CDATA[", "]]>")) read.text += source.slice(begin + 9, at - 3);
      else if (source[at] === "<") read.children.push(element(depth + 1));
      else read.text += unescaped(match(/[^<]+/y) as string);
    }
    if (read.children.length > 0) {
      if (read.text.trim() !== "") throw malformed(`${full} has text beside elements`);
      read.text = "";
    }
    return read;
  };

  if (source.startsWith("<?xml ")) skip("<?xml ", "?>");
  skipBetween();
  const root = element(1);
  skipBetween();
  if (at !== source.length) throw malformed("something follows the root");
  if (root.name !== rootName) throw malformed(`${rootName} was expected, not ${root.name}`);
  return root;
}

const entities: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function unescaped(text: string): string {
  return text.replace(/&([^;&]{0,10};?)/g, (_whole, name: string) => {
    if (!name.endsWith(";")) throw malformed("a bare &");
    const body = name.slice(0, -1);
    const number = /^#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}))$/.exec(body);
    if (number) {
      const code = number[1] ? Number.parseInt(number[1], 16) : Number(number[2]);
      if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        throw malformed("a reference to no character");
      return String.fromCodePoint(code);
    }
    const character = entities[body];
    if (character === undefined) throw malformed("an unknown entity");
    return character;
  });
}

/** The text of the only child of this name; undefined when there is none. */
export function childText(parent: XmlElement, name: string): string | undefined {
  return onlyChild(parent, name)?.text;
}

/** The only child of this name; undefined when there is none, refused when there are two. */
export function onlyChild(parent: XmlElement, name: string): XmlElement | undefined {
  const found = parent.children.filter((child) => child.name === name);
  if (found.length > 1) throw malformed(`${parent.name} has several ${name}`);
  return found[0];
}

/** Refuses children with other names. */
export function checkChildren(parent: XmlElement, ...names: readonly string[]): void {
  for (const { name } of parent.children)
    if (!names.includes(name)) throw malformed(`${parent.name} has an unknown ${name}`);
}
