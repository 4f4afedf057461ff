/**
 * The service behind a server: each request from its first line to the last byte of its answer: who asks for what, whether
 * a fault meets it, whether the key may, who answers.
 * Proof: test/testing-s3-server.test.ts, test/testing-s3-roles.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { type Clock, nsPerMs, systemClock } from "@dm/core";
import { type AccessKey, mayDo, testAccessKey } from "./access-key.ts";
import { receiveBody } from "./body.ts";
import { isBucketName } from "./bucket.ts";
import { Buckets } from "./buckets.ts";
import { answerPreflight, corsHeaders } from "./cors.ts";
import type { S3Call, S3Fault, S3FaultRule } from "./faults.ts";
import { handlers } from "./handlers.ts";
import { type Latency, Lockstep } from "./latency.ts";
import { checkFeatures } from "./missing-features.ts";
import { operationOf, permissionOf, type S3Operation, s3Operations } from "./operation.ts";
import { type DirectoryState, memoryPayloads, openDirectory } from "./payloads.ts";
import { refuse, S3Refusal } from "./refusal.ts";
import type { S3Answer, S3Request, S3State } from "./request.ts";
import { errorDocument, refusalAnswer, sendAnswer } from "./send.ts";
import type { BucketOptions, Elsewhere, S3LogEntry, S3Server, S3ServerOptions } from "./server.ts";
import { authenticate } from "./signature.ts";
import { answerTokenRequest, isTokenRequest } from "./token-service.ts";
import { MultipartUploads } from "./uploads.ts";
import { parseTarget, type Target } from "./uri.ts";
import { xmlDocument } from "./xml.ts";

const maxXmlBytes = 4 << 20;
const maxLogEntries = 10_000;

export class S3Service {
  readonly #options: S3ServerOptions;
  readonly #firstKey: AccessKey;
  readonly #clock: Clock;
  readonly #keys = new Map<string, AccessKey>();
  readonly #directory: DirectoryState | undefined;
  readonly #state: S3State;
  readonly #staleMs = new WeakMap<S3Request, number>();
  readonly #rules: S3FaultRule[] = [];
  readonly #log: S3LogEntry[] = [];
  #counts = zeroCounts();
  #latency: Latency | undefined;
  #lockstep: Lockstep | undefined;
  #number = 0;
  clockOffsetMs = 0;

  constructor(options: S3ServerOptions) {
    const { accessKeys = [testAccessKey], directory, region = "us-east-1" } = options;
    const [firstKey] = accessKeys;
    if (firstKey === undefined) throw new RangeError("a server needs an access key");
    for (const bucket of options.buckets ?? []) checkName(nameOf(bucket));
    this.#options = options;
    this.#firstKey = firstKey;
    this.#clock = options.clock ?? systemClock;
    for (const key of accessKeys) this.#keys.set(key.accessKeyId, key);
    this.#directory = directory === undefined ? undefined : openDirectory(directory);
    const payloads = this.#directory?.payloads ?? memoryPayloads();
    const buckets = new Buckets(payloads, (change) => this.#directory?.record(change));
    for (const change of this.#directory?.changes ?? []) buckets.apply(change);
    this.#directory?.keepOnly(buckets.payloadIds());
    this.#state = {
      region,
      buckets,
      payloads,
      uploads: new MultipartUploads(),
      minPartBytes: options.minPartBytes ?? 5 << 20,
      maxObjectBytes: options.maxObjectBytes ?? 1 << 30,
      staleMs: (request) => this.#staleMs.get(request) ?? 0,
    };
    this.#setLatency(options.latency);
    for (const bucket of options.buckets ?? []) {
      if (!buckets.find(nameOf(bucket))) this.#createBucket(bucket);
    }
  }

  /** Lets go of the directory. */
  dispose(): void {
    this.#directory?.close();
  }

  readonly listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A broken connection is no event of its own: whoever reads or writes it sees it.
    request.on("error", () => {});
    response.on("error", () => {});
    this.#serve(request, response).catch(() => response.destroy());
  };

  get #hasTokens(): boolean {
    return this.#options.webIdentities !== undefined || this.#options.roles !== undefined;
  }

  #nowMs(): number {
    return Number(this.#clock.nowNs() / nsPerMs) + this.clockOffsetMs;
  }

  #setLatency(latency: Latency | undefined): void {
    this.#lockstep?.release();
    this.#latency = latency;
    this.#lockstep =
      latency && "lockstepQuietMs" in latency ? new Lockstep(latency.lockstepQuietMs) : undefined;
  }

  #createBucket(bucket: string | BucketOptions): void {
    const {
      defaultRetention,
      name,
      objectLock = false,
      versioning = objectLock,
    } = typeof bucket === "string" ? { name: bucket } : bucket;
    checkName(name);
    const settings = {
      name,
      region: this.#state.region,
      createdMs: Math.floor(this.#nowMs() / 1000) * 1000,
      objectLock,
      versioning: versioning ? ("Enabled" as const) : undefined,
      defaultRetention,
    };
    this.#state.buckets.commit({ do: "setBucket", settings });
  }

  /** From the first line of a request to the last byte of its answer. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const number = ++this.#number;
    const requestId = randomBytes(8).toString("hex").toUpperCase();
    const headers = headerMap(request.rawHeaders);
    const lockstep = this.#lockstep;
    const facts: Facts = { receivedBytes: 0 };
    response.sendDate = false;
    response.setHeader("date", new Date(this.#nowMs()).toUTCString());
    response.setHeader("server", "dm-test-s3");
    response.setHeader("x-amz-request-id", requestId);
    let fault: S3Fault = {};
    let answer: S3Answer | undefined;
    let sentBytes = 0;
    lockstep?.arrive();
    try {
      const target = parseTarget(request.url ?? "", headers.get("host") ?? "");
      facts.target = target;
      if (request.method === "OPTIONS") {
        answer = answerPreflight(this.#options.cors ?? [], headers);
      } else if (this.#hasTokens && isTokenRequest(request, target, headers)) {
        answer = await answerTokenRequest(request, target, headers, {
          identities: this.#options.webIdentities ?? [],
          roles: this.#options.roles ?? [],
          nowMs: this.#nowMs(),
          findKey: (accessKeyId) => this.#keys.get(accessKeyId),
          addKey: (key) => this.#keys.set(key.accessKeyId, key),
        });
      } else {
        const operation = operationOf({ ...target, method: request.method ?? "", headers });
        facts.operation = operation;
        this.#counts[operation] += 1;
        const call = { ...target, number, operation, method: request.method ?? "", headers };
        fault = this.#faultOf(call);
        const delayMs = (fault.delayMs ?? 0) + this.#latencyOf(call);
        if (delayMs > 0) await this.#clock.sleep(delayMs);
        if (fault.reset === "before") throw new ConnectionCut();
        if (fault.answer?.code !== undefined) facts.code = fault.answer.code;
        answer = fault.answer
          ? await injected(request, fault.answer, requestId)
          : await this.#perform(request, call, fault, facts);
        if (fault.reset === "after") throw new ConnectionCut();
      }
    } catch (error) {
      if (error instanceof ConnectionCut || response.destroyed) answer = undefined;
      else {
        const refusal = error instanceof S3Refusal ? error : refuse("InternalError", String(error));
        facts.code = refusal.code;
        answer = refusalAnswer(refusal, requestId);
      }
    }
    if (answer === undefined) {
      lockstep?.leave();
      response.destroy();
    } else {
      await lockstep?.hold();
      const cors = corsHeaders(this.#options.cors ?? [], headers, request.method ?? "");
      const full = { ...answer, headers: { ...cors, ...answer.headers } };
      sentBytes = await sendAnswer(request, response, full, fault);
    }
    const { accessKeyId, code, operation, receivedBytes, target } = facts;
    this.#log.push({
      number,
      operation,
      bucket: target?.bucket ?? "",
      key: target?.key ?? "",
      range: headers.get("range"),
      accessKeyId,
      status: answer?.status,
      code,
      receivedBytes,
      sentBytes,
    });
    if (this.#log.length > maxLogEntries) this.#log.shift();
  }

  #faultOf(call: S3Call): S3Fault {
    for (const rule of this.#rules) {
      const fault = rule(call);
      if (fault) return fault;
    }
    return {};
  }

  #latencyOf(call: S3Call): number {
    if (!this.#latency || !("ms" in this.#latency)) return 0;
    const { ms } = this.#latency;
    return typeof ms === "number" ? ms : ms(call);
  }

  /** Checks who asks for what, and lets the operation do it. */
  async #perform(
    message: IncomingMessage,
    call: S3Call,
    fault: S3Fault,
    facts: Facts,
  ): Promise<S3Answer> {
    const { bucket, key, operation } = call;
    const { region } = this.#state;
    const away = this.#options.elsewhere?.[bucket];
    if (away && operation !== "GetBucketLocation") throw redirect(away, call, message.url ?? "/");
    const nowMs = this.#nowMs();
    const path = facts.target?.path ?? "/";
    // Clients ask for the region of a bucket before they know which one to sign for.
    const scoped = this.#options.anyRegion || operation === "GetBucketLocation";
    const authentication = authenticate(
      { method: call.method, path, query: call.query, headers: call.headers },
      {
        findKey: (accessKeyId) => this.#keys.get(accessKeyId),
        nowMs,
        region: scoped ? undefined : region,
      },
    );
    const { accessKey, presigned } = authentication;
    // Whoever presigns a URL may put headers of S3 into its query.
    const headers = presigned
      ? new Map([...[...call.query].filter(([name]) => name.startsWith("x-amz-")), ...call.headers])
      : call.headers;
    facts.accessKeyId = accessKey.accessKeyId;
    const permission = permissionOf(operation);
    // Each key of a batch is judged on its own.
    const named =
      operation === "DeleteObjects"
        ? (accessKey.keyPrefix ?? "")
        : permission === "list"
          ? listScope(call, accessKey)
          : key;
    if (!mayDo(accessKey, permission, bucket, named)) throw refuse("AccessDenied");
    if (away) {
      const { region: there } = away;
      return { status: 200, body: xmlDocument("LocationConstraint", { xml: there }) };
    }
    checkFeatures(this.#options.missingFeatures ?? [], operation, headers);
    const received = (bytes: number): void => {
      facts.receivedBytes = bytes;
      const { resetAfterReceivedBytes: limit } = fault;
      if (limit !== undefined && bytes >= limit) throw new ConnectionCut();
    };
    const bodyHeaders =
      operation === "CompleteMultipartUpload"
        ? new Map([...headers].filter(([name]) => !name.startsWith("x-amz-checksum-")))
        : headers;
    const request: S3Request = {
      operation,
      bucketName: bucket,
      key,
      query: call.query,
      headers,
      nowMs,
      permits: (wanted, objectKey, bucketName = bucket) =>
        mayDo(accessKey, wanted, bucketName, objectKey),
      receive: (kind) =>
        receiveBody(message, {
          headers: bodyHeaders,
          authentication,
          maxBytes: kind === "xml" ? maxXmlBytes : this.#state.maxObjectBytes,
          tooLong: kind === "xml" ? "MaxMessageLengthExceeded" : "EntityTooLarge",
          onBytes: received,
        }),
    };
    if (fault.staleMs !== undefined) this.#staleMs.set(request, fault.staleMs);
    return handlers[operation](request, this.#state);
  }

  /** What a test gets to see of all this. */
  publicFace(server: Server, endpoint: string, scheme: string): S3Server {
    const service = this;
    const { buckets, payloads, region } = this.#state;
    const close = async (): Promise<void> => {
      service.#setLatency(undefined);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      service.dispose();
    };
    return {
      url: `${scheme}://${endpoint}`,
      endpoint,
      region,
      accessKey: this.#firstKey,
      log: this.#log,
      get counts() {
        return service.#counts;
      },
      get rounds() {
        return service.#lockstep?.rounds ?? 0;
      },
      get clockOffsetMs() {
        return service.clockOffsetMs;
      },
      set clockOffsetMs(ms) {
        service.clockOffsetMs = ms;
      },
      resetCounts() {
        service.#counts = zeroCounts();
      },
      setAccessKey(key) {
        service.#keys.set(key.accessKeyId, key);
      },
      removeAccessKey(accessKeyId) {
        service.#keys.delete(accessKeyId);
      },
      setLatency(latency) {
        service.#setLatency(latency);
      },
      inject(rule) {
        service.#rules.unshift(rule);
        return () => {
          const index = service.#rules.indexOf(rule);
          if (index >= 0) service.#rules.splice(index, 1);
        };
      },
      createBucket(bucket) {
        service.#createBucket(bucket);
      },
      bucket(name) {
        const bucket = buckets.find(name);
        if (!bucket) throw new RangeError(`no bucket ${name}`);
        return {
          get keys() {
            return bucket.keys.filter((key) => bucket.current(key) !== undefined);
          },
          versions: (key) => bucket.versions(key),
          async read(key) {
            const version = bucket.current(key);
            if (version === undefined) return undefined;
            // A copy: what a test does to it must not change what is stored.
            return new Uint8Array(await payloads.read(version.payloadId, 0, version.length));
          },
        };
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }
}

const nameOf = (bucket: string | BucketOptions): string =>
  typeof bucket === "string" ? bucket : bucket.name;

function checkName(name: string): void {
  if (!isBucketName(name)) throw new RangeError(`no name for a bucket: ${name}`);
}

/** What is known of a request so far. */
interface Facts {
  target?: Target;
  operation?: S3Operation;
  accessKeyId?: string;
  code?: string;
  receivedBytes: number;
}

/** Ends a request without an answer. */
class ConnectionCut extends Error {
  override readonly name = "ConnectionCut";
}

const zeroCounts = (): Record<S3Operation, number> =>
  Object.fromEntries(s3Operations.map((operation) => [operation, 0])) as Record<
    S3Operation,
    number
  >;

/** Lists are judged by their prefix; the other requests that need `list` name no keys. */
function listScope(call: S3Call, key: AccessKey): string {
  const lists: readonly S3Operation[] = [
    "ListObjects",
    "ListObjectsV2",
    "ListObjectVersions",
    "ListMultipartUploads",
  ];
  return lists.includes(call.operation) ? (call.query.get("prefix") ?? "") : (key.keyPrefix ?? "");
}

/** Names in lower case, repeated headers joined; bytes that are UTF-8 are read as such. */
function headerMap(rawHeaders: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] as string).toLowerCase();
    const value = headerText(rawHeaders[index + 1] as string);
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

function headerText(value: string): string {
  if (/^[\x20-\x7e\t]*$/.test(value)) return value;
  const text = Buffer.from(value, "latin1").toString("utf8");
  return text.includes("\ufffd") ? value : text;
}

function redirect(away: Elsewhere, call: S3Call, target: string): S3Refusal {
  const { region, status = 301, url } = away;
  const { host } = new URL(url);
  return refuse(status === 301 ? "PermanentRedirect" : "TemporaryRedirect", {
    elements: { Endpoint: host, Bucket: call.bucket },
    headers: {
      "x-amz-bucket-region": region,
      ...(status === 307 && { location: `${url}${target}` }),
    },
  });
}

/** An answer that a fault gives, when the body of the request has been read and forgotten. */
async function injected(
  request: IncomingMessage,
  {
    body = "",
    code,
    headers,
    message = "Injected fault",
    status = 500,
  }: NonNullable<S3Fault["answer"]>,
  requestId: string,
): Promise<S3Answer> {
  for await (const _piece of request);
  if (code !== undefined) return { status, headers, body: errorDocument(code, message, requestId) };
  return { status, headers, body: Buffer.from(body) };
}
