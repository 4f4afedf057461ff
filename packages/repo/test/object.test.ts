// An object comes back as it was written, by range and as a stream, whatever its size and however it was handed over.
import { concatBytes, FormatError, utf8Encode } from "@dm/core";
import { counting } from "@dm/storage";
import { describe, expect, it } from "vitest";
import type { WriteContentOptions } from "../src/content/content-writer.ts";
import { type ContentId, parseContentId } from "../src/content-id.ts";
import {
  decodeIndirect,
  encodeIndirect,
  type IndirectEntry,
} from "../src/object/indirect-codec.ts";
import { objectContents, openObject } from "../src/object/object-reader.ts";
import { type ObjectFormat, ObjectWriter } from "../src/object/object-writer.ts";
import { bytesOf, newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

/** Contents in a map, named in the order in which they come. */
class Contents {
  readonly stored = new Map<ContentId, Uint8Array>();
  readonly longest = { bytes: 0 };

  async write(data: Uint8Array, options: WriteContentOptions = {}): Promise<ContentId> {
    const number = this.stored.size.toString(16).padStart(32, "0");
    const id = parseContentId((options.prefix ?? "") + number);
    this.longest.bytes = Math.max(this.longest.bytes, data.length);
    this.stored.set(id, data.slice());
    return id;
  }

  async read(id: ContentId): Promise<Uint8Array> {
    const bytes = this.stored.get(id);
    if (!bytes) throw new Error(`no content ${id}`);
    return bytes.slice();
  }
}

const format: ObjectFormat = { splitter: "FIXED-128K", indexVersion: 2 };

async function written(contents: Contents, pieces: Iterable<Uint8Array>): Promise<string> {
  const writer = new ObjectWriter(contents, format);
  for (const piece of pieces) await writer.write(piece);
  return writer.result();
}

function* slices(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  let from = 0;
  for (const length of lengths) {
    yield bytes.subarray(from, from + length);
    from += length;
  }
  yield bytes.subarray(from);
}

describe("writing and reading", () => {
  it.each([
    ["nothing", 0, /^0{32}$/],
    ["a byte", 1, /^0{32}$/],
    ["one part exactly", 128 << 10, /^0{32}$/],
    ["one part and a byte", (128 << 10) + 1, /^Ix/],
    ["five parts", 5 * (128 << 10), /^Ix/],
  ])("%s", async (_, length, id) => {
    const contents = new Contents();
    const bytes = bytesOf(length);
    const object = await written(contents, [bytes]);
    expect(object).toMatch(id);
    const reader = await openObject(contents, object);
    expect(reader.length).toBe(length);
    expect(Buffer.compare(await reader.read(), bytes)).toBe(0);
    expect(contents.longest.bytes).toBeLessThanOrEqual(128 << 10);
  });

  it("does not depend on how the bytes are sliced, and every range is right", async () => {
    const bytes = bytesOf(400_000);
    const whole = new Contents();
    const expected = await written(whole, [bytes]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(150_000), { maxLength: 6 }),
        fc.nat(400_000),
        fc.nat(400_000),
        async (lengths, a, b) => {
          const contents = new Contents();
          const object = await written(contents, slices(bytes, lengths));
          expect(object).toBe(expected);
          expect([...contents.stored.keys()]).toEqual([...whole.stored.keys()]);
          const [offset, end] = [Math.min(a, b), Math.max(a, b)];
          const reader = await openObject(contents, object);
          const part = await reader.read({ offset, length: end - offset });
          expect(Buffer.compare(part, bytes.subarray(offset, end))).toBe(0);
          const streamed: Uint8Array[] = [];
          for await (const piece of reader.stream({ offset, length: end - offset }))
            streamed.push(piece);
          expect(Buffer.compare(Buffer.concat(streamed), part)).toBe(0);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("reads only the parts that a range needs", async () => {
    const contents = new Contents();
    const object = await written(contents, [bytesOf(1_000_000)]);
    const reader = await openObject(contents, object);
    const asked: ContentId[] = [];
    const { read } = contents;
    contents.read = (id) => {
      asked.push(id);
      return read.call(contents, id);
    };
    await reader.read({ offset: 300_000, length: 10 });
    expect(asked.length).toBe(1);
  });

  it("refuses ranges outside the object", async () => {
    const contents = new Contents();
    const reader = await openObject(contents, await written(contents, [bytesOf(10)]));
    await expect(reader.read({ offset: 5, length: 6 })).rejects.toThrow(RangeError);
    await expect(reader.read({ offset: -1 })).rejects.toThrow(RangeError);
    expect(await reader.read({ offset: 10, length: 0 })).toEqual(new Uint8Array(0));
  });

  it("indexes an index that is itself of several parts", async () => {
    const { repository } = await newRepository({ splitter: "FIXED-128K" });
    await using session = await repository.openWriteSession();
    const part = await session.writeObject(bytesOf(200_000));
    // 4,000 entries of 70 bytes: more than one part of index.
    const object = await session.concatenateObjects(Array.from({ length: 2000 }, () => part));
    await session.commit();
    expect(object).toMatch(/^IIx/);
    const reader = await repository.openObject(object);
    expect(reader.length).toBe(400_000_000);
    const middle = await reader.read({ offset: 200_000_000 - 5, length: 10 });
    const bytes = bytesOf(200_000);
    expect([...middle]).toEqual([...bytes.subarray(-5), ...bytes.subarray(0, 5)]);
    const ids = new Set<string>();
    for await (const id of repository.objectContents(object)) ids.add(id);
    // Two data contents, the index of the whole in two or more contents, and the index above those.
    expect(ids.size).toBeGreaterThanOrEqual(5);
  });

  it("answers a checkpoint over what is stored already", async () => {
    const contents = new Contents();
    const writer = new ObjectWriter(contents, format);
    expect(await writer.checkpoint()).toBe("");
    const bytes = bytesOf(300_000);
    await writer.write(bytes);
    const checkpoint = await openObject(contents, await writer.checkpoint());
    expect(checkpoint.length).toBe(2 * (128 << 10));
    expect(Buffer.compare(await checkpoint.read(), bytes.subarray(0, 2 * (128 << 10)))).toBe(0);
    const object = await openObject(contents, await writer.result());
    expect(object.length).toBe(300_000);
  });
});

describe("damaged indexes", () => {
  const id = parseContentId(`x${"0".repeat(32)}`);
  const objectWith = async (index: string): Promise<Contents> => {
    const contents = new Contents();
    contents.stored.set(id, utf8Encode(index));
    contents.stored.set(parseContentId("ab"), bytesOf(10));
    return contents;
  };

  it.each([
    ["no JSON", "{"],
    ["no list", '{"stream":"kopia:indirect","entries":7}'],
    ["a gap", '{"entries":[{"l":10,"o":"ab"},{"s":11,"l":1,"o":"ab"}]}'],
    ["a negative length", '{"entries":[{"l":-1,"o":"ab"}]}'],
    ["no object", '{"entries":[{"l":1}]}'],
    ["a fraction", '{"entries":[{"l":1.5,"o":"ab"}]}'],
    [
      "an end beyond 2^53",
      '{"entries":[{"l":9007199254740991,"o":"ab"},{"s":9007199254740991,"l":9,"o":"ab"}]}',
    ],
  ])("%s", async (_, index) => {
    await expect(openObject(await objectWith(index), `I${id}`)).rejects.toBeInstanceOf(FormatError);
  });

  it("a part of another length than promised", async () => {
    const contents = await objectWith('{"entries":[{"l":11,"o":"ab"}]}');
    const reader = await openObject(contents, `I${id}`);
    await expect(reader.read()).rejects.toMatchObject({ code: "DM_OBJECT_PART_LENGTH_MISMATCH" });
  });

  it("an object that contains itself", async () => {
    const contents = await objectWith(`{"entries":[{"l":10,"o":"I${id}"}]}`);
    const reader = await openObject(contents, `I${id}`);
    await expect(reader.read()).rejects.toMatchObject({ code: "DM_INDIRECT_INVALID" });
    const walk = async (): Promise<void> => {
      for await (const found of objectContents(contents, `I${id}`)) expect(found).toBe(id);
    };
    await expect(walk()).rejects.toMatchObject({ code: "DM_INDIRECT_INVALID" });
  });
});

describe("indexes that name each other many times over", () => {
  it("are visited once each", async () => {
    const contents = new Contents();
    const level = (depth: number) => parseContentId(`x${depth.toString(16).padStart(32, "0")}`);
    const leaf = parseContentId("ab");
    contents.stored.set(leaf, new Uint8Array(0));
    // 15 levels of ten names each: 10^15 ways through.
    for (let depth = 0; depth < 15; depth += 1) {
      const name = depth === 0 ? leaf : `I${level(depth - 1)}`;
      const entries = Array.from({ length: 10 }, () => `{"o":"${name}"}`).join(",");
      contents.stored.set(level(depth), utf8Encode(`{"entries":[${entries}]}`));
    }
    const ids = new Set<string>();
    for await (const id of objectContents(contents, `I${level(14)}`)) ids.add(id);
    expect(ids.size).toBe(16);
  });
});

describe("a writer", () => {
  class Refusing extends Contents {
    refusals = 0;
    override async write(data: Uint8Array) {
      if (this.refusals-- > 0) throw new Error("the store is gone");
      return super.write(data);
    }
  }

  it("builds nothing on an object of which a part may be missing", async () => {
    const contents = new Refusing();
    const writer = new ObjectWriter(contents, format);
    await writer.write(bytesOf(200_000));
    contents.refusals = 1;
    await expect(writer.write(bytesOf(100_000))).rejects.toThrow("the store is gone");
    await expect(writer.write(bytesOf(1))).rejects.toThrow(TypeError);
    await expect(writer.checkpoint()).rejects.toThrow(TypeError);
    await expect(writer.result()).rejects.toThrow(TypeError);
  });

  it("refuses calls that overlap, and calls after its result", async () => {
    const writer = new ObjectWriter(new Contents(), format);
    const first = writer.write(bytesOf(300_000));
    await expect(writer.write(bytesOf(1))).rejects.toThrow(TypeError);
    await first;
    await writer.result();
    await expect(writer.write(bytesOf(1))).rejects.toThrow(TypeError);
    await expect(writer.result()).rejects.toThrow(TypeError);
  });

  it("joins objects without reading their data", async () => {
    const { open, repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    const parts = [];
    for (const seed of [1, 2]) parts.push(await session.writeObject(bytesOf(1_000_000, seed)));
    await session.commit();
    const counted = counting(store);
    const other = await open({ store: counted });
    await using joining = await other.openWriteSession();
    const whole = await joining.concatenateObjects(parts);
    await joining.commit();
    expect(counted.counts.bytesRead).toBeLessThan(100_000);
    expect((await other.openObject(whole)).length).toBe(2_000_000);
  });

  it.each([1, 2, 3] as const)(
    "makes the same object of parts that a caller has split, format %i",
    async (version) => {
      const { repository } = await newRepository({ version });
      await using session = await repository.openWriteSession();
      const bytes = concatBytes(new Uint8Array(200 << 10), bytesOf(100 << 10));
      const options = { splitter: "FIXED-128K", compressor: "zstd" } as const;
      const whole = await session.writeObject(bytes, options);
      const parts: IndirectEntry[] = [];
      for (let start = 0; start < bytes.length; start += 128 << 10) {
        const part = bytes.subarray(start, start + (128 << 10));
        const objectId = await session.writePart(part, options);
        parts.push({ start, length: part.length, objectId });
      }
      expect(await session.joinParts(parts)).toBe(whole);
      expect(await session.objectParts(whole)).toEqual(parts);
      expect(await session.joinParts(parts.slice(0, 1))).toBe(parts[0]!.objectId);
      await expect(session.joinParts([])).rejects.toThrow(RangeError);
      await session.commit();
      expect(await repository.objectParts(whole)).toEqual(parts);
      expect(await repository.objectParts(parts[0]!.objectId)).toEqual([parts[0]]);
    },
  );

  it("joins no objects out of nothing", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    await expect(session.concatenateObjects([])).rejects.toThrow(RangeError);
  });
});

describe("the text of an index", () => {
  it("is what Kopia writes", () => {
    const text =
      '{"stream":"kopia:indirect","entries":[{"l":3,"o":"ab"},{"s":3,"l":4,"o":"cd"}]}\n';
    const entries = [
      { start: 0, length: 3, objectId: "ab" },
      { start: 3, length: 4, objectId: "cd" },
    ];
    expect(new TextDecoder().decode(encodeIndirect(entries))).toBe(text);
    expect(decodeIndirect(utf8Encode(text), "Ix")).toEqual(entries);
    expect(decodeIndirect(encodeIndirect([]), "Ix")).toEqual([]);
  });
});
