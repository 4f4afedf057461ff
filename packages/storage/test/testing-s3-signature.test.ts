// The server checks signatures as Amazon documents them: every published example of signature version 4 for S3 (headers,
// presigned URL, signed chunks, signed trailers) is accepted byte for byte, and refused when anything in it is changed; a
// signer that others wrote is understood.
import { AwsClient } from "aws4fetch";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checksumOf } from "../src/testing/s3/checksums.ts";
import { chunkedBody } from "../src/testing/s3/chunked-body.ts";
import { S3Refusal } from "../src/testing/s3/refusal.ts";
import {
  type Authentication,
  authenticate,
  type Signable,
  timestampMs,
} from "../src/testing/s3/signature.ts";
import { parseTarget, percentEncode } from "../src/testing/s3/uri.ts";
import { startS3Server, testAccessKey } from "../src/testing/s3.ts";
import { frameSigned, frameUnsigned } from "./s3-raw-client.ts";

// Amazon's example key, which is public and opens nothing.
const accessKey = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const nowMs = timestampMs("20130524T000000Z") as number;
const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const options = {
  findKey: (id: string) => (id === accessKey.accessKeyId ? accessKey : undefined),
  nowMs,
  region: "us-east-1",
};

function example(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  signedHeaders: string,
  signature: string,
): Signable {
  const { path, query } = parseTarget(target, "");
  const authorization = `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${signature}`;
  return {
    method,
    path,
    query,
    headers: new Map(Object.entries({ ...headers, authorization })),
  };
}

const host = "examplebucket.s3.amazonaws.com";
const base = { host, "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": empty };

const examples: ReadonlyArray<readonly [string, Signable]> = [
  [
    "GetObject with a range",
    example(
      "GET",
      "/test.txt",
      { ...base, range: "bytes=0-9" },
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
  ],
  [
    "PutObject under a name with a dollar sign, dated by Date",
    example(
      "PUT",
      "/test$file.text",
      {
        ...base,
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      },
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
  ],
  [
    "a sub-resource",
    example(
      "GET",
      "/?lifecycle",
      base,
      "host;x-amz-content-sha256;x-amz-date",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
  ],
  [
    "a list with parameters",
    example(
      "GET",
      "/?max-keys=2&prefix=J",
      base,
      "host;x-amz-content-sha256;x-amz-date",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
  ],
];

const presigned = `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`;
const presignedExample = (): Signable => {
  const { path, query } = parseTarget(presigned, "");
  return { method: "GET", path, query, headers: new Map([["host", host]]) };
};

const chunked = {
  host: "s3.amazonaws.com",
  "x-amz-date": "20130524T000000Z",
  "x-amz-storage-class": "REDUCED_REDUNDANCY",
  "x-amz-decoded-content-length": "66560",
  "content-encoding": "aws-chunked",
};
const chunkedExample = example(
  "PUT",
  "/examplebucket/chunkObject.txt",
  {
    ...chunked,
    "content-length": "66824",
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
  },
  "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
  "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
);
const trailerExample = example(
  "PUT",
  "/examplebucket/chunkObject.txt",
  {
    ...chunked,
    "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "x-amz-trailer": "x-amz-checksum-crc32c",
  },
  "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
  "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
);
const content = Buffer.alloc(66_560, "a");

/** Amazon's chunks: 64 KiB, 1 KiB, nothing. */
function publishedChunks(signatures: readonly string[], end: string): Buffer {
  const [first, second, last] = signatures;
  return Buffer.concat([
    Buffer.from(`10000;chunk-signature=${first}\r\n`),
    content.subarray(0, 65_536),
    Buffer.from(`\r\n400;chunk-signature=${second}\r\n`),
    content.subarray(65_536),
    Buffer.from(`\r\n0;chunk-signature=${last}\r\n${end}`),
  ]);
}
const signedBody = publishedChunks(
  [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
  ],
  "\r\n",
);
const trailerBody = publishedChunks(
  [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
  ],
  "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
);

const refusalOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof S3Refusal) return error.code;
    throw error;
  }
  return "accepted";
};

function decode(
  framed: Uint8Array,
  signer: Authentication | undefined,
  trailers: readonly string[],
  cuts: readonly number[] = [],
): { readonly data: Buffer; readonly trailers: ReadonlyMap<string, string> } {
  const body = chunkedBody({ signer, trailers });
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const cut of [...cuts, framed.length]) {
    body.push(framed.subarray(at, cut), (data) => pieces.push(data));
    at = cut;
  }
  return { trailers: body.end(), data: Buffer.concat(pieces) };
}

