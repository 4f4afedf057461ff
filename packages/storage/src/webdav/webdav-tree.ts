/**
 * Files on a WebDAV server.
 * Proof: test/webdav-faults.test.ts, test/webdav.rclone.test.ts.
 * @module
 */
import {
  NotFoundError,
  StorageError,
  systemClock,
  systemRandomBytes,
  toHex,
  utf8Encode,
} from "@dm/core";
import { answerIncomplete, type HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { parseContentRange } from "../http/ranged-get.ts";
import type { FileFacts, FileTree, TreePath, TreeReadOptions } from "../sharded-store.ts";
import { type DavResource, parseMultistatus } from "./multistatus.ts";
import type { DavClient, DavRequest } from "./webdav-client.ts";

export interface WebdavTreeOptions {
  readonly client: DavClient;
  /** Path of the URL, as it is spelled there, without a slash at its end. */
  readonly basePath: string;
  /** Whether a put may go to its name at once. */
  readonly atomicWrites: boolean;
  readonly maxBlobBytes: number;
}

/** About 100,000 files in one directory: a flat repository should have shards long before. */
const maxListBytes = 64 << 20;

/** How long a server that replaces a file may have none. */
const replacementMs = 100;

const wantedProperties = utf8Encode(
  '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>' +
    "<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>",
);

export function webdavTree(options: WebdavTreeOptions): FileTree {
  const { atomicWrites, basePath, client, maxBlobBytes } = options;
  const located = (path: TreePath): string => [basePath, ...path.map(encodeURIComponent)].join("/");
  const directory = (path: TreePath): string => `${located(path)}/`;

  /** Undefined when it is not there. */
  async function describe(
    path: string,
    depth: "0" | "1",
    signal: AbortSignal | undefined,
  ): Promise<DavResource[] | undefined> {
    const request: DavRequest = {
      method: "PROPFIND",
      path,
      headers: { depth, "content-type": "application/xml; charset=utf-8" },
      body: wantedProperties,
      signal,
      maxBodyBytes: maxListBytes,
    };
    const response = await client.send(request);
    if (response.status === 404) return undefined;
    // A page for people answers with 200; its text tells what it is.
    if (response.status === 207 || response.status === 200) return parseMultistatus(response.body);
    throw client.refusal(request, response);
  }

  async function hasRoot(signal: AbortSignal | undefined): Promise<boolean> {
    return (await describe(`${basePath}/`, "0", signal)) !== undefined;
  }

  /** @throws {NotFoundError} `DM_STORE_NOT_FOUND` */
  async function requireRoot(signal: AbortSignal | undefined): Promise<void> {
    if (await hasRoot(signal)) return;
    const where = `${client.origin}${basePath}/`;
    const text = `cannot access storage path ${where}: there is no such directory on the server`;
    throw new NotFoundError("DM_STORE_NOT_FOUND", text, { path: where });
  }

  /**
   * Where a put is a move, servers may remove the old file first (RFC 4918, 9.9.3) and have none for a moment: what is not
   * there is looked for twice.
   */
  async function lookedForTwice<Found>(
    look: () => Promise<Found | undefined>,
    signal: AbortSignal | undefined,
  ): Promise<Found | undefined> {
    const found = await look();
    if (found !== undefined || atomicWrites) return found;
    await systemClock.sleep(replacementMs, { signal });
    return look();
  }

  /** True when it was made, false when something above it is missing. */
  async function makeCollection(path: string, signal: AbortSignal | undefined): Promise<boolean> {
    const request: DavRequest = { method: "MKCOL", path, signal };
    const response = await client.send(request);
    const { status } = response;
    if (status === 201 || status === 200 || status === 405) return true;
    if (status === 409 || status === 404) return false;
    throw client.refusal(request, response);
  }

  /** Only below the root: what is missing above it was not meant to be there. */
  async function makeDirectories(path: TreePath, signal: AbortSignal | undefined): Promise<void> {
    for (let depth = 1; depth <= path.length; depth++) {
      if (!(await makeCollection(directory(path.slice(0, depth)), signal)))
        await requireRoot(signal);
    }
  }

  async function makeRootAt(path: string, signal: AbortSignal | undefined): Promise<boolean> {
    if (path === "" || (await makeCollection(`${path}/`, signal))) return true;
    if (!(await makeRootAt(path.slice(0, path.lastIndexOf("/")), signal))) return false;
    return makeCollection(`${path}/`, signal);
  }

  /**
   * Servers say 201 or 204 to what they have stored or removed. Any other success may be that of a proxy in their place: it counts
   * when the file has this length now, or is gone.
   */
  async function confirm(
    { body, status }: HttpResponse,
    path: string,
    expectedBytes: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (status === 201 || status === 204) return;
    const facts = await factsAt(path, signal);
    if (facts?.length !== expectedBytes) {
      throw invalidAnswer(`status ${status}, and nothing was done`, body);
    }
  }

  async function putFile(
    at: string,
    directories: TreePath,
    data: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const headers = { "content-type": "application/octet-stream" };
    const request: DavRequest = { method: "PUT", path: at, headers, body: data, signal };
    let response = await client.send(request);
    // Servers say in several ways that the directory is not there.
    if ([403, 404, 409].includes(response.status)) {
      if (directories.length > 0) await makeDirectories(directories, signal);
      else await requireRoot(signal);
      response = await client.send(request);
    }
    if (response.status < 200 || response.status > 299) throw client.refusal(request, response);
    await confirm(response, at, data.length, signal);
  }

  async function readOnce(path: string, options: TreeReadOptions): Promise<Uint8Array | undefined> {
    const { length, offset, rangeError, signal } = options;
    const ranged = offset > 0 || length !== undefined;
    const last = length === undefined ? "" : String(offset + length - 1);
    const request: DavRequest = {
      method: "GET",
      path,
      headers: ranged ? { range: `bytes=${offset}-${last}` } : {},
      signal,
      maxBodyBytes: maxBlobBytes,
    };
    const response = await client.send(request);
    const { body, status } = response;
    if (status === 404) return undefined;
    if (status === 416 && ranged) {
      const facts = await factsAt(path, signal);
      if (!facts) return undefined;
      if (length === undefined && offset === facts.length) return new Uint8Array(0);
      throw rangeError(offset, length ?? 0, facts.length);
    }
    if (status === 206 && ranged) {
      const served = parseContentRange(response.header("content-range"));
      if (served && served.from !== offset) throw wrongRange(path);
      if (body.length === length) return body;
      if (length !== undefined && body.length > length) throw wrongRange(path);
      const total = served?.total ?? (await factsAt(path, signal))?.length ?? 0;
      if (length === undefined && offset + body.length === total) return body;
      if (length !== undefined && offset + length > total) throw rangeError(offset, length, total);
      throw answerIncomplete(`${body.length} bytes of ${path} from ${offset} on`);
    }
    if (status !== 200) throw client.refusal(request, response);
    if (!ranged) return body;
    // A server without ranges gives the whole.
    const end = length === undefined ? body.length : offset + length;
    if (offset > body.length || end > body.length)
      throw rangeError(offset, length ?? 0, body.length);
    return body.slice(offset, end);
  }

  async function factsAt(path: string, signal: AbortSignal | undefined) {
    const [found] = (await describe(path, "0", signal)) ?? [];
    return found && !found.isDirectory ? factsOf(found) : undefined;
  }

  return {
    async makeRoot({ signal }) {
      if (await hasRoot(signal)) return;
      await makeRootAt(basePath, signal);
      await requireRoot(signal);
    },

    async read(path, options) {
      const at = located(path);
      const bytes = await lookedForTwice(() => readOnce(at, options), options.signal);
      if (bytes === undefined) await requireRoot(options.signal);
      return bytes;
    },

    async write(path, data, { signal }) {
      const target = located(path);
      const directories = path.slice(0, -1);
      if (atomicWrites) {
        await putFile(target, directories, data, signal);
        return true;
      }
      const temporary = `${target}.tmp.${toHex(systemRandomBytes(8))}`;
      try {
        await putFile(temporary, directories, data, signal);
        const headers = { destination: client.origin + target, overwrite: "T" };
        const request: DavRequest = { method: "MOVE", path: temporary, headers, signal };
        const response = await client.send(request);
        if (![200, 201, 204].includes(response.status)) throw client.refusal(request, response);
        await confirm(response, target, data.length, signal);
      } catch (error) {
        // A name that stays is never read: not worth a wait.
        client.send({ method: "DELETE", path: temporary }).catch(() => undefined);
        throw error;
      }
      return true;
    },

    async remove(path, { signal }) {
      const request: DavRequest = { method: "DELETE", path: located(path), signal };
      const response = await client.send(request);
      if (response.status === 404) await requireRoot(signal);
      else if (![200, 202, 204].includes(response.status)) throw client.refusal(request, response);
      else await confirm(response, request.path, undefined, signal);
    },

    async stat(path, { signal }) {
      const at = located(path);
      const facts = await lookedForTwice(() => factsAt(at, signal), signal);
      if (facts === undefined) await requireRoot(signal);
      return facts;
    },

    async list(path, { signal }) {
      const at = directory(path);
      const found = await describe(at, "1", signal);
      if (found === undefined) {
        if (path.length === 0) await requireRoot(signal);
        return undefined;
      }
      return children(found, decodeURIComponent(located(path))).map((resource) => ({
        name: resource.path.slice(resource.path.lastIndexOf("/") + 1),
        isDirectory: resource.isDirectory,
        facts: resource.isDirectory ? undefined : factsOf(resource),
      }));
    },

    async capacity() {
      return undefined;
    },

    close: () => client.close(),
  };
}

/** All but the directory itself, which a proxy in front may call by another name: then it is the shortest. */
function children(found: readonly DavResource[], own: string): DavResource[] {
  let self = found.findIndex(({ path }) => path === own);
  if (self < 0) {
    const lengths = found.map(({ path }) => path.length);
    self = lengths.indexOf(Math.min(...lengths));
  }
  return found.filter(({ path }, index) => index !== self && !/\/\.{1,2}$/.test(path));
}

function factsOf({ length, modifiedAtMs, path }: DavResource): FileFacts {
  if (length !== undefined && modifiedAtMs !== undefined) {
    return { length, timestampNs: BigInt(modifiedAtMs) * 1_000_000n };
  }
  const text = `the server tells neither length nor time of ${path}: it cannot hold a repository`;
  throw new StorageError("DM_STORE_ANSWER_INVALID", text, { path });
}

function wrongRange(path: string): StorageError {
  const text = `${path}: the server gives another range than it was asked for`;
  return new StorageError("DM_STORE_ANSWER_INVALID", text, { path });
}
