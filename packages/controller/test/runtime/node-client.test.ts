/**
 * What the client sends, and what it makes of every answer: against a server on loopback whose answers are written by hand.
 */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDmError } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import { afterEach, describe, expect, it } from "vitest";
import type { KubeClient, WatchEvent } from "../../src/runtime/kube-client.ts";
import { retryAfterMsOf } from "../../src/runtime/kube-errors.ts";
import { type NodeKubeClientOptions, nodeKubeClient } from "../../src/runtime/node-client.ts";
import {
  type Answer,
  json,
  refusal,
  type ScriptedServer,
  scriptedServer,
} from "./scripted-server.ts";

interface Upload extends KubeObject {
  readonly spec?: { readonly cancel?: boolean };
}

const uploads: Resource<Upload> = {
  group: "velero.io",
  version: "v2alpha1",
  kind: "DataUpload",
  plural: "datauploads",
  namespaced: true,
};
const nodes: Resource = {
  group: "",
  version: "v1",
  kind: "Node",
  plural: "nodes",
  namespaced: false,
};
const secrets: Resource = {
  group: "",
  version: "v1",
  kind: "Secret",
  plural: "secrets",
  namespaced: true,
};
const key = { namespace: "velero", name: "du1" };
const stored = { metadata: { namespace: "velero", name: "du1", resourceVersion: "7" } };
const named = { apiVersion: "velero.io/v2alpha1", kind: "DataUpload", ...stored };

const closing: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of closing.splice(0)) await one[Symbol.asyncDispose]();
});

async function serve(
  answer: Answer,
  options: Omit<NodeKubeClientOptions, "server"> = {},
): Promise<{ readonly server: ScriptedServer; readonly client: KubeClient }> {
  const server = await scriptedServer(answer);
  const client = nodeKubeClient({ ...options, server: { url: server.url, token: "t0ken" } });
  closing.push(server, { [Symbol.asyncDispose]: async () => client.close() });
  return { server, client };
}

