// The small formats of the test S3 server: XML that is written comes back, XML that is not strict is refused; names survive
// URLs and sort as their bytes; digests agree with published values; requests are told apart.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumOf,
  createChecksum,
} from "../src/testing/s3/checksums.ts";
import { parseRange } from "../src/testing/s3/object-read.ts";
import { operationOf } from "../src/testing/s3/operation.ts";
import { S3Refusal } from "../src/testing/s3/refusal.ts";
import { compareUtf8, listEncode, parseTarget, percentEncode } from "../src/testing/s3/uri.ts";
import { childText, onlyChild, parseXml, tag, xmlDocument } from "../src/testing/s3/xml.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof S3Refusal) return error.code;
    throw error;
  }
  return "accepted";
};
const parse = (text: string) => parseXml(Buffer.from(text), "Root");
/** Texts without halves of surrogate pairs, which UTF-8 cannot hold. */
const text = fc.string({ unit: "binary", maxLength: 40 });

describe("XML", () => {
  it("what is written is read", () => {
    fc.assert(
      fc.property(fc.array(text), (values) => {
        // The character of number 0 exists in no XML, not even as a reference.
        const usable = values.map((value) => value.replaceAll("\0", ""));
        const root = parse(xmlDocument("Root", ...usable.map((value) => tag("Key", value))));
        expect(root.children.map((child) => child.text)).toEqual(usable);
      }),
    );
  });

  it("reads what clients send", () => {
    const root = parse(
      `\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<!-- c --><s3:Root xmlns:s3="http://a/" b='c'>\n <A>x&amp;&#65;&#x42;<![CDATA[<&]]></A><B/><C></C>\n</s3:Root >\n`.slice(
        1,
      ),
    );
    expect(childText(root, "A")).toBe("x&AB<&");
    expect(root.children.map(({ name }) => name)).toEqual(["A", "B", "C"]);
    expect(childText(root, "D")).toBeUndefined();
  });

  it.each([
    ["nothing", ""],
    ["a document type", `<!DOCTYPE Root [<!ENTITY a "b">]><Root/>`],
    ["an entity of its own", "<Root>&a;</Root>"],
    ["a bare ampersand", "<Root>a & b</Root>"],
    ["a reference to no character", "<Root>&#xD800;</Root>"],
    ["an instruction", `<Root><?php echo 1?></Root>`],
    ["an element that is not closed", "<Root><A></Root>"],
    ["an element closed by another", "<Root></Rood>"],
    ["two roots", "<Root/><Root/>"],
    ["another root", "<Other/>"],
    ["text beside elements", "<Root>a<B/></Root>"],
    ["text behind the root", "<Root/>a"],
    ["an attribute without quotation marks", "<Root a=b/>"],
    ["a comment without end", "<Root><!-- </Root>"],
    ["a character section without end", "<Root><![CDATA[ </Root>"],
    ["deep nesting", `<Root>${"<a>".repeat(20)}${"</a>".repeat(20)}</Root>`],
    ["too many elements", `<Root>${"<a/>".repeat(20_000)}</Root>`],
  ])("refuses %s", (_name, source) => {
    expect(codeOf(() => parse(source))).toBe("MalformedXML");
  });

  it("refuses bytes that are not UTF-8, and the same child twice", () => {
    expect(codeOf(() => parseXml(Buffer.from([60, 0xff, 62]), "Root"))).toBe("MalformedXML");
    expect(codeOf(() => onlyChild(parse("<Root><A/><A/></Root>"), "A"))).toBe("MalformedXML");
  });

  it("refuses every beginning of a document", () => {
    const whole = xmlDocument("Root", tag("A", tag("B", "c & d"), tag("E", 1)));
    for (let length = 0; length < whole.length; length++)
      expect(codeOf(() => parse(whole.slice(0, length)))).toBe("MalformedXML");
  });
});

describe("names", () => {
  it("survive the target of a request", () => {
    fc.assert(
      fc.property(text, text, (key, value) => {
        const target = `/bucket/${percentEncode(key, true)}?prefix=${percentEncode(value)}&versions`;
        const found = parseTarget(target, "127.0.0.1:1");
        expect(found.bucket).toBe("bucket");
        expect(found.key).toBe(key);
        expect([...found.query]).toEqual([
          ["prefix", value],
          ["versions", ""],
        ]);
      }),
    );
  });

  it("are not normalized", () => {
    for (const key of ["../../etc/passwd", "a//b", "./a", "..", "a/../b", "%2e%2e", "a?b#c"])
      expect(parseTarget(`/b/${percentEncode(key, true)}`, "").key).toBe(key);
    expect(parseTarget("/b/../../x", "").key).toBe("../../x");
  });

  it("come from the host for buckets of localhost", () => {
    const found = parseTarget("/a/b", "some.bucket.localhost:9000");
    expect([found.bucket, found.key, found.path]).toEqual(["some.bucket", "a/b", "/a/b"]);
  });

  it.each([
    ["/b/%", "InvalidURI"],
    ["/b/%ff", "InvalidURI"],
    ["b", "InvalidURI"],
    ["*", "InvalidURI"],
    ["http://host/b", "InvalidURI"],
    [`/${"a".repeat(20_000)}`, "InvalidURI"],
    ["/b?a=1&a=2", "InvalidArgument"],
  ])("are refused in %s", (target, code) => {
    expect(codeOf(() => parseTarget(target, ""))).toBe(code);
  });

  it("sort as their UTF-8 bytes", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareUtf8(a, b))).toBe(expected);
      }),
    );
    expect(compareUtf8("\u{1f600}", "\uffee")).toBeGreaterThan(0);
  });

  it("are encoded in lists as Amazon does", () => {
    expect(listEncode("a b/c+d*é~")).toBe("a+b/c%2Bd%2A%C3%A9~");
  });
});

