// Extended metadata as members of a directory's entry: round trips, one text for equal metadata, refusals of everything that
// is not of the shape; and a stranger's members beside it stay as they are.
import { readFile } from "node:fs/promises";
import { isDmError, utf8Encode } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  decodeDirectory,
  decodeExtendedMetadata,
  type ExtendedMetadata,
  encodeDirectory,
  encodeEntry,
  encodeExtendedMetadata,
  hasExtendedMetadata,
  type RawMember,
  summarizeDirectory,
} from "../src/index.ts";
import { entryOf } from "./made-up.ts";
import { fc } from "./property.ts";

const attribute = fc.record({
  name: fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 40 })
    .filter((name) => !name.includes("\0") && Buffer.byteLength(name) <= 255),
  value: fc.uint8Array({ maxLength: 300 }),
});
const metadata: fc.Arbitrary<ExtendedMetadata> = fc.record({
  attributes: fc.uniqueArray(attribute, { selector: ({ name }) => name, maxLength: 8 }),
  linkId: fc.option(fc.stringMatching(/^[0-9:]{1,40}$/), { nil: undefined }),
});

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
const sorted = ({ attributes, linkId }: ExtendedMetadata) => ({
  attributes: [...attributes].sort(byName),
  linkId,
});

describe("extended metadata", () => {
  it("survives a directory stream", () => {
    fc.assert(
      fc.property(metadata, (given) => {
        const unknownMembers: RawMember[] = [
          ["other", '{"kept": [1]}'],
          ...encodeExtendedMetadata(given),
        ];
        const entries = [{ ...entryOf({ name: "a" }), unknownMembers }];
        const bytes = encodeDirectory({ entries, summary: summarizeDirectory(entries, 0n) });
        const [read] = decodeDirectory(bytes).entries;
        expect(sorted(decodeExtendedMetadata(read!.unknownMembers))).toEqual(sorted(given));
        expect(hasExtendedMetadata(read!.unknownMembers, encodeExtendedMetadata(given))).toBe(true);
        expect(read!.unknownMembers).toContainEqual(["other", '{"kept": [1]}']);
      }),
    );
  });

  it("has one text whatever the order", () => {
    fc.assert(
      fc.property(metadata, ({ attributes, linkId }) => {
        const turned = { attributes: [...attributes].reverse(), linkId };
        expect(encodeExtendedMetadata(turned)).toEqual(
          encodeExtendedMetadata({ attributes, linkId }),
        );
      }),
    );
  });

  it("leaves an entry without any as Kopia writes it", () => {
    expect(encodeExtendedMetadata({ attributes: [] })).toEqual([]);
    expect(decodeExtendedMetadata(undefined)).toEqual({ attributes: [], linkId: undefined });
    expect(hasExtendedMetadata(undefined, [])).toBe(true);
    expect(hasExtendedMetadata([["other", "1"]], [])).toBe(true);
  });

  it("tells what has changed", () => {
    const encode = (value: number, linkId?: string) =>
      encodeExtendedMetadata({
        attributes: [{ name: "user.a", value: Uint8Array.of(value) }],
        linkId,
      });
    expect(hasExtendedMetadata(encode(1), encode(1))).toBe(true);
    expect(hasExtendedMetadata(encode(1), encode(2))).toBe(false);
    expect(hasExtendedMetadata(encode(1), encode(1, "7"))).toBe(false);
    expect(hasExtendedMetadata(encode(1, "8"), encode(1, "7"))).toBe(false);
    expect(hasExtendedMetadata(encode(1), [])).toBe(false);
    expect(hasExtendedMetadata(undefined, encode(1))).toBe(false);
  });

  it.each([
    ["dm:xattrs", "null"],
    ["dm:xattrs", "[]"],
    ["dm:xattrs", '"text"'],
    ["dm:xattrs", '{"user.a":1}'],
    ["dm:xattrs", '{"user.a":"not base64"}'],
    ["dm:xattrs", '{"":"AA=="}'],
    ["dm:xattrs", '{"user.\\u0000a":"AA=="}'],
    ["dm:xattrs", `{"${"n".repeat(256)}":"AA=="}`],
    ["dm:xattrs", `{"user.a":"${Buffer.alloc(65_537).toString("base64")}"}`],
    ["dm:xattrs", `{"user.a":"${"A".repeat(200_000)}"}`],
    ["dm:link", "7"],
    ["dm:link", '""'],
    ["dm:link", `"${"7".repeat(65)}"`],
  ])("refuses %s of %.60s", (name, json) => {
    let error: unknown;
    try {
      decodeExtendedMetadata([[name, json]]);
    } catch (caught) {
      error = caught;
    }
    expect(isDmError(error, "DM_EXTENDED_METADATA_INVALID")).toBe(true);
    expect((error as Error).message).toContain(name);
  });

  it("takes values as long as the system has them, and refuses too many names", () => {
    const value = new Uint8Array(65_536).fill(3);
    const members = encodeExtendedMetadata({ attributes: [{ name: "user.a", value }] });
    expect(decodeExtendedMetadata(members).attributes[0]!.value).toEqual(value);
    const many = Object.fromEntries(
      Array.from({ length: 300 }, (_, index) => [`${index}`.padEnd(250, "n"), ""]),
    );
    expect(() => decodeExtendedMetadata([["dm:xattrs", JSON.stringify(many)]])).toThrow(
      "names of more than 65536 bytes",
    );
  });

  it("is written as the format page says", async () => {
    const url = new URL("../../../docs/format/directories.md", import.meta.url);
    const block = (await readFile(url, "utf8")).split("```json extended\n")[1]!.split("\n")[0]!;
    const stream = `{"stream":"kopia:directory","entries":[${block}],"summary":null}`;
    const [entry] = decodeDirectory(utf8Encode(stream)).entries;
    const metadata = decodeExtendedMetadata(entry!.unknownMembers);
    expect(metadata.linkId).toBe("131074");
    expect(metadata.attributes.map(({ name, value }) => [name, value.length])).toEqual([
      ["system.posix_acl_access", 44],
      ["user.mime_type", 10],
    ]);
    const unknownMembers = encodeExtendedMetadata(metadata);
    expect(encodeEntry({ ...entry!, unknownMembers })).toBe(block);
  });
});