describe("published examples", () => {
  it.each(examples)("%s", (_name, request) => {
    expect(authenticate(request, options).accessKey).toBe(accessKey);
  });

  it("the presigned URL", () => {
    expect(authenticate(presignedExample(), options).presigned).toBe(true);
  });

  it("signed chunks", () => {
    const signer = authenticate(chunkedExample, options);
    expect(signedBody.length).toBe(66_824);
    expect(decode(signedBody, signer, []).data.equals(content)).toBe(true);
  });

  it("signed chunks with a signed trailer, whose digest is right", () => {
    const signer = authenticate(trailerExample, options);
    const { data, trailers } = decode(trailerBody, signer, ["x-amz-checksum-crc32c"]);
    expect(data.equals(content)).toBe(true);
    expect(trailers.get("x-amz-checksum-crc32c")).toBe(
      checksumOf("CRC32C", content).toString("base64"),
    );
  });

  it("the layout that the Go client sends: an empty line in front of the trailer's signature", () => {
    const signer = authenticate(trailerExample, options);
    const text = trailerBody.toString("latin1");
    const loose = text.replace("sOO8/Q==\r\n", "sOO8/Q==\n\r\n");
    const framed = Buffer.from(loose, "latin1");
    expect(decode(framed, signer, ["x-amz-checksum-crc32c"]).data.equals(content)).toBe(true);
  });
});

describe("changed examples", () => {
  const [, request] = examples[0] as (typeof examples)[number];
  const withHeaders = (changes: Readonly<Record<string, string>>): Signable => ({
    ...request,
    headers: new Map([...request.headers, ...Object.entries(changes)]),
  });
  const authorization = request.headers.get("authorization") as string;
  it.each<[string, Signable, string]>([
    ["another method", { ...request, method: "PUT" }, "SignatureDoesNotMatch"],
    ["another path", { ...request, path: "/test.txt2" }, "SignatureDoesNotMatch"],
    ["a query", { ...request, query: new Map([["versionId", "1"]]) }, "SignatureDoesNotMatch"],
    ["another range", withHeaders({ range: "bytes=0-8" }), "SignatureDoesNotMatch"],
    [
      "another payload",
      withHeaders({ "x-amz-content-sha256": "0".repeat(64) }),
      "SignatureDoesNotMatch",
    ],
    ["a header that is not signed", withHeaders({ "x-amz-acl": "public-read" }), "AccessDenied"],
    [
      "another day in the scope",
      withHeaders({ authorization: authorization.replace("20130524", "20130525") }),
      "AuthorizationHeaderMalformed",
    ],
    [
      "another region",
      withHeaders({ authorization: authorization.replace("us-east-1", "eu-west-1") }),
      "AuthorizationHeaderMalformed",
    ],
    [
      "another service",
      withHeaders({ authorization: authorization.replace("/s3/", "/sts/") }),
      "AuthorizationHeaderMalformed",
    ],
    [
      "an unknown key",
      withHeaders({ authorization: authorization.replace("AKIA", "AKIB") }),
      "InvalidAccessKeyId",
    ],
    [
      "no signature",
      withHeaders({ authorization: authorization.replace(/,Signature=.*/, "") }),
      "AuthorizationHeaderMalformed",
    ],
    [
      "signature version 2",
      withHeaders({ authorization: "AWS AKIAIOSFODNN7EXAMPLE:abc=" }),
      "InvalidRequest",
    ],
    ["a token that the key has not", withHeaders({ "x-amz-security-token": "t" }), "InvalidToken"],
  ])("%s", (_name, changed, code) => {
    expect(refusalOf(() => authenticate(changed, options))).toBe(code);
  });

  it("no authentication at all", () => {
    expect(
      refusalOf(() => authenticate({ ...request, headers: new Map([["host", host]]) }, options)),
    ).toBe("AccessDenied");
  });

  it("a clock that is off by more than a quarter of an hour, in either direction", () => {
    for (const off of [-1, 1]) {
      const at = (ms: number) => ({ ...options, nowMs: nowMs + off * ms });
      expect(refusalOf(() => authenticate(request, at(15 * 60_000)))).toBe("accepted");
      expect(refusalOf(() => authenticate(request, at(15 * 60_000 + 1)))).toBe(
        "RequestTimeTooSkewed",
      );
    }
  });

  it("a presigned URL beyond its time, before it, or with longer time than a week", () => {
    const at = (ms: number) => ({ ...options, nowMs: nowMs + ms });
    const url = presignedExample();
    expect(refusalOf(() => authenticate(url, at(86_400_000)))).toBe("accepted");
    expect(refusalOf(() => authenticate(url, at(86_400_001)))).toBe("AccessDenied");
    expect(refusalOf(() => authenticate(url, at(-16 * 60_000)))).toBe("AccessDenied");
    const longer = { ...url, query: new Map([...url.query, ["X-Amz-Expires", "604801"]]) };
    expect(refusalOf(() => authenticate(longer, options))).toBe(
      "AuthorizationQueryParametersError",
    );
    const stretched = { ...url, query: new Map([...url.query, ["X-Amz-Expires", "86401"]]) };
    expect(refusalOf(() => authenticate(stretched, options))).toBe("SignatureDoesNotMatch");
  });

  it("any byte of a signed chunk", () => {
    const signer = authenticate(chunkedExample, options);
    fc.assert(
      fc.property(fc.nat(signedBody.length - 3), (index) => {
        const broken = Buffer.from(signedBody);
        broken[index] = (broken[index] as number) ^ 1;
        expect(refusalOf(() => decode(broken, signer, []))).not.toBe("accepted");
      }),
      { numRuns: 60 },
    );
  });

  it("a trailer whose signature or value is another", () => {
    const signer = authenticate(trailerExample, options);
    const text = trailerBody.toString("latin1");
    for (const changed of [
      text.replace("sOO8", "sOO9"),
      text.replace("signature:d8", "signature:d9"),
    ]) {
      const framed = Buffer.from(changed, "latin1");
      expect(refusalOf(() => decode(framed, signer, ["x-amz-checksum-crc32c"]))).toBe(
        "SignatureDoesNotMatch",
      );
    }
    const unsigned = text.replace(/x-amz-trailer-signature.*\r\n\r\n/, "\r\n");
    expect(
      refusalOf(() => decode(Buffer.from(unsigned, "latin1"), signer, ["x-amz-checksum-crc32c"])),
    ).not.toBe("accepted");
  });
});

