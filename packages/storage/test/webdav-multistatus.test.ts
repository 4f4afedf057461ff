// Answers to PROPFIND as real servers write them, with other prefixes, whole URLs, parts that were refused; and what is none.
import { describe, expect, it } from "vitest";
import { parseMultistatus } from "../src/webdav/multistatus.ts";

const parse = (text: string) => parseMultistatus(new TextEncoder().encode(text));
const head = '<?xml version="1.0" encoding="UTF-8"?>';

describe("a multistatus", () => {
  it("is read whatever the names of its name spaces are", () => {
    expect(
      parse(
        `${head}<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:"><D:response xmlns:lp1="DAV:"><D:href>/dav/a%20b/</D:href>` +
          "<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>" +
          '<response xmlns="DAV:"><href>https://host:1/dav/a%20b/x.f</href><propstat><prop><getcontentlength>17</getcontentlength><resourcetype/>' +
          "<getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</getlastmodified></prop><status>HTTP/2 200</status></propstat>" +
          "<propstat><prop><getcontentlength>99</getcontentlength></prop><status>HTTP/1.1 404 Not Found</status></propstat></response></D:multistatus>",
      ),
    ).toEqual([
      { path: "/dav/a b", isDirectory: true, length: undefined, modifiedAtMs: undefined },
      {
        path: "/dav/a b/x.f",
        isDirectory: false,
        length: 17,
        modifiedAtMs: Date.UTC(1994, 10, 6, 8, 49, 37),
      },
    ]);
  });

  it("leaves out what the server refuses to tell", () => {
    const refused = "<response><href>/a</href><status>HTTP/1.1 403 Forbidden</status></response>";
    expect(parse(`${head}<multistatus xmlns="DAV:">${refused}</multistatus>`)).toEqual([]);
  });

  it.each([
    ["", true],
    ["nonsense", false],
    [`${head}<multistatus xmlns="DAV:"><response>`, true],
    [`${head}<other/>`, true],
    ["<!DOCTYPE html><html></html>", false],
    [`${head}<!DOCTYPE multistatus [<!ENTITY a "b">]><multistatus/>`, true],
    [`${head}<multistatus xmlns="DAV:">${"<a>".repeat(50)}`, true],
    [`${head}<multistatus xmlns="DAV:"><response><href>/%zz</href></response></multistatus>`, true],
  ])("is not %j", (text, retryable) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: "DM_STORE_ANSWER_INVALID", retryable }),
    );
  });
});
