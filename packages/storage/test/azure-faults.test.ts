// Whatever a network, a balancer or an account does wrong ends in a transparent repetition or in an error that says what to do;
// tokens that are used up are replaced in the middle, and no secret is ever told.
import { createServer, type Socket } from "node:net";
import type { LogFields, Logger } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type AzureStoreOptions,
  azureAccountKey,
  azureSharedAccessSignature,
  azureStore,
  azureToken,
  refreshingToken,
} from "../src/azure.ts";
import type { BlobStore } from "../src/index.ts";
import { azureError, type FakeAzure, startFakeAzure } from "./fake-azure.ts";
import type { Fault } from "./fake-service.ts";
import { bytes, failure, testObjectFaults } from "./object-faults.ts";

let fake: FakeAzure;
const stores: BlobStore[] = [];
beforeEach(async () => {
  fake = await startFakeAzure();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await fake.close();
});

function open(options: Partial<AzureStoreOptions> = {}): BlobStore {
  const store = azureStore({
    account: "acct",
    container: "blobs",
    endpoint: `${fake.url}/acct`,
    credentials: azureAccountKey("acct", "c2VjcmV0LWtleQ=="),
    prefix: "k/",
    retries: { attempts: 4, firstDelayMs: 1, maxDelayMs: 5 },
    ...options,
  });
  stores.push(store);
  return store;
}

describe("what passes", () => {
  testObjectFaults({
    fake: () => fake,
    open: () => open(),
    isGet: ({ method, url }) => method === "GET" && url.searchParams.get("comp") !== "list",
    isList: ({ url }) => url.searchParams.get("comp") === "list",
    otherPage:
      "<EnumerationResults><Blobs><Blob><Name>elsewhere</Name><Properties><Last-Modified>Wed, 25 Nov 2026 10:00:00 GMT</Last-Modified>" +
      "<Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>",
    foreign: {
      "no more than a status": { status: 202 },
      "a text": { status: 201, headers: { etag: '"1"' }, body: "Welcome" },
    },
    passing: {
      ServerBusy: { answer: azureError(503, "ServerBusy", "The server is busy.") },
      OperationTimedOut: { answer: azureError(500, "OperationTimedOut") },
    },
  });

  it("puts again what was damaged on its way", async () => {
    const store = open();
    fake.inject({ answer: azureError(400, "Md5Mismatch") }, 1);
    await store.put("p1", bytes(10));
    expect(await store.get("p1")).toEqual(bytes(10));
  });

  it("does not loop over a list without an end", async () => {
    const store = open();
    const page = "<EnumerationResults><Blobs/><NextMarker>again</NextMarker></EnumerationResults>";
    fake.inject({ answer: { status: 200, body: page } });
    const listed = (async () => {
      for await (const _ of store.list("")) expect.unreachable();
    })();
    expect((await failure(listed)).code).toBe("DM_STORE_ANSWER_INVALID");
  });
});

describe("credentials and time", () => {
  it("asks for another token in the middle, and repeats nothing else", async () => {
    const tokens = ["new", "old"];
    fake.accepted.add("old");
    const provider = refreshingToken(async () => ({ token: tokens.pop() ?? "none" }));
    const store = open({ credentials: azureToken(provider) });
    await store.put("p1", bytes(1000));
    fake.accepted.clear();
    fake.accepted.add("new");
    expect(await Promise.all([store.get("p1"), store.get("p1")])).toHaveLength(2);
    expect(tokens).toEqual([]);
    expect(fake.seen.at(-1)?.headers.authorization).toBe("Bearer new");
  });

  it("says that a token is used up when there is no other", async () => {
    fake.accepted.add("other");
    const provider = refreshingToken(async () => ({ token: "very-secret" }));
    const error = await failure(open({ credentials: azureToken(provider) }).get("p1"));
    expect(error.code).toBe("DM_STORE_CREDENTIALS_EXPIRED");
    expect(fake.seen.length).toBe(1);
  });

  it("says that a signature is used up, and asks its source again", async () => {
    fake.accepted.add("fresh");
    const one = open({ credentials: azureSharedAccessSignature("sp=r&sig=stale") });
    expect((await failure(one.get("p1"))).code).toBe("DM_STORE_CREDENTIALS_EXPIRED");
    const signatures = ["sp=r&sig=stale", "sp=r&sig=fresh"];
    const renewed = azureSharedAccessSignature(async () => signatures.shift() ?? "");
    expect((await failure(open({ credentials: renewed }).get("p1"))).code).toBe(
      "DM_BLOB_NOT_FOUND",
    );
  });

  it("follows the server's clock, and says so where that does not help", async () => {
    fake.clockOffsetMs = 3 * 3_600_000;
    const warnings: string[] = [];
    const logger: Logger = {
      debug: () => {},
      info: () => {},
      warn: (message) => void warnings.push(message),
      error: () => {},
    };
    const store = open({ logger });
    await store.put("p1", bytes(10));
    expect(await store.get("p1")).toEqual(bytes(10));
    expect(warnings).toEqual(["Followed the clock of the server"]);
    const answer = azureError(403, "AuthenticationFailed", "", "The Date header is incorrect");
    fake.inject({ answer });
    expect((await failure(open().get("p1"))).code).toBe("DM_STORE_CLOCK_SKEWED");
  });
});