describe("another signer", () => {
  it("puts, reads and lists names of every kind, by headers and by presigned URLs", async () => {
    const token = { ...testAccessKey, sessionToken: "token/+=" };
    await using server = await startS3Server({ accessKeys: [token], buckets: ["theirs"] });
    const client = new AwsClient({ ...token, service: "s3", region: "us-east-1", retries: 0 });
    const names = ["plain", "a b+c", "é/\u{1f600}", "100%", "(x)!*'"];
    for (const name of names) {
      const url = `${server.url}/theirs/${percentEncode(name, true)}`;
      expect((await client.fetch(url, { method: "PUT", body: name })).status).toBe(200);
      expect(await (await client.fetch(url)).text()).toBe(name);
      const signed = await client.sign(url, { aws: { signQuery: true } });
      expect(await (await fetch(signed.url)).text()).toBe(name);
      expect((await fetch(signed.url, { method: "DELETE" })).status).toBe(403);
    }
    const list = await client.fetch(`${server.url}/theirs?list-type=2&prefix=a%20b&delimiter=%2B`);
    expect(await list.text()).toContain("<Prefix>a b+</Prefix>");
  });
});

describe("framing", () => {
  const signer = authenticate(chunkedExample, options);

  it("reads the same however it is cut, and nothing that ends early", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 1, max: 100 }),
        fc.boolean(),
        fc.array(fc.nat(2000), { maxLength: 20 }),
        (data, chunkBytes, isSigned, positions) => {
          const trailers = { "x-amz-checksum-crc32": "AAAAAA==" };
          const framed = isSigned
            ? frameSigned(data, signer, chunkBytes, trailers)
            : frameUnsigned(data, chunkBytes, trailers);
          const cuts = positions.filter((cut) => cut < framed.length).sort((a, b) => a - b);
          const by = isSigned ? signer : undefined;
          const names = Object.keys(trailers);
          expect(decode(framed, by, names, cuts).data.equals(data)).toBe(true);
          expect(decode(framed, by, names, [...framed.keys()]).data.equals(data)).toBe(true);
          const [short = 0] = cuts;
          if (short < framed.length - 2)
            expect(refusalOf(() => decode(framed.subarray(0, short), by, names))).not.toBe(
              "accepted",
            );
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ["a size that is no number", "xyz\r\n"],
    ["a size beyond all bounds", "fffffffff\r\n"],
    ["a negative size", "-1\r\n"],
    ["a chunk longer than its size", "1\r\nab\r\n0\r\n\r\n"],
    ["bytes behind the end", "0\r\n\r\nx"],
    ["a trailer that nobody announced", "0\r\nx-amz-meta-a:b\r\n\r\n"],
    ["a trailer without a colon", "0\r\nabc\r\n\r\n"],
    ["a line without end", `${"1".repeat(5000)}`],
  ])("refuses %s", (_name, text) => {
    expect(refusalOf(() => decode(Buffer.from(text), undefined, []))).toBe("IncompleteBody");
  });

  it("refuses an announced trailer that does not come, and one that comes twice", () => {
    const names = ["x-amz-checksum-crc32"];
    expect(refusalOf(() => decode(Buffer.from("0\r\n\r\n"), undefined, names))).toBe(
      "IncompleteBody",
    );
    const twice = "0\r\nx-amz-checksum-crc32:a\r\nx-amz-checksum-crc32:b\r\n\r\n";
    expect(refusalOf(() => decode(Buffer.from(twice), undefined, names))).toBe("IncompleteBody");
  });
});