async function collect<T extends KubeObject>(
  events: AsyncIterable<WatchEvent<T>>,
): Promise<WatchEvent<T>[]> {
  const all: WatchEvent<T>[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const codeOf = async (promise: Promise<unknown>): Promise<string | undefined> => {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return isDmError(error) ? error.code : `not ours: ${String(error)}`;
  }
};

describe("requests", () => {
  it("have the paths, methods and bodies of the API", async () => {
    const { server, client } = await serve((_request, response) => json(response, 200, stored));
    await client.get(uploads, key);
    await client.get(nodes, { name: "n1" });
    await client.create(uploads, { metadata: { namespace: "velero", name: "du1" } });
    await client.replace(uploads, stored);
    await client.replace(uploads, stored, { subresource: "status" });
    await client.patch(uploads, key, { spec: { cancel: null } });
    await client.delete(uploads, key, { uid: "u1", propagationPolicy: "Foreground" });
    const root = "/apis/velero.io/v2alpha1/namespaces/velero/datauploads";
    expect(
      server.seen.map(({ method, url, body }) => [method, url, body && JSON.parse(body)]),
    ).toEqual([
      ["GET", `${root}/du1`, ""],
      ["GET", "/api/v1/nodes/n1", ""],
      [
        "POST",
        root,
        {
          apiVersion: "velero.io/v2alpha1",
          kind: "DataUpload",
          metadata: { namespace: "velero", name: "du1" },
        },
      ],
      ["PUT", `${root}/du1`, named],
      ["PUT", `${root}/du1/status`, named],
      ["PATCH", `${root}/du1`, { spec: { cancel: null } }],
      [
        "DELETE",
        `${root}/du1`,
        {
          apiVersion: "v1",
          kind: "DeleteOptions",
          propagationPolicy: "Foreground",
          preconditions: { uid: "u1" },
        },
      ],
    ]);
    expect(server.seen[5]?.headers["content-type"]).toBe("application/merge-patch+json");
    expect(server.seen[0]?.headers).toMatchObject({
      authorization: "Bearer t0ken",
      "user-agent": "dm-controller",
    });
  });

  it("for a namespaced kind without a namespace are refused before they are sent", async () => {
    const { server, client } = await serve((_request, response) => json(response, 200, stored));
    await expect(client.get(uploads, { name: "du1" })).rejects.toThrow(TypeError);
    await expect(client.get(uploads, { namespace: "velero", name: "" })).rejects.toThrow(TypeError);
    await expect(client.create(uploads, { metadata: { name: "du1" } })).rejects.toThrow(TypeError);
    expect(server.seen).toEqual([]);
  });

  it("for lists carry selectors and pages, and items get their kind", async () => {
    const { server, client } = await serve((_request, response) =>
      json(response, 200, {
        metadata: { resourceVersion: "9", continue: "more" },
        items: [stored],
      }),
    );
    const page = await client.list(uploads, {
      labelSelector: "a in (b,c)",
      fieldSelector: "metadata.name=x",
      limit: 1,
      continue: "token",
    });
    expect(page).toEqual({ items: [named], resourceVersion: "9", continue: "more" });
    const url = new URL(server.seen[0]?.url ?? "", "http://x");
    expect(url.pathname).toBe("/apis/velero.io/v2alpha1/datauploads");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      labelSelector: "a in (b,c)",
      fieldSelector: "metadata.name=x",
      limit: "1",
      continue: "token",
    });
  });

  it("reuse connections", async () => {
    const ports = new Set<number | undefined>();
    const { client } = await serve((_request, response) => {
      ports.add(response.socket?.remotePort);
      json(response, 200, stored);
    });
    for (let call = 0; call < 5; call += 1) await client.get(uploads, key);
    expect(ports.size).toBe(1);
  });

  it("are under way in a limited number", async () => {
    const held: ServerResponse[] = [];
    let most = 0;
    const { client } = await serve(
      (_request, response) => {
        most = Math.max(most, held.push(response));
        if (held.length < 2) return;
        setImmediate(() => {
          for (const one of held.splice(0)) json(one, 200, stored);
        });
      },
      { maxRequestsInFlight: 2 },
    );
    await Promise.all(Array.from({ length: 12 }, () => client.get(uploads, key)));
    expect(most).toBe(2);
  });
});

describe("refusals", () => {
  it.each([
    [400, "BadRequest", "DM_KUBE_INVALID"],
    [401, "Unauthorized", "DM_KUBE_UNAUTHORIZED"],
    [403, "Forbidden", "DM_KUBE_FORBIDDEN"],
    [404, "NotFound", "DM_KUBE_NOT_FOUND"],
    [409, "AlreadyExists", "DM_KUBE_ALREADY_EXISTS"],
    [409, "Conflict", "DM_KUBE_CONFLICT"],
    [410, "Expired", "DM_KUBE_EXPIRED"],
    [415, "UnsupportedMediaType", "DM_KUBE_INVALID"],
    [422, "Invalid", "DM_KUBE_INVALID"],
    [500, "InternalError", "DM_KUBE_UNAVAILABLE"],
    [503, "ServiceUnavailable", "DM_KUBE_UNAVAILABLE"],
  ])("%i %s is %s", async (status, reason, code) => {
    const { client } = await serve((_request, response) =>
      refusal(response, status, reason, "because of it"),
    );
    const error = await client.replace(uploads, stored).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code,
      message: "replace datauploads.velero.io velero/du1: because of it",
      details: { httpStatus: status, reason },
    });
  });

  it("of an object that is not there are an answer, of a kind that is not there an error", async () => {
    let message = 'datauploads.velero.io "du1" not found';
    const { client } = await serve((_request, response) =>
      refusal(response, 404, "NotFound", message),
    );
    expect(await client.get(uploads, key)).toBeUndefined();
    expect(await client.delete(uploads, key)).toBe(false);
    message = "the server could not find the requested resource";
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_NOT_FOUND");
    expect(await codeOf(client.delete(uploads, key))).toBe("DM_KUBE_NOT_FOUND");
  });

  it("that are no Status but a proxy's page are understood by their number", async () => {
    const { client } = await serve((_request, response) => {
      response.writeHead(502, { "content-type": "text/html" });
      response.end("<h1>Bad Gateway</h1>");
    });
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_UNAVAILABLE");
  });

  it("of a Secret do not repeat its values", async () => {
    const { client } = await serve((_request, response) =>
      json(response, 422, {
        kind: "Status",
        code: 422,
        reason: "Invalid",
        message: 'data: Invalid value: "hunter2"',
        details: { causes: [{ reason: "FieldValueInvalid", message: '"hunter2"', field: "data" }] },
      }),
    );
    const secret = { metadata: { namespace: "velero", name: "s" } };
    const error = await client.create(secrets, secret).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "DM_KUBE_INVALID", details: { reason: "Invalid" } });
    expect(JSON.stringify(error) + String(error)).not.toContain("hunter2");
  });
});

