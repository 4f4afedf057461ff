/** Frames of a WebSocket: whole, byte by byte, and those that are refused. */
import { expect, it } from "vitest";
import { clientFrame, frameReader } from "../../src/runtime/web-socket-frames.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const long = Buffer.concat([bytes(0x82, 126, 0x01, 0x2c), Buffer.alloc(300, 7)]);
const stream = Buffer.concat([
  bytes(0x82, 3, 1, 0x61, 0x62),
  long,
  bytes(0x89, 1, 5),
  bytes(0x8a, 0),
  // One message in two parts: both are of channel 2.
  bytes(0x02, 2, 2, 0x63),
  bytes(0x80, 1, 0x64),
  bytes(0x88, 0),
]);
const expected = [
  ["data", [1, 0x61, 0x62]],
  ["data", Array.from({ length: 300 }, () => 7)],
  ["ping", [5]],
  ["data", [2, 0x63]],
  ["data", [2, 0x64]],
  ["close", []],
];

it.each([1, 2, 7, 1000])("messages come out whatever way the bytes come in: by %d", (step) => {
  const reader = frameReader(1000);
  const found: unknown[] = [];
  for (let at = 0; at < stream.length; at += step)
    for (const one of reader.push(stream.subarray(at, at + step)))
      found.push([one.type, [...one.bytes]]);
  expect(found).toEqual(expected);
});

it.each([
  ["too long", bytes(0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0), /frame of 4294967296 bytes/],
  ["masked", bytes(0x82, 0x81, 0, 0, 0, 0, 1), /does not mask/],
  ["of no known type", bytes(0x83, 0), /frame of type 3/],
])("a frame %s is refused", (_what, frame, text) => {
  expect(() => frameReader(1000).push(frame)).toThrow(text);
});

it("what a client sends is masked", () => {
  expect([...clientFrame("pong", bytes(1, 2), bytes(4, 4, 4, 4))]).toEqual([
    0x8a, 0x82, 4, 4, 4, 4, 5, 6,
  ]);
  expect([...clientFrame("close", bytes(), bytes(1, 2, 3, 4))]).toEqual([0x88, 0x80, 1, 2, 3, 4]);
});
