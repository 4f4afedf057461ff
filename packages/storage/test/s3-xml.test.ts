// Answers are parsed strictly and within bounds, whatever a stranger sends; keys come out of lists as they went in.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HttpResponse } from "../src/http/http-transport.ts";
import type { StoredObject } from "../src/http/object-store.ts";
import { childText, escapeXml, parseXml } from "../src/http/xml.ts";
import type { S3Client } from "../src/s3/s3-client.ts";
import { s3Objects } from "../src/s3/s3-objects.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What a client that gets this answer to everything takes for the list of `p/`. */
const listOf = async (xml: string): Promise<StoredObject[]> => {
  const response: HttpResponse = { status: 200, header: () => undefined, body: utf8(xml) };
  const client: S3Client = {
    bucketSeen: true,
    presign: async () => undefined,
    request: async () => response,
    close: async () => {},
  };
  const objects = s3Objects(client, { bucket: "b", storageClassOf: async () => undefined });
  const listed: StoredObject[] = [];
  for await (const object of objects.list("p/", (_signal, run) => run(), {})) listed.push(object);
  return listed;
};

describe("parseXml", () => {
  it("reads names without prefixes, entities, CDATA and character references", () => {
    const root = parseXml(
      utf8(
        '<?xml version="1.0"?>\n<s:R xmlns:s="u"><s:K>a&amp;b &#233;<![CDATA[<c>]]></s:K><E/></s:R>\n',
      ),
    );
    expect(root.name).toBe("R");
    expect(childText(root, "K")).toBe("a&b é<c>");
    expect(childText(root, "E")).toBe("");
    expect(childText(root, "None")).toBeUndefined();
  });

  it.each([
    ["nothing", ""],
    ["no XML", '{"error": 1}'],
    ["an open element", "<R><K>a</K>"],
    ["elements that cross", "<R><K></R></K>"],
    ["two roots", "<R></R><R></R>"],
    ["a document type", "<!DOCTYPE R><R></R>"],
    ["entities of its own", '<!DOCTYPE R [<!ENTITY a "aaaa">]><R>&a;</R>'],
    ["an entity that is none", "<R>&secret;</R>"],
    ["too deep", `${"<R>".repeat(9)}${"</R>".repeat(9)}`],
    ["too many elements", `<R>${"<K/>".repeat(50_001)}</R>`],
    ["a character that XML has not", "<R>\u0001</R>"],
  ])("refuses %s", (_name, text) => {
    expect(() => parseXml(utf8(text))).toThrow(
      expect.objectContaining({ code: "DM_STORE_ANSWER_INVALID" }),
    );
  });

  it("does not quote what it refuses", () => {
    let message = "";
    try {
      parseXml(utf8("<R>password</Q>"));
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("not well-formed");
    expect(message).not.toContain("password");
  });

  it("gives back any text that was escaped, and survives anything else", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const clean = text.replace(/[^\t\n\x20-\ud7ff\ue000-\ufffd]/g, "");
        expect(childText(parseXml(utf8(`<R><K>${escapeXml(clean)}</K></R>`)), "K")).toBe(clean);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseXml(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: "DM_STORE_ANSWER_INVALID" });
        }
      }),
    );
  });
});

describe("lists", () => {
  const contents = (key: string): string =>
    `<Contents><Key>${key}</Key><Size>7</Size><LastModified>2026-11-25T09:00:00.123Z</LastModified></Contents>`;

  it("decode keys where the server says that it has encoded them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", minLength: 1 }), async (name) => {
        fc.pre(name.isWellFormed());
        const key = `p/${name}`;
        const encoded = encodeURIComponent(key).replaceAll("%20", "+");
        const xml = `<ListBucketResult><EncodingType>url</EncodingType>${contents(encoded)}</ListBucketResult>`;
        expect(await listOf(xml)).toEqual([
          { key, length: 7, timestampNs: 1_795_597_200_123_000_000n },
        ]);
      }),
    );
  });

  it("take keys as they are where it does not say so", async () => {
    const objects = await listOf(`<ListBucketResult>${contents("p/a+b%20c")}</ListBucketResult>`);
    expect(objects[0]?.key).toBe("p/a+b%20c");
  });

  it.each([
    ["another document", "<ListVersionsResult/>"],
    ["no size", "<ListBucketResult><Contents><Key>p/a</Key></Contents></ListBucketResult>"],
    [
      "no time",
      "<ListBucketResult><Contents><Key>p/a</Key><Size>1</Size></Contents></ListBucketResult>",
    ],
    ["a negative size", contents("p/a").replace("7", "-7")],
    ["another prefix", `<ListBucketResult>${contents("q/a")}</ListBucketResult>`],
    [
      "more to come, but not where",
      "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ],
    [
      "the same page again",
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
    ],
  ])("refuse %s", async (_name, xml) => {
    await expect(listOf(xml)).rejects.toMatchObject({
      code: "DM_STORE_ANSWER_INVALID",
    });
  });
});
