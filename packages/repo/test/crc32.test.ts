// The checksum in plain JavaScript, for browsers, is Node's, for every length up to several steps of eight and any seed.
import { utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import { crc32, portableCrc32 } from "../src/crc32.ts";
import { bytesOf } from "./new-repository.ts";

it("is the IEEE checksum of the nine digits", () => {
  expect(portableCrc32(utf8Encode("123456789"), 0)).toBe(0xcbf43926);
});

it("agrees with Node, whole and continued", () => {
  for (let length = 0; length < 70; length++) {
    const bytes = bytesOf(length, length + 1);
    expect(portableCrc32(bytes, 0)).toBe(crc32(bytes));
    const cut = length >> 1;
    const head = portableCrc32(bytes.subarray(0, cut), 0);
    expect(portableCrc32(bytes.subarray(cut), head)).toBe(crc32(bytes));
  }
});
