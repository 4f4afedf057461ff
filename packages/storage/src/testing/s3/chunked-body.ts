/**
 * The framing `aws-chunked`: a body in chunks of `SIZE[;chunk-signature=…]`, each signed on top of the one before or not at
 * all, and trailers behind the last. Read piece by piece, however the network cuts it; what a chunk holds counts only when
 * the whole body has been read.
 * Proof: test/testing-s3-signature.test.ts.
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { refuse } from "./refusal.ts";
import {
  type Authentication,
  chunkSignature,
  sameSignature,
  trailerSignature,
} from "./signature.ts";

export interface ChunkedBodyOptions {
  /** Who signed the chunks; undefined: they are not signed. */
  readonly signer?: Authentication | undefined;
  /** Names of the trailers that were announced, in lower case. */
  readonly trailers: readonly string[];
}

/** Longest line of the framing, without its end. */
const maxLineLength = 1024;
/** Most bytes of all trailers together. */
const maxTrailerBytes = 8192;

const malformed = (why: string): Error => refuse("IncompleteBody", `The chunked body ${why}.`);

export interface ChunkedBody {
  /** Reads the next bytes of the request; `emit` gets those of the object, which are views into `bytes`. */
  push(bytes: Uint8Array, emit: (data: Uint8Array) => void): void;
  /** To be called when the request is over: the trailers by name. */
  end(): ReadonlyMap<string, string>;
}

export function chunkedBody({ signer, trailers }: ChunkedBodyOptions): ChunkedBody {
  let state: "header" | "data" | "dataEnd" | "trailer" | "done" = "header";
  let line = "";
  let remaining = 0;
  let declared = "";
  let previous = signer?.signature ?? "";
  let digest: Hash | undefined;
  let trailerText = "";
  const found = new Map<string, string>();

  const beginChunk = (header: string): void => {
    const [, size, signature] =
      /^([0-9A-Fa-f]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(header) ?? [];
    if (size === undefined) throw malformed("has a chunk without a size");
    if (signer !== undefined && signature === undefined)
      throw malformed("has a chunk without a signature");
    remaining = Number.parseInt(size, 16);
    declared = signature ?? "";
    digest = signer === undefined ? undefined : createHash("sha256");
    if (remaining > 0) {
      state = "data";
      return;
    }
    checkChunk();
    // Without trailers the last chunk still ends with an empty line.
    state = "trailer";
  };

  const checkChunk = (): void => {
    if (signer === undefined || digest === undefined) return;
    const computed = chunkSignature(signer, previous, digest.digest("hex"));
    if (!sameSignature(computed, declared)) throw refuse("SignatureDoesNotMatch");
    previous = computed;
  };

  const endTrailers = (): void => {
    const signature = found.get("x-amz-trailer-signature");
    found.delete("x-amz-trailer-signature");
    if (signer !== undefined && trailers.length > 0) {
      const computed = trailerSignature(signer, previous, trailerText);
      if (signature === undefined || !sameSignature(computed, signature))
        throw refuse("SignatureDoesNotMatch");
    }
    for (const name of trailers) if (!found.has(name)) throw malformed(`lacks the trailer ${name}`);
    state = "done";
  };

  const trailerLine = (text: string): void => {
    if (text === "") {
      // An empty line stands between the trailers and their signature, too.
      const unsigned = signer !== undefined && !found.has("x-amz-trailer-signature");
      if (!(unsigned && trailers.length > 0 && found.size > 0)) endTrailers();
      return;
    }
    const colon = text.indexOf(":");
    const name = text.slice(0, colon).trim().toLowerCase();
    const value = text.slice(colon + 1).trim();
    const announced = trailers.includes(name) || name === "x-amz-trailer-signature";
    if (colon < 1 || !announced || found.has(name))
      throw malformed("has a trailer that was not announced");
    if (name !== "x-amz-trailer-signature") trailerText += `${name}:${value}\n`;
    if (trailerText.length > maxTrailerBytes) throw malformed("has trailers without end");
    found.set(name, value);
  };

  return {
    push(bytes, emit) {
      let at = 0;
      while (at < bytes.length) {
        if (state === "done") {
          // One empty line too many is common, and harmless.
          if (bytes.subarray(at).some((byte) => byte !== 13 && byte !== 10))
            throw malformed("goes on behind its end");
          return;
        }
        if (state === "data") {
          const data = bytes.subarray(at, at + remaining);
          at += data.length;
          remaining -= data.length;
          digest?.update(data);
          emit(data);
          if (remaining === 0) state = "dataEnd";
          continue;
        }
        const end = bytes.indexOf(10, at);
        line += Buffer.from(bytes.subarray(at, end < 0 ? bytes.length : end)).toString("latin1");
        if (line.length > maxLineLength) throw malformed("has a line without end");
        if (end < 0) return;
        at = end + 1;
        // Some clients end a trailer with a line feed alone.
        const text = line.endsWith("\r") ? line.slice(0, -1) : line;
        line = "";
        if (state === "header") beginChunk(text);
        else if (state === "dataEnd") {
          if (text !== "") throw malformed("has a chunk that is longer than its size");
          checkChunk();
          state = "header";
        } else trailerLine(text);
      }
    },
    end() {
      // An end without the empty line is accepted behind trailers, as Amazon does.
      if (state === "trailer" && line === "") endTrailers();
      if (state !== "done") throw malformed("ends before its last chunk");
      return found;
    },
  };
}