describe("what does not pass is said once, with its remedy", () => {
  const answers: ReadonlyArray<readonly [string, Fault, string, RegExp]> = [
    [
      "a wrong key",
      {
        answer: azureError(
          403,
          "AuthenticationFailed",
          "Server failed to authenticate the request.",
        ),
      },
      "DM_STORE_CREDENTIALS_INVALID",
      /account key/,
    ],
    [
      "a role that may not",
      { answer: azureError(403, "AuthorizationPermissionMismatch", "not authorized") },
      "DM_STORE_ACCESS_DENIED",
      /Storage Blob Data Reader/,
    ],
    [
      "keys that the account forbids",
      { answer: azureError(403, "KeyBasedAuthenticationNotPermitted", "not permitted") },
      "DM_STORE_ACCESS_DENIED",
      /KeyBased/,
    ],
    [
      "a missing container",
      { answer: azureError(404, "ContainerNotFound", "does not exist") },
      "DM_STORE_NOT_FOUND",
      /create it/,
    ],
    [
      "an API that is not there",
      { answer: azureError(501, "APINotImplemented") },
      "DM_STORE_OPTION_UNSUPPORTED",
      /get/,
    ],
    ["a bare status", { answer: { status: 400 } }, "DM_STORE_ANSWER_INVALID", /bare status 400/],
  ];
  it.each(answers)("%s", async (_name, fault, code, remedy) => {
    fake.inject(fault);
    const error = await failure(open().get("p1"));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(remedy)]);
    expect(fake.seen.length).toBe(1);
  });

  it("an answer to HEAD tells its reason by a header", async () => {
    fake.inject({
      answer: { status: 403, headers: { "x-ms-error-code": "AuthorizationFailure" } },
    });
    expect((await failure(open().stat("p1"))).code).toBe("DM_STORE_ACCESS_DENIED");
    expect((await failure(open({ container: "nowhere" }).stat("p1"))).code).toBe(
      "DM_STORE_ACCESS_DENIED",
    );
  });

  it("a server that is not there, and one that is silent", async () => {
    const away = open({ endpoint: "http://127.0.0.1:9/acct", retries: { attempts: 1 } });
    expect((await failure(away.get("p1"))).code).toBe("DM_STORE_UNREACHABLE");
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const endpoint = `http://127.0.0.1:${port}/acct`;
    const store = open({ endpoint, timeoutMs: 100, retries: { attempts: 2, firstDelayMs: 1 } });
    expect((await failure(store.get("p1"))).code).toBe("DM_STORE_TIMEOUT");
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });

  it("tells no secret", async () => {
    const said: string[] = [];
    const note = (message: string, fields?: LogFields): void => {
      said.push(message, JSON.stringify(fields));
    };
    const logger: Logger = { debug: note, info: note, warn: note, error: note };
    const secrets = ["c2VjcmV0LWtleQ==", "SECRETSIG", "SECRETTOKEN"];
    const credentials = [
      azureAccountKey("acct", "c2VjcmV0LWtleQ=="),
      azureSharedAccessSignature("sp=r&sig=SECRETSIG"),
      azureToken(refreshingToken(async () => ({ token: "SECRETTOKEN" }))),
    ];
    for (const answer of [
      { status: 503 },
      { status: 403, body: "<html>no</html>" },
      azureError(403, "AuthenticationFailed"),
      azureError(418, "Odd"),
    ]) {
      const stop = fake.inject({ answer });
      for (const credential of credentials) {
        const store = open({ credentials: credential, logger });
        const error = await failure(store.get("p1"));
        said.push(store.displayName, error.message, JSON.stringify(error), String(error.stack));
      }
      stop();
    }
    for (const secret of secrets) expect(said.join("\n")).not.toContain(secret);
  });
});
