/**
 * What the fakes of object services have in common: a server on loopback, objects with versions, faults on request. The fakes know
 * just what the stores use; whether that is how the real services are, the tests over Azurite, fake-gcs-server and kopia say.
 * Proof: test/azure-store.test.ts, test/gcs-store.test.ts.
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Version {
  readonly key: string;
  readonly data: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
  readonly number: number;
  readonly createdAtMs: number;
  deletedAtMs?: number;
  lockedUntilMs?: number;
  mode?: string;
}

export interface Seen {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** In place of the answer, or done to it. */
export type Fault =
  | { readonly answer: Answer }
  | { readonly reset: "before" | "after" }
  | { readonly sendOnlyBytes: number }
  | { readonly announceBytes: number }
  | { readonly shortenToBytes: number };

export interface Rule {
  readonly matches: (seen: Seen) => boolean;
  readonly fault: Fault;
  times: number;
}

export interface Fake {
  readonly url: string;
  readonly seen: Seen[];
  /** Every version of every object, by key and from the oldest on. */
  readonly versions: Version[];
  clockOffsetMs: number;
  /** Versions are kept. */
  versioned: boolean;
  /** Single objects can be kept from being changed. */
  retention: boolean;
  /** Largest page. */
  pageEntries: number;
  /** Tokens and signatures that are accepted; empty for everything. */
  readonly accepted: Set<string>;
  inject(fault: Fault, times?: number, matches?: Rule["matches"]): () => void;
  current(key: string): Version | undefined;
  nowMs(): number;
  store(key: string, data: Uint8Array, metadata: Readonly<Record<string, string>>): Version;
  remove(key: string): void;
  close(): Promise<void>;
}

export async function startFake(answer: (seen: Seen, fake: Fake) => Answer): Promise<Fake> {
  const rules: Rule[] = [];
  let number = 1_700_000_000_000_000;
  let lastMs = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { headers, method = "GET", url = "/" } = request;
      const seen: Seen = {
        method,
        url: new URL(url, "http://fake"),
        headers,
        body: Buffer.concat(parts),
      };
      fake.seen.push(seen);
      const rule = rules.find(({ matches, times }) => times > 0 && matches(seen));
      if (rule) rule.times -= 1;
      serve(seen, response, rule?.fault);
    });
  });

  function serve(seen: Seen, response: ServerResponse, fault: Fault | undefined): void {
    if (fault && "reset" in fault && fault.reset === "before") {
      response.socket?.resetAndDestroy();
      return;
    }
    if (fault && "answer" in fault) {
      send(response, seen, fault.answer);
      return;
    }
    const good = answer(seen, fake);
    if (fault && "reset" in fault) response.socket?.resetAndDestroy();
    else send(response, seen, good, fault);
  }

  const fake: Fake = {
    url: "",
    seen: [],
    versions: [],
    clockOffsetMs: 0,
    versioned: false,
    retention: false,
    pageEntries: 1000,
    accepted: new Set(),
    inject(fault, times = Number.POSITIVE_INFINITY, matches = () => true) {
      const rule = { fault, times, matches };
      rules.push(rule);
      return () => {
        rule.times = 0;
      };
    },
    current: (key) => fake.versions.findLast((v) => v.key === key && v.deletedAtMs === undefined),
    nowMs: () => Date.now() + fake.clockOffsetMs,
    store(key, data, metadata) {
      // No two states share a time, so that tests can name each.
      lastMs = Math.max(fake.nowMs(), lastMs + 1);
      fake.remove(key);
      number += 1;
      const version = { key, data, metadata, number, createdAtMs: lastMs };
      fake.versions.push(version);
      fake.versions.sort((a, b) =>
        a.key === b.key ? a.number - b.number : a.key < b.key ? -1 : 1,
      );
      return version;
    },
    remove(key) {
      const old = fake.current(key);
      if (!old) return;
      lastMs = Math.max(fake.nowMs(), lastMs + 1);
      if (fake.versioned) old.deletedAtMs = lastMs;
      else fake.versions.splice(fake.versions.indexOf(old), 1);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(fake, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
}

function send(response: ServerResponse, { method }: Seen, answer: Answer, fault?: Fault): void {
  const whole = Buffer.from(answer.body ?? "");
  const short = fault && "shortenToBytes" in fault ? fault.shortenToBytes : whole.length;
  const body = whole.subarray(0, short);
  const announced = fault && "announceBytes" in fault ? fault.announceBytes : body.length;
  response.writeHead(answer.status, {
    date: new Date().toUTCString(),
    ...(method === "HEAD" ? {} : { "content-length": announced }),
    ...answer.headers,
  });
  if (method === "HEAD") {
    response.end();
  } else if (fault && "sendOnlyBytes" in fault) {
    response.write(body.subarray(0, fault.sendOnlyBytes), () => response.socket?.destroy());
  } else if (announced !== body.length) {
    response.write(body, () => response.socket?.destroy());
  } else {
    response.end(body);
  }
}

/** A whole answer, or the part of it that `Range` asks for. */
export function ranged(
  range: string | undefined,
  { body = "", headers = {} }: Omit<Answer, "status">,
  unsatisfied: Answer,
): Answer {
  const found = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
  const bytes = Buffer.from(body);
  if (!found) return { status: 200, headers, body: bytes };
  const from = Number(found[1]);
  const to = found[2] ? Math.min(Number(found[2]), bytes.length - 1) : bytes.length - 1;
  if (from >= bytes.length) return unsatisfied;
  const contentRange = `bytes ${from}-${to}/${bytes.length}`;
  return {
    status: 206,
    headers: { ...headers, "content-range": contentRange },
    body: bytes.subarray(from, to + 1),
  };
}

/** Keys below a prefix up to their next slash, where they have one. */
export function foldersOf({ versions }: Fake, prefix: string): string[] {
  const folders = versions
    .filter(({ key }) => key.startsWith(prefix) && key.slice(prefix.length).includes("/"))
    .map(({ key }) => key.slice(0, key.indexOf("/", prefix.length) + 1));
  return [...new Set(folders)];
}
