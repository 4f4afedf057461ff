// What a server teaches about its clock is learned once for all requests that are under way together; an abort does not wait for a token.
import { AccessError } from "@dm/core";
import { expect, it } from "vitest";
import { apiClient } from "../src/http/api-client.ts";

it("follows the clock of the server for all requests that it has refused", async () => {
  const serverAheadMs = 3_600_000;
  let sent = 0;
  let allSent = (): void => {};
  const together = new Promise<void>((resolve) => {
    allSent = resolve;
  });
  const client = apiClient({
    timeoutMs: 1000,
    authorizer: {
      async authorize({ headers, url }, { nowMs }) {
        return { url, headers: { ...headers, "x-time": String(nowMs) }, proof: "key" };
      },
    },
    transport: {
      async send({ headers }) {
        sent += 1;
        if (sent === 8) allSent();
        await together;
        const isSkewed = Math.abs(Number(headers["x-time"]) - Date.now() - serverAheadMs) > 60_000;
        return { status: isSkewed ? 403 : 200, header: () => undefined, body: new Uint8Array(0) };
      },
      async close() {},
    },
    dialect: {
      readFault: ({ status }) => ({
        status,
        code: "skewed",
        message: "",
        requestId: "",
        serverTimeMs: Date.now() + serverAheadMs,
      }),
      error: () => new AccessError("DM_STORE_CLOCK_SKEWED", "skewed", {}),
      credentialsRefused: () => false,
      clockSkewed: () => true,
    },
  });
  const ask = { method: "GET", url: "http://h/", operation: "get", key: "k", maxBodyBytes: 10 };
  const answers = await Promise.all(Array.from({ length: 8 }, () => client.request(ask)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  expect(sent).toBe(16);
});

it("an abort does not wait for a token", async () => {
  const stop = new AbortController();
  const reason = new Error("enough");
  const client = apiClient({
    timeoutMs: 1000,
    authorizer: { authorize: () => new Promise(() => {}) },
    transport: { send: () => Promise.reject(new Error("sent")), close: async () => {} },
    dialect: {
      readFault: () => expect.unreachable(),
      error: () => expect.unreachable(),
      credentialsRefused: () => false,
      clockSkewed: () => false,
    },
  });
  const { signal } = stop;
  const ask = { method: "GET", url: "http://h/", operation: "get", key: "k", maxBodyBytes: 10 };
  const answer = client.request({ ...ask, signal });
  stop.abort(reason);
  await expect(answer).rejects.toBe(reason);
});
