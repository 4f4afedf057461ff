// A WebDAV server with its files in memory: as much as a store needs, moves in one step, with faults on demand.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface DavFault {
  /** The answer in place of the work. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The status of work that was done, in place of the usual one. */
  readonly says?: number;
  /** The connection is cut: before the work, after it, or in the middle of the answer. */
  readonly cut?: "before" | "after" | "inside";
  readonly silent?: boolean;
}

export interface DavServer {
  readonly url: string;
  readonly files: Map<string, { bytes: Uint8Array; modified: Date }>;
  readonly directories: Set<string>;
  /** `PUT /backup/x.f`, in order. */
  readonly log: string[];
  fault(method: string, path: string): DavFault | undefined;
  ranges: boolean;
  /** What stands before names in answers: a proxy in front may know others. */
  hrefPrefix: string;
  close(): Promise<void>;
}

const user = `Basic ${Buffer.from("backup:very-secret").toString("base64")}`;
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

export async function startDavServer(tls?: { key: string; cert: string }): Promise<DavServer> {
  const files: DavServer["files"] = new Map();
  const directories = new Set(["", "/dav"]);
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    const pieces: Uint8Array[] = [];
    request.on("error", () => undefined);
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => answer(request, response, new Uint8Array(Buffer.concat(pieces))));
  };
  const server = tls ? createTlsServer(tls, handler) : createServer(handler);

  function answer(request: IncomingMessage, response: ServerResponse, body: Uint8Array): void {
    const { headers, method = "" } = request;
    const path = decodeURIComponent(request.url ?? "").replace(/\/+$/, "");
    self.log.push(`${method} ${path}`);
    const fault = self.fault(method, path);
    if (fault?.silent) return;
    if (fault?.cut === "before") {
      request.socket.destroy();
      return;
    }
    if (fault?.status !== undefined) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? "");
      return;
    }
    const [status, bytes = new Uint8Array(0), more = {}] =
      headers.authorization === user
        ? work(method, path, headers, body)
        : [401, undefined, { "www-authenticate": 'Basic realm="dav"' }];
    if (fault?.cut === "after") {
      request.socket.destroy();
      return;
    }
    const says = status < 300 ? fault?.says : undefined;
    response.writeHead(says ?? status, { "content-length": bytes.length, ...more });
    if (fault?.cut === "inside") {
      response.write(bytes.subarray(0, bytes.length / 2), () => request.socket.destroy());
    } else response.end(bytes);
  }

  function work(
    method: string,
    path: string,
    headers: IncomingMessage["headers"],
    body: Uint8Array,
  ): [number, Uint8Array?, Record<string, string>?] {
    const file = files.get(path);
    const isDirectory = directories.has(path);
    switch (method) {
      case "GET": {
        if (!file) return [404];
        const { bytes } = file;
        const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
        if (from === undefined || !self.ranges) return [200, bytes];
        const start = Number(from);
        if (start >= bytes.length) return [416];
        const part = bytes.subarray(start, to ? Number(to) + 1 : undefined);
        const range = `bytes ${start}-${start + part.length - 1}/${bytes.length}`;
        return [206, part, { "content-range": range }];
      }
      case "PUT":
        if (!directories.has(parentOf(path))) return [409];
        files.set(path, { bytes: body, modified: new Date() });
        return [file ? 204 : 201];
      case "DELETE":
        return [files.delete(path) ? 204 : 404];
      case "MKCOL":
        if (isDirectory || file) return [405];
        if (!directories.has(parentOf(path))) return [409];
        directories.add(path);
        return [201];
      case "MOVE": {
        const target = decodeURIComponent(new URL(headers.destination as string).pathname);
        if (!file) return [404];
        const replaced = files.has(target);
        files.set(target, file);
        files.delete(path);
        return [replaced ? 204 : 201];
      }
      case "PROPFIND": {
        if (!file && !isDirectory) return [404];
        const below = [...directories, ...files.keys()].filter(
          (name) => headers.depth === "1" && name !== path && parentOf(name) === path,
        );
        const responses = [path, ...below].map(describe).join("");
        return [
          207,
          Buffer.from(
            `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">${responses}</D:multistatus>`,
          ),
        ];
      }
    }
    return [405];
  }

  const describe = (path: string): string => {
    const file = files.get(path);
    const properties = file
      ? `<D:resourcetype/><D:getcontentlength>${file.bytes.length}</D:getcontentlength><D:getlastmodified>${file.modified.toUTCString()}</D:getlastmodified>`
      : "<D:resourcetype><D:collection/></D:resourcetype>";
    const href = self.hrefPrefix + encodeURI(path) + (file ? "" : "/");
    return (
      `<D:response><D:href>${href}</D:href><D:propstat><D:prop>${properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>` +
      "<D:propstat><D:prop><D:quota/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>"
    );
  };

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const self: DavServer = {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}/dav/backup`,
    files,
    directories,
    log: [],
    fault: () => undefined,
    ranges: true,
    hrefPrefix: "",
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}
