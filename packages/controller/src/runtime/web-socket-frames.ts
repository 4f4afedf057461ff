/**
 * What a WebSocket server sends, as messages (RFC 6455), and the few frames that a client which only listens sends back. Pure.
 * Proof: test/runtime/web-socket-frames.test.ts.
 * @module
 */
import { unavailable } from "./kube-errors.ts";

export interface WebSocketMessage {
  readonly type: "data" | "ping" | "close";
  readonly bytes: Uint8Array;
}

const types: Readonly<Record<number, WebSocketMessage["type"] | "pong">> = {
  0: "data",
  1: "data",
  2: "data",
  8: "close",
  9: "ping",
  10: "pong",
};

/** Parts of a long message come as they are, one by one, with the first byte of the first one in front: the channel. */
export interface FrameReader {
  push(chunk: Uint8Array): WebSocketMessage[];
}

/** @throws {StorageError} `DM_KUBE_UNAVAILABLE` (from `push`) for frames of more than `maxBytes`, and for what is no frame */
export function frameReader(maxBytes: number): FrameReader {
  let rest: Uint8Array = new Uint8Array();
  let channel = new Uint8Array();
  return {
    push(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const messages: WebSocketMessage[] = [];
      for (;;) {
        const frame = firstFrame(rest, maxBytes);
        if (frame === undefined) return messages;
        rest = rest.subarray(frame.end);
        const type = types[frame.opcode];
        if (type === undefined) throw unavailable(`WebSocket: frame of type ${frame.opcode}`);
        if (type === "pong") continue;
        let bytes = frame.body;
        if (type === "data" && frame.opcode === 0) bytes = Buffer.concat([channel, bytes]);
        else if (type === "data") channel = Uint8Array.from(bytes.subarray(0, 1));
        messages.push({ type, bytes });
      }
    },
  };
}

interface Frame {
  readonly opcode: number;
  readonly body: Uint8Array;
  readonly end: number;
}

function firstFrame(bytes: Uint8Array, maxBytes: number): Frame | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 2) return undefined;
  const short = view.getUint8(1);
  if (short & 0x80) throw unavailable("WebSocket: a server does not mask its frames");
  const extra = short === 127 ? 8 : short === 126 ? 2 : 0;
  const start = 2 + extra;
  if (bytes.length < start) return undefined;
  const length =
    extra === 8 ? Number(view.getBigUint64(2)) : extra === 2 ? view.getUint16(2) : short;
  if (length > maxBytes) throw unavailable(`WebSocket: frame of ${length} bytes`);
  const end = start + length;
  if (bytes.length < end) return undefined;
  return { opcode: view.getUint8(0) & 0x0f, body: bytes.subarray(start, end), end };
}

/** A client masks what it sends; its key may be any. */
export function clientFrame(type: "pong" | "close", body: Uint8Array, mask: Uint8Array): Buffer {
  const short = body.subarray(0, 125);
  const frame = Buffer.alloc(6 + short.length);
  frame[0] = 0x80 | (type === "pong" ? 10 : 8);
  frame[1] = 0x80 | short.length;
  frame.set(mask.subarray(0, 4), 2);
  short.forEach((byte, index) => {
    frame[6 + index] = byte ^ (mask[index % 4] ?? 0);
  });
  return frame;
}