describe("a server in trouble", () => {
  it("that puts a request off is asked again when it said (429)", async () => {
    const waits: number[] = [];
    const { server, client } = await serve(
      (_request, response) => {
        if (server.seen.length < 3)
          refusal(response, 429, "TooManyRequests", "later", { "retry-after": "7" });
        else json(response, 200, stored);
      },
      { clock: recordingClock(waits) },
    );
    expect(await client.get(uploads, key)).toEqual(named);
    expect(waits).toEqual([7_000, 7_000]);
  });

  it("that never stops putting off is given up, with its wish in the error", async () => {
    const { server, client } = await serve(
      (_request, response) =>
        refusal(response, 429, "TooManyRequests", "later", { "retry-after": "3" }),
      { clock: recordingClock([]), putOffRetries: 2 },
    );
    const error = await client.get(uploads, key).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "DM_KUBE_UNAVAILABLE", retryable: true });
    expect(retryAfterMsOf(error)).toBe(3_000);
    expect(server.seen).toHaveLength(3);
  });

  it("that is not there is unavailable", async () => {
    const { server, client } = await serve((_request, response) => json(response, 200, stored));
    await server[Symbol.asyncDispose]();
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_UNAVAILABLE");
  });

  it("that closes the connection in the middle of an answer is unavailable", async () => {
    const { client } = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("{");
      setImmediate(() => response.destroy());
    });
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_UNAVAILABLE");
  });

  it("that does not answer in time is unavailable", async () => {
    const { client } = await serve(() => undefined, { requestTimeoutMs: 20 });
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_UNAVAILABLE");
  });

  it("does not hold up an abort, whose reason comes out", async () => {
    const stop = new AbortController();
    const { client } = await serve(() => stop.abort(new Error("enough")));
    await expect(client.get(uploads, key, { signal: stop.signal })).rejects.toThrow("enough");
  });
});

