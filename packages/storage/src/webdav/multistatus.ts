/**
 * The answer to PROPFIND: what a server tells of files and directories. Read as it goes by, without a tree; no document
 * types, few levels.
 * Format: RFC 4918, 14.16. Proof: test/webdav-multistatus.test.ts.
 * @module
 */
import { SaxesParser } from "saxes";
import { invalidAnswer } from "../http/invalid-answer.ts";

export interface DavResource {
  /** Decoded, without a slash at its end. */
  readonly path: string;
  readonly isDirectory: boolean;
  readonly length: number | undefined;
  /** Milliseconds since 1970; whole seconds, as HTTP has them. */
  readonly modifiedAtMs: number | undefined;
}

const maxDepth = 16;
const maxValueLength = 4096;

interface Properties {
  isDirectory: boolean;
  length: number | undefined;
  modifiedAtMs: number | undefined;
}

const noProperties = (): Properties => ({
  isDirectory: false,
  length: undefined,
  modifiedAtMs: undefined,
});

/**
 * The resources of an answer, in its order.
 * @throws {StorageError} `DM_STORE_ANSWER_INVALID` when it is none
 */
export function parseMultistatus(bytes: Uint8Array): DavResource[] {
  const resources: DavResource[] = [];
  const open: string[] = [];
  let href = "";
  let refused = false;
  let properties = noProperties();
  let found = noProperties();
  let status = "";
  let text = "";
  // The parser's own messages quote the text; the answer of a stranger does not belong into a log.
  const refuse = (reason: string): never => {
    throw invalidAnswer(`no XML that a WebDAV server writes: ${reason}`, bytes);
  };
  const parser = new SaxesParser({ position: false });
  parser.on("error", () => refuse("not well-formed"));
  parser.on("doctype", () => refuse("it has a document type"));
  parser.on("opentag", (tag) => {
    const name = localName(tag.name);
    if (open.length === 0 && name !== "multistatus") refuse("no multistatus");
    if (open.length >= maxDepth) refuse("too deep");
    if (name === "response") {
      href = "";
      refused = false;
      properties = noProperties();
    } else if (name === "propstat") {
      found = noProperties();
      status = "";
    } else if (name === "collection" && open.at(-1) === "resourcetype") found.isDirectory = true;
    text = "";
    open.push(name);
  });
  const add = (piece: string): void => {
    if (text.length + piece.length > maxValueLength) {
      // Properties that were not asked for may be long; these are not.
      if (open.at(-1) === "href") refuse("a name is too long");
      return;
    }
    text += piece;
  };
  parser.on("text", add);
  parser.on("cdata", add);
  parser.on("closetag", () => {
    const name = open.pop();
    const value = text.trim();
    text = "";
    if (name === "href" && open.at(-1) === "response") href = value;
    else if (name === "getcontentlength") found.length = lengthOf(value);
    else if (name === "getlastmodified") found.modifiedAtMs = timeOf(value);
    else if (name === "status") {
      if (open.at(-1) === "response") refused = !isSuccess(value);
      else status = value;
    } else if (name === "propstat") {
      if (status === "" || isSuccess(status)) properties = merged(properties, found);
    } else if (name === "response" && !refused) {
      const path = pathOf(href);
      if (path === undefined) refuse("a name cannot be read");
      else resources.push({ path, ...properties });
    }
  });
  parser.write(new TextDecoder().decode(bytes)).close();
  return resources;
}

const localName = (name: string): string => name.slice(name.indexOf(":") + 1).toLowerCase();

const isSuccess = (status: string): boolean => /^HTTP\/\S+ 2\d\d\b/i.test(status);

const merged = (one: Properties, other: Properties): Properties => ({
  isDirectory: one.isDirectory || other.isDirectory,
  length: one.length ?? other.length,
  modifiedAtMs: one.modifiedAtMs ?? other.modifiedAtMs,
});

const lengthOf = (text: string): number | undefined =>
  /^\d{1,15}$/.test(text) ? Number(text) : undefined;

function timeOf(text: string): number | undefined {
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** Servers give whole URLs or paths. */
function pathOf(href: string): string | undefined {
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/]*(.*)$/i.exec(href)?.[1] ?? href;
  if (!path.startsWith("/") && path !== "") return undefined;
  try {
    return decodeURIComponent(path).replace(/\/+$/, "");
  } catch {
    return undefined;
  }
}
