/**
 * The server's side of SPDY/3.1 as far as exec needs it: streams that the client opens, data in both directions, pings. Windows
 * are not kept, as the clients of Kubernetes keep none.
 * Format: the draft "SPDY Protocol 3.1", frames and the dictionary of header blocks.
 * Proof: test/api-server/spdy.test.ts, test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import type { Duplex } from "node:stream";
import { constants, inflateSync } from "node:zlib";

export interface SpdyEvents {
  /** A stream has been opened, and is answered. */
  onStream(id: number, headers: ReadonlyMap<string, string>): void;
  onData(id: number, data: Buffer, last: boolean): void;
  onClose(): void;
}

export interface SpdyConnection {
  send(id: number, data: Buffer, last: boolean, callback?: () => void): void;
}

const control = { synStream: 1, synReply: 2, reset: 3, ping: 6, goAway: 7 } as const;
const lastFlag = 1;
const headLength = 8;
const maxFrameBytes = 16 * 1024 * 1024;

/** Header blocks of one connection, which are all that is kept of it; kubectl sends five of some 40 bytes. */
const maxHeaderBytes = 64 * 1024;

export function openSpdy(socket: Duplex, head: Buffer, events: SpdyEvents): SpdyConnection {
  const readHeaders = createHeaderReader();
  let firstReply = true;
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    events.onClose();
  };

  const onControl = (type: number, flags: number, payload: Buffer): void => {
    if (type === control.synStream) {
      const id = payload.readUInt32BE(0) & 0x7fffffff;
      const headers = readHeaders(payload.subarray(10));
      socket.write(synReply(id, firstReply));
      firstReply = false;
      events.onStream(id, headers);
      if (flags & lastFlag) events.onData(id, Buffer.alloc(0), true);
    } else if (type === control.reset) {
      events.onData(payload.readUInt32BE(0) & 0x7fffffff, Buffer.alloc(0), true);
    } else if (type === control.ping) {
      // Odd numbers are the client's own, and come back.
      if (payload.readUInt32BE(0) % 2 === 1)
        socket.write(frame(0x80030000 | control.ping, 0, payload));
    } else if (type === control.goAway) close();
  };

  let pending = head;
  const read = (): void => {
    while (!closed && pending.length >= headLength) {
      const first = pending.readUInt32BE(0);
      const flags = pending[4] as number;
      const length = pending.readUIntBE(5, 3);
      if (length > maxFrameBytes) throw new RangeError("the frame is too long");
      if (pending.length < headLength + length) return;
      const payload = pending.subarray(headLength, headLength + length);
      pending = pending.subarray(headLength + length);
      if (first & 0x80000000) onControl(first & 0xffff, flags, payload);
      else events.onData(first, Buffer.from(payload), (flags & lastFlag) !== 0);
    }
  };
  const tryRead = (): void => {
    try {
      read();
    } catch {
      // Not what a client of Kubernetes sends.
      socket.destroy();
    }
  };
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    tryRead();
  });
  socket.on("error", close);
  socket.on("end", close);
  socket.on("close", close);
  tryRead();

  return {
    send(id, data, last, callback) {
      if (closed || socket.destroyed) callback?.();
      else if (socket.write(frame(id, last ? lastFlag : 0, data)) || !callback) callback?.();
      else socket.once("drain", callback);
    },
  };
}

function frame(first: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(headLength);
  head.writeUInt32BE(first >>> 0, 0);
  head[4] = flags;
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

/**
 * An answer without headers. Its block is stored, not compressed, so that no state of a compressor has to be kept. The empty
 * block behind it, as a flush makes it, keeps readers from asking for more than there is.
 */
function synReply(id: number, first: boolean): Buffer {
  const block = Buffer.from([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(id);
  return frame(
    0x80030000 | control.synReply,
    0,
    Buffer.concat([head, ...(first ? [zlibHead()] : []), block]),
  );
}

/** Deflate with a preset dictionary, and the dictionary's checksum. */
function zlibHead(): Buffer {
  const head = Buffer.from([0x78, 0, 0, 0, 0, 0]);
  // The two bytes are a multiple of 31 together.
  const flags = 0x20;
  head[1] = flags | ((31 - ((0x7800 + flags) % 31)) % 31);
  head.writeUInt32BE(adler32(headerDictionary), 2);
  return head;
}

function adler32(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** All blocks of a connection are one compressed text; it is short, and unpacked from its beginning for each. */
function createHeaderReader(): (block: Buffer) => Map<string, string> {
  let packed: Buffer = Buffer.alloc(0);
  let unpackedLength = 0;
  return (block) => {
    packed = Buffer.concat([packed, block]);
    if (packed.length > maxHeaderBytes) throw new RangeError("too many headers");
    const all = inflateSync(packed, {
      dictionary: headerDictionary,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
    const text = all.subarray(unpackedLength);
    unpackedLength = all.length;
    return parseHeaders(text);
  };
}

function parseHeaders(text: Buffer): Map<string, string> {
  const headers = new Map<string, string>();
  let offset = 4;
  const next = (): string => {
    const length = text.readUInt32BE(offset);
    const value = text.toString("latin1", offset + 4, offset + 4 + length);
    offset += 4 + length;
    return value;
  };
  for (let count = text.readUInt32BE(0); count > 0; count--)
    headers.set(next().toLowerCase(), next());
  return headers;
}

/** Words of the dictionary, each with its length in front. */
const dictionaryWords = [
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow",
  "authorization cache-control connection content-base content-encoding content-language content-length content-location",
  "content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match",
  "if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range",
  "referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get",
  "status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin",
].flatMap((line) => line.split(" ").map((word) => word.replace("_", " ")));

/** What follows them. */
const dictionaryTail =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505" +
  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden" +
  "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable" +
  "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" +
  "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript," +
  "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/** Known to both sides before the first header block. */
export const headerDictionary: Buffer = Buffer.concat([
  ...dictionaryWords.map((word) => {
    const bytes = Buffer.alloc(4 + word.length);
    bytes.writeUInt32BE(word.length);
    bytes.write(word, 4, "latin1");
    return bytes;
  }),
  Buffer.from(dictionaryTail),
]);