describe("credentials", () => {
  const withTokenFile = async (): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), "dm-token-"));
    closing.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    return join(folder, "token");
  };

  it("row 61: a token that is refused is read again from its file", async () => {
    const tokenFile = await withTokenFile();
    await writeFile(tokenFile, "first\n");
    let valid = "Bearer first";
    const server = await scriptedServer((request, response) => {
      if (request.headers.authorization === valid) json(response, 200, stored);
      else refusal(response, 401, "Unauthorized", "Unauthorized");
    });
    closing.push(server);
    const client = nodeKubeClient({ server: { url: server.url, tokenFile } });
    expect(await client.get(uploads, key)).toEqual(named);
    await writeFile(tokenFile, "second\n");
    valid = "Bearer second";
    const results = await Promise.all([1, 2, 3].map(() => client.get(uploads, key)));
    expect(results).toEqual([named, named, named]);
    valid = "Bearer third";
    const before = server.seen.length;
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_UNAUTHORIZED");
    expect(server.seen.length - before).toBe(2);
    client.close();
  });

  it("come from a kubeconfig file and its contexts", async () => {
    const { server } = await serve((_request, response) =>
      json(response, 200, { gitVersion: "v1" }),
    );
    const kubeconfig = await withTokenFile();
    const cluster = { server: server.url, "insecure-skip-tls-verify": true };
    await writeFile(
      kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "c", cluster }],
        users: [
          { name: "a", user: { token: "tokenA" } },
          { name: "b", user: { username: "u", password: "p" } },
        ],
        contexts: [
          { name: "one", context: { cluster: "c", user: "a", namespace: "velero" } },
          { name: "two", context: { cluster: "c", user: "b" } },
        ],
        "current-context": "one",
      }),
    );
    const one = nodeKubeClient({ kubeconfig });
    expect(await one.describe()).toEqual({
      server: server.url,
      context: "one",
      namespace: "velero",
    });
    expect(await one.getPath("/version")).toEqual({ gitVersion: "v1" });
    await nodeKubeClient({ kubeconfig, context: "two" }).getPath("/version");
    expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer tokenA",
      `Basic ${Buffer.from("u:p").toString("base64")}`,
    ]);
    const none = nodeKubeClient({ kubeconfig, context: "three" });
    expect(await codeOf(none.getPath("/version"))).toBe("DM_KUBE_CONFIG");
  });

  it("row 61: in a kubeconfig that is written anew are used as soon as the old ones are refused", async () => {
    const kubeconfig = await withTokenFile();
    let valid = "Bearer first";
    const server = await scriptedServer((request, response) => {
      if (request.headers.authorization === valid) json(response, 200, stored);
      else refusal(response, 401, "Unauthorized", "Unauthorized");
    });
    closing.push(server);
    const write = (token: string): Promise<void> =>
      writeFile(
        kubeconfig,
        JSON.stringify({
          clusters: [
            { name: "c", cluster: { server: server.url, "insecure-skip-tls-verify": true } },
          ],
          users: [{ name: "u", user: { token } }],
          contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
          "current-context": "x",
        }),
      );
    await write("first");
    const client = nodeKubeClient({ kubeconfig });
    expect(await client.get(uploads, key)).toEqual(named);
    valid = "Bearer second";
    await write("second");
    expect(await client.get(uploads, key)).toEqual(named);
    client.close();
  });

  it("come from an exec plugin, which is asked again when they are refused", async () => {
    const kubeconfig = await withTokenFile();
    const runs = `${kubeconfig}.runs`;
    // Gives another token each time that it runs, and says that it never expires.
    const plugin = `
      const { appendFileSync, readFileSync } = require("node:fs");
      appendFileSync(process.env.RUNS, "x");
      const token = "token" + readFileSync(process.env.RUNS, "utf8").length;
      console.log(JSON.stringify({ kind: "ExecCredential", status: { token } }));`;
    let valid = "Bearer token1";
    const server = await scriptedServer((request, response) => {
      if (request.headers.authorization === valid) json(response, 200, stored);
      else refusal(response, 401, "Unauthorized", "Unauthorized");
    });
    closing.push(server);
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: process.execPath,
      args: ["-e", plugin],
      env: [{ name: "RUNS", value: runs }],
    };
    const cluster = { server: server.url, "insecure-skip-tls-verify": true };
    await writeFile(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user: { exec } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      }),
    );
    const client = nodeKubeClient({ kubeconfig });
    expect(await client.get(uploads, key)).toEqual(named);
    expect(await client.get(uploads, key)).toEqual(named);
    expect(await readFile(runs, "utf8")).toBe("x");
    valid = "Bearer token2";
    expect(await client.get(uploads, key)).toEqual(named);
    expect(await readFile(runs, "utf8")).toBe("xx");
    client.close();
  });

  it("that cannot be read are an error of their own, at each call", async () => {
    const kubeconfig = await withTokenFile();
    const client = nodeKubeClient({ kubeconfig });
    const error = await client.get(uploads, key).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "DM_KUBE_CONFIG",
      message: "the Kubernetes configuration cannot be read (ENOENT)",
    });
    expect(await codeOf(client.get(uploads, key))).toBe("DM_KUBE_CONFIG");
  });
});

