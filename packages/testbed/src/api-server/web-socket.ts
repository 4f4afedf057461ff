/**
 * The server's side of a WebSocket (RFC 6455) over a connection that node:http has handed out: binary messages, ping, close.
 * Proof: test/api-server/pod-streams.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

export interface WebSocketConnection {
  /** Calls back when the data is on its way, later when the client reads slowly. */
  send(message: Uint8Array, callback?: () => void): void;
  /** Resolves when the bytes are out. */
  close(code?: number): Promise<void>;
}

export interface WebSocketOptions {
  readonly protocol: string;

  onMessage(message: Buffer): void;
  onClose(): void;
}

const acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const maxMessageBytes = 32 * 1024 * 1024;

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Answers the upgrade and takes over the connection. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: WebSocketOptions,
): WebSocketConnection {
  const key = request.headers["sec-websocket-key"] ?? "";
  const accept = createHash("sha1").update(`${key}${acceptSuffix}`).digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${options.protocol}\r\n\r\n`,
  );
  let closed = false;
  const onGone = (): void => {
    if (closed) return;
    closed = true;
    options.onClose();
  };
  const write = (code: number, payload: Uint8Array, callback?: () => void): void => {
    if (closed || socket.destroyed) {
      callback?.();
      return;
    }
    socket.write(frameHead(code, payload.length));
    if (socket.write(payload) || callback === undefined) callback?.();
    else socket.once("drain", callback);
  };

  let pending = head;
  let fragments: Buffer[] = [];
  const read = (): void => {
    for (;;) {
      const frame = parseFrame(pending);
      if (frame === undefined) return;
      if (frame === "too long") {
        socket.destroy();
        return;
      }
      pending = pending.subarray(frame.length);
      if (frame.code === opcode.ping) write(opcode.pong, frame.payload);
      else if (frame.code === opcode.close) {
        write(opcode.close, frame.payload);
        socket.end();
        onGone();
        return;
      } else if (frame.code !== opcode.pong) {
        fragments.push(frame.payload);
        if (!frame.last) continue;
        const message = fragments.length === 1 ? frame.payload : Buffer.concat(fragments);
        fragments = [];
        options.onMessage(message);
      }
    }
  };
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    read();
  });
  socket.on("error", onGone);
  socket.on("close", onGone);
  socket.on("end", () => socket.end());
  read();

  return {
    send: (message, callback) => write(opcode.binary, message, callback),
    close(code = 1000) {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      write(opcode.close, payload);
      closed = true;
      return new Promise((resolve) => {
        socket.end(resolve);
      });
    },
  };
}

function frameHead(code: number, length: number): Buffer {
  if (length < 126) return Buffer.from([0x80 | code, length]);
  if (length < 65536) return Buffer.from([0x80 | code, 126, length >> 8, length & 0xff]);
  const head = Buffer.alloc(10);
  head[0] = 0x80 | code;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

interface Frame {
  readonly code: number;
  readonly last: boolean;
  readonly payload: Buffer;
  /** With its head. */
  readonly length: number;
}

/** Undefined while the frame is not complete. */
function parseFrame(bytes: Buffer): Frame | "too long" | undefined {
  if (bytes.length < 2) return undefined;
  const first = bytes[0] as number;
  const second = bytes[1] as number;
  let offset = 2;
  let payloadLength = second & 0x7f;
  if (payloadLength === 126) {
    if (bytes.length < 4) return undefined;
    payloadLength = bytes.readUInt16BE(2);
    offset = 4;
  } else if (payloadLength === 127) {
    if (bytes.length < 10) return undefined;
    payloadLength = Number(bytes.readBigUInt64BE(2));
    offset = 10;
  }
  if (payloadLength > maxMessageBytes) return "too long";
  const masked = (second & 0x80) !== 0;
  const end = offset + (masked ? 4 : 0) + payloadLength;
  if (bytes.length < end) return undefined;
  const payload = Buffer.from(bytes.subarray(end - payloadLength, end));
  if (masked) {
    for (let index = 0; index < payloadLength; index++) {
      payload[index] = (payload[index] as number) ^ (bytes[offset + (index & 3)] as number);
    }
  }
  return { code: first & 0x0f, last: (first & 0x80) !== 0, payload, length: end };
}
