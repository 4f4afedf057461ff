/**
 * The XML of S3 and Azure: small trees without attributes that matter. Strict, and bounded: no document types, no entities but
 * the five of XML, few levels, as many elements as a full page of versions has.
 * Proof: test/s3-xml.test.ts.
 * @module
 */
import { SaxesParser } from "saxes";
import { invalidAnswer } from "./invalid-answer.ts";

export interface XmlElement {
  /** Without its prefix. */
  readonly name: string;
  /** All text directly inside. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  name: string;
  text: string;
  children: OpenElement[];
}

const maxDepth = 8;
const maxElements = 50_000;

/**
 * The root element of an answer.
 * @throws {StorageError} `DM_STORE_ANSWER_INVALID` when it is no XML, or more than an answer has
 */
export function parseXml(bytes: Uint8Array): XmlElement {
  const root: OpenElement = { name: "", text: "", children: [] };
  const open: OpenElement[] = [root];
  let count = 0;
  // The parser's own messages quote the text; the answer of a stranger does not belong into a log.
  const refuse = (reason: string): never => {
    throw invalidAnswer(`no XML that such a server writes: ${reason}`, bytes);
  };
  const parser = new SaxesParser({ position: false });
  parser.on("error", () => refuse("not well-formed"));
  parser.on("doctype", () => refuse("it has a document type"));
  parser.on("opentag", (tag) => {
    count += 1;
    if (open.length > maxDepth) refuse("too deep");
    if (count > maxElements) refuse("too many elements");
    const element = { name: tag.name.slice(tag.name.indexOf(":") + 1), text: "", children: [] };
    open.at(-1)!.children.push(element);
    open.push(element);
  });
  parser.on("text", (text) => {
    open.at(-1)!.text += text;
  });
  parser.on("cdata", (text) => {
    open.at(-1)!.text += text;
  });
  parser.on("closetag", () => {
    open.pop();
  });
  parser.write(new TextDecoder().decode(bytes)).close();
  const [found] = root.children;
  return found ?? refuse("it is empty");
}

/** Text of the first child of that name, or undefined. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** Text as the content of an element. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