describe("digests", () => {
  // The values of 123456789 that catalogues of CRCs give; of SHA, FIPS 180.
  it.each<[ChecksumAlgorithm, string, string]>([
    ["CRC32", "123456789", "cbf43926"],
    ["CRC32C", "123456789", "e3069283"],
    ["CRC64NVME", "123456789", "ae8b14860a799888"],
    ["SHA1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["SHA256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ])("%s", (algorithm, input, digest) => {
    expect(checksumOf(algorithm, Buffer.from(input)).toString("hex")).toBe(digest);
  });

  it("do not depend on how the bytes come", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...checksumAlgorithms),
        fc.uint8Array(),
        fc.nat(100),
        (algorithm, bytes, cut) => {
          const pieces = createChecksum(algorithm);
          pieces.update(bytes.subarray(0, cut));
          pieces.update(bytes.subarray(cut));
          expect(pieces.digest().equals(checksumOf(algorithm, bytes))).toBe(true);
        },
      ),
    );
  });
});

describe("ranges", () => {
  it.each<[string | undefined, number, unknown]>([
    [undefined, 10, undefined],
    ["bytes=0-0", 10, { start: 0, end: 1 }],
    ["bytes=2-4", 10, { start: 2, end: 5 }],
    ["bytes=2-", 10, { start: 2, end: 10 }],
    ["bytes=2-100", 10, { start: 2, end: 10 }],
    ["bytes=-3", 10, { start: 7, end: 10 }],
    ["bytes=-30", 10, { start: 0, end: 10 }],
    ["bytes=10-", 10, "unsatisfiable"],
    ["bytes=10-11", 10, "unsatisfiable"],
    ["bytes=-0", 10, "unsatisfiable"],
    ["bytes=0-", 0, "unsatisfiable"],
    ["bytes=-1", 0, "unsatisfiable"],
    ["bytes=4-2", 10, undefined],
    ["bytes=-", 10, undefined],
    ["bytes=0-1,3-4", 10, undefined],
    ["lines=0-1", 10, undefined],
    ["bytes=a-b", 10, undefined],
  ])("%s of %i", (header, length, range) => {
    expect(parseRange(header, length)).toEqual(range);
  });
});

describe("operations", () => {
  const ask = (method: string, target: string, headers: Record<string, string> = {}) => {
    const found = parseTarget(target, "");
    return () => operationOf({ ...found, method, headers: new Map(Object.entries(headers)) });
  };
  it.each([
    ["GET", "/", "ListBuckets"],
    ["PUT", "/b", "CreateBucket"],
    ["PUT", "/b/", "CreateBucket"],
    ["HEAD", "/b", "HeadBucket"],
    ["DELETE", "/b", "DeleteBucket"],
    ["GET", "/b/?location=", "GetBucketLocation"],
    ["GET", "/b?versioning", "GetBucketVersioning"],
    ["GET", "/b", "ListObjects"],
    ["GET", "/b?list-type=2&prefix=location", "ListObjectsV2"],
    ["GET", "/b?versions", "ListObjectVersions"],
    ["POST", "/b?delete", "DeleteObjects"],
    ["GET", "/b/k", "GetObject"],
    ["GET", "/b/k?location", "GetObject"],
    ["PUT", "/b/k", "PutObject"],
    ["PUT", "/b/k?retention", "PutObjectRetention"],
    ["POST", "/b/k?uploads", "CreateMultipartUpload"],
    ["PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart"],
    ["POST", "/b/k?uploadId=u", "CompleteMultipartUpload"],
    ["DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"],
    ["GET", "/b/k?uploadId=u", "ListParts"],
  ])("%s %s is %s", (method, target, operation) => {
    expect(ask(method, target)()).toBe(operation);
  });

  it("a put with a source is a copy", () => {
    expect(ask("PUT", "/b/k", { "x-amz-copy-source": "/b/j" })()).toBe("CopyObject");
  });

  it.each([
    ["PUT", "/b/k?acl", "NotImplemented"],
    ["GET", "/b?policy", "NotImplemented"],
    ["PUT", "/b/k?tagging", "NotImplemented"],
    ["POST", "/b/k", "MethodNotAllowed"],
    ["PATCH", "/b/k", "MethodNotAllowed"],
    ["PUT", "/", "MethodNotAllowed"],
    ["DELETE", "/b?versions", "MethodNotAllowed"],
  ])("%s %s is refused as %s", (method, target, code) => {
    expect(codeOf(ask(method, target))).toBe(code);
  });
});
