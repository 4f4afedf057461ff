// SPDY frames against a client of a few lines that packs its headers with zlib; kubectl's own are in kubectl.kubectl.test.ts.
import { duplexPair } from "node:stream";
import { constants, deflateSync, inflateSync } from "node:zlib";
import { expect, it } from "vitest";
import { headerDictionary, openSpdy } from "../../src/api-server/spdy.ts";

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function frame(first: number, flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(first >>> 0, 0);
  head[4] = flags;
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

function headerBlock(headers: Record<string, string>): Buffer {
  const texts = Object.entries(headers).flat();
  const parts = texts.map((text) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return Buffer.concat([length, Buffer.from(text)]);
  });
  const count = Buffer.alloc(4);
  count.writeUInt32BE(texts.length / 2);
  const options = { dictionary: headerDictionary, finishFlush: constants.Z_SYNC_FLUSH };
  return deflateSync(Buffer.concat([count, ...parts]), options);
}

const synStream = (id: number, block: Buffer): Buffer => {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(id);
  return frame(0x80030001, 0, Buffer.concat([head, block]));
};

function open(): { write: (bytes: Buffer) => void; sent: () => Buffer; heard: string[] } {
  const [client, server] = duplexPair();
  const heard: string[] = [];
  const chunks: Buffer[] = [];
  client.on("data", (chunk: Buffer) => chunks.push(chunk));
  openSpdy(server, Buffer.alloc(0), {
    onStream: (id, headers) => heard.push(`stream ${id} ${headers.get("streamtype")}`),
    onData: (id, data, last) => heard.push(`data ${id} ${data} ${last}`),
    onClose: () => heard.push("closed"),
  });
  return { write: (bytes) => client.write(bytes), sent: () => Buffer.concat(chunks), heard };
}

it("knows the dictionary that the protocol names by its checksum", async () => {
  const { write, sent } = open();
  write(synStream(1, headerBlock({ streamType: "error" })));
  await tick();
  // Behind the head of the frame, the stream, and two bytes of zlib's head.
  expect(sent().subarray(14, 18).toString("hex")).toBe("e3c6a7c2");
});

it.each([
  ["at once", 1000],
  ["byte by byte", 1],
])("hears streams and data that come %s", async (_name, size) => {
  const { write, heard, sent } = open();
  const bytes = Buffer.concat([
    synStream(1, headerBlock({ streamType: "stdin", other: "x" })),
    frame(1, 0, Buffer.from("hello")),
    frame(1, 1, Buffer.alloc(0)),
    frame(0x80030006, 0, Buffer.from([0, 0, 0, 7])),
    frame(0x80030007, 0, Buffer.alloc(8)),
  ]);
  for (let offset = 0; offset < bytes.length; offset += size)
    write(bytes.subarray(offset, offset + size));
  while (!heard.includes("closed")) await tick();
  expect(heard).toEqual(["stream 1 stdin", "data 1 hello false", "data 1  true", "closed"]);
  const answers = sent();
  expect(answers.readUInt32BE(0)).toBe(0x80030002);
  const length = answers.readUIntBE(5, 3);
  const block = inflateSync(answers.subarray(12, 8 + length), {
    dictionary: headerDictionary,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  expect(block.readUInt32BE(0)).toBe(0);
  expect(answers.subarray(8 + length).toString("hex")).toBe("800300060000000400000007");
});

it("ends the connection over nonsense", async () => {
  const { write, heard } = open();
  write(frame(0x80030001, 0, Buffer.from("nonsense that is no header block")));
  while (!heard.includes("closed")) await tick();
  expect(heard).toEqual(["closed"]);
});
