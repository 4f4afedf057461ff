/** Reading of the pages under docs/format, so that tests can check what they show. */
import { readFile } from "node:fs/promises";
import { fromHex, toHex, utf8Encode } from "@dm/core";
import { type Crypter, createCrypter } from "../src/crypto/crypter.ts";
import { newFormat } from "../src/format/create-format.ts";
import type { RepositoryFormat } from "../src/format/repository-format.ts";

export const readPage = (name: string): Promise<string> =>
  readFile(new URL(`../../../docs/format/${name}.md`, import.meta.url), "utf8");

/** Text of a fenced block by its info string. */
export function blockIn(page: string, info: string): string {
  const block = page.split(`\`\`\`${info}\n`)[1]?.split("\n```")[0];
  if (block === undefined) throw new Error(`the page has no block ${info}`);
  return block;
}

/** Bytes of a dump: hexadecimal with spaces; `|` begins a remark, `00*12` is the byte 00 twelve times. */
export function dumpIn(page: string, name: string): Uint8Array {
  const digits = blockIn(page, `hex ${name}`)
    .replaceAll(/\|.*$/gm, "")
    .replaceAll(/([0-9a-f]{2})\*(\d+)/g, (_all, byte: string, count: string) =>
      byte.repeat(Number(count)),
    );
  return fromHex(digits.replaceAll(/\s/g, ""));
}

/** JSON line of a block, without the newline at its end. */
export const jsonIn = (page: string, name: string): Uint8Array =>
  utf8Encode(blockIn(page, `json ${name}`));

/** Bytes of a table row: the cells of the line that begins with this one. */
export function rowsIn(page: string, heading: string): string[][] {
  const section = page.split(`${heading}\n`)[1] ?? "";
  const lines = section
    .split(/\n#/)[0]!
    .split("\n")
    .filter((line) => line.startsWith("|"));
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const sequence = (first: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, index) => first + index);

/** The repository that all pages use, and "random" bytes a0 … ab, again and again; long ones are zero. */
export const pageRandomBytes = (length: number): Uint8Array =>
  length >= 1000
    ? new Uint8Array(length)
    : Uint8Array.from({ length }, (_, index) => 0xa0 + (index % 12));
export const pageUniqueId: Uint8Array = sequence(0);
export const pageFormat: RepositoryFormat = {
  ...newFormat({}),
  secret: sequence(0x40),
  masterKey: sequence(0x20),
};
export const pageCrypter: Crypter = createCrypter(pageFormat, { randomBytes: pageRandomBytes });
export const pageSessionId = "s0011223344556677147";

/** Hexadecimal; long runs of zeros are written as in the pages, so that a failure stays readable. */
export const hex = (bytes: Uint8Array): string =>
  toHex(bytes).replaceAll(/(?:00){64,}/g, (zeros) => `00*${zeros.length / 2}`);
