// Whatever a network, a balancer or an account does wrong ends in a transparent repetition or in an error that says what to do;
// tokens that are used up are replaced in the middle, and no secret is ever told.
import { createServer, type Socket } from "node:net";
import type { Logger } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  azureAccountKey,
  azureSharedAccessSignature,
  azureToken,
  refreshingToken,
} from "../src/azure.ts";
import { azureError, azureOn, startFakeAzure } from "./fake-azure.ts";
import type { Fault } from "./fake-service.ts";
import { allSaid, type FaultSubject, testObjectFaults } from "./object-faults.ts";
import { bytes, failure, onFake } from "./object-service.ts";

const on = onFake(startFakeAzure, azureOn);
const { open } = on;
const subject: FaultSubject = {
  on,
  openWithToken: (provider, options) => open({ ...options, credentials: azureToken(provider) }),
  isGet: ({ method, url }) => method === "GET" && url.searchParams.get("comp") !== "list",
  isList: ({ url }) => url.searchParams.get("comp") === "list",
  otherPage:
    "<EnumerationResults><Blobs><Blob><Name>elsewhere</Name><Properties><Last-Modified>Wed, 25 Nov 2026 10:00:00 GMT</Last-Modified>" +
    "<Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>",
  endlessPage: "<EnumerationResults><Blobs/><NextMarker>again</NextMarker></EnumerationResults>",
  damaged: azureError(400, "Md5Mismatch"),
  refusals: [azureError(403, "AuthenticationFailed"), azureError(418, "Odd")],
  foreign: {
    "no more than a status": { status: 202 },
    "a text": { status: 201, headers: { etag: '"1"' }, body: "Welcome" },
  },
  passing: {
    ServerBusy: { answer: azureError(503, "ServerBusy", "The server is busy.") },
    OperationTimedOut: { answer: azureError(500, "OperationTimedOut") },
  },
};

describe("what passes, and what is no answer", () => testObjectFaults(subject));

it("takes the head of a web page for no blob", async () => {
  const headers = {
    "content-length": "4000",
    "last-modified": new Date().toUTCString(),
    etag: '"1"',
  };
  on.fake.inject({ answer: { status: 200, headers } });
  expect((await failure(open().stat("p1"))).code).toBe("DM_STORE_ANSWER_INVALID");
});

describe("credentials and time", () => {
  it("says that a token is used up when there is no other", async () => {
    on.fake.accepted.add("other");
    const provider = refreshingToken(async () => ({ token: "very-secret" }));
    const error = await failure(open({ credentials: azureToken(provider) }).get("p1"));
    expect(error.code).toBe("DM_STORE_CREDENTIALS_EXPIRED");
    expect(on.fake.seen.length).toBe(1);
  });

  it("says that a signature is used up, and asks its source again", async () => {
    on.fake.accepted.add("fresh");
    const one = open({ credentials: azureSharedAccessSignature("sp=r&sig=stale") });
    expect((await failure(one.get("p1"))).code).toBe("DM_STORE_CREDENTIALS_EXPIRED");
    const signatures = ["sp=r&sig=stale", "sp=r&sig=fresh"];
    const renewed = azureSharedAccessSignature(async () => signatures.shift() ?? "");
    expect((await failure(open({ credentials: renewed }).get("p1"))).code).toBe(
      "DM_BLOB_NOT_FOUND",
    );
  });

  it("follows the server's clock, and says so where that does not help", async () => {
    on.fake.clockOffsetMs = 3 * 3_600_000;
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
    on.fake.inject({ answer });
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
    on.fake.inject(fault);
    const error = await failure(open().get("p1"));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(remedy)]);
    expect(on.fake.seen.length).toBe(1);
  });

  it("an answer to HEAD tells its reason by a header", async () => {
    on.fake.inject({
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
    const credentials = [
      azureAccountKey("acct", "c2VjcmV0LWtleQ=="),
      azureSharedAccessSignature("sp=r&sig=SECRETSIG"),
    ];
    for (const credential of credentials) {
      const said = await allSaid(subject, (options) =>
        open({ ...options, credentials: credential }),
      );
      expect(said).not.toMatch(/c2VjcmV0LWtleQ|SECRETSIG/);
    }
  });
});