describe("a watch", () => {
  const event = (type: string, name: string): string =>
    `${JSON.stringify({ type, object: { metadata: { name, resourceVersion: "8" } } })}\n`;

  it("yields events until the server ends it, and asks for bookmarks and an end", async () => {
    const { server, client } = await serve((_request, response) => {
      response.writeHead(200);
      response.write(event("ADDED", "a"));
      response.end(event("BOOKMARK", ""));
    });
    const events = await collect(
      client.watch(uploads, { namespace: "velero", resourceVersion: "7", labelSelector: "x=y" }),
    );
    expect(events.map(({ type, object }) => [type, object.kind, object.metadata.name])).toEqual([
      ["ADDED", "DataUpload", "a"],
      ["BOOKMARK", "DataUpload", ""],
    ]);
    const url = new URL(server.seen[0]?.url ?? "", "http://x");
    expect(url.pathname).toBe("/apis/velero.io/v2alpha1/namespaces/velero/datauploads");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: "7",
      timeoutSeconds: "300",
      labelSelector: "x=y",
    });
  });

  it("from too old a version throws, whether as a status or as an event", async () => {
    const status = { kind: "Status", code: 410, reason: "Expired", message: "too old" };
    const { client } = await serve((request, response) => {
      if (request.url.includes("resourceVersion=1&")) json(response, 410, status);
      else response.end(`${JSON.stringify({ type: "ERROR", object: status })}\n`);
    });
    for (const resourceVersion of ["1", "2"]) {
      expect(await codeOf(collect(client.watch(uploads, { resourceVersion })))).toBe(
        "DM_KUBE_EXPIRED",
      );
    }
  });

  it("cut in the middle of a line delivers what was whole, then fails", async () => {
    const { client } = await serve((_request, response) => {
      response.writeHead(200);
      response.write(event("ADDED", "a") + event("ADDED", "b").slice(0, 20), () =>
        setImmediate(() => response.destroy()),
      );
    });
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const { object } of client.watch(uploads, { resourceVersion: "1" })) {
        seen.push(object.metadata.name);
      }
    })();
    expect(await codeOf(watching)).toBe("DM_KUBE_UNAVAILABLE");
    expect(seen).toEqual(["a"]);
  });

  it("that stays silent is given up", async () => {
    const { client } = await serve(
      (_request, response) => {
        response.writeHead(200);
        response.flushHeaders();
      },
      { watchIdleMs: 30 },
    );
    expect(await codeOf(collect(client.watch(uploads, { resourceVersion: "1" })))).toBe(
      "DM_KUBE_UNAVAILABLE",
    );
  });

  it("ends with the loop that reads it, and with its signal", async () => {
    let closed = 0;
    const { client } = await serve((_request, response) => {
      response.on("close", () => {
        closed += 1;
      });
      response.writeHead(200);
      response.write(event("ADDED", "a"));
    });
    for await (const one of client.watch(uploads, { resourceVersion: "1" })) {
      expect(one.object.metadata.name).toBe("a");
      break;
    }
    const stop = new AbortController();
    const watching = (async () => {
      const options = { resourceVersion: "1", signal: stop.signal };
      for await (const _ of client.watch(uploads, options)) stop.abort(new Error("enough"));
    })();
    await expect(watching).rejects.toThrow("enough");
    await expect.poll(() => closed).toBe(2);
  });
});

/** Real time, but waits for the server's sake are only written down. */
function recordingClock(waits: number[]): NodeKubeClientOptions["clock"] {
  return {
    nowNs: () => BigInt(Date.now()) * 1_000_000n,
    sleep: (ms, options = {}) => {
      if (ms === 30_000) {
        return new Promise((_resolve, reject) => {
          options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
        });
      }
      waits.push(ms);
      return Promise.resolve();
    },
  };
}
