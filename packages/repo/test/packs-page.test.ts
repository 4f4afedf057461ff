// The page about packs: its pack is the one that we build from the same input, and what we read out of it is what it says.
import { concatBytes, utf8Decode, utf8Encode } from "@dm/core";
import { expect, it } from "vitest";
import {
  decodeSessionMarker,
  encodeSessionMarker,
  sessionIdOfPack,
} from "../src/content/session-marker.ts";
import { contentIdFromHash, contentIdHash } from "../src/content-id.ts";
import { contentIv, openBlob, sealBlob } from "../src/crypto/crypter.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import { indexSuffixBytes, PackBuilder } from "../src/pack/pack-builder.ts";
import { packIndexOf } from "../src/pack/pack-index.ts";
import { decodePostamble } from "../src/pack/postamble.ts";
import {
  blockIn,
  dumpIn,
  hex,
  jsonIn,
  pageCrypter,
  pageRandomBytes,
  pageSessionId,
  readPage,
} from "./format-page.ts";

const page = await readPage("packs");
const plaintext = utf8Encode("hello kopia");

function built(): PackBuilder {
  const pack = new PackBuilder({
    prefix: "p",
    sessionId: pageSessionId,
    crypter: pageCrypter,
    randomBytes: pageRandomBytes,
    indexVersion: 2,
    formatCopy: new Uint8Array(0),
  });
  pack.add(
    {
      contentId: contentIdFromHash("", pageCrypter.hash.digest(plaintext)),
      originalLength: plaintext.length,
      compressionHeaderId: 0,
      formatVersion: 3,
      timestampSeconds: 0x65000001,
    },
    plaintext,
  );
  return pack;
}

it("shows the pack that we build", () => {
  const pack = built();
  expect(page).toContain(pack.blobId);
  expect(sessionIdOfPack(pack.blobId)).toBe(pageSessionId);
  expect(hex(dumpIn(page, "pack"))).toBe(hex(pack.finish()));
});

it("shows a pack whose local index and content can be read", () => {
  const pack = dumpIn(page, "pack");
  expect(page).toContain(`, ${pack.length} bytes:`);
  const [entry] = [...packIndexOf(pageCrypter, "p", pack).entries()];
  expect(entry).toEqual(built().entries[0]);
  const { contentId, packOffset, packedLength } = entry!;
  const stored = pack.subarray(packOffset, packOffset + packedLength);
  expect(utf8Decode(pageCrypter.open(stored, contentIv(contentIdHash(contentId))))).toBe(
    "hello kopia",
  );
});

it("shows the local index in clear, with its hash in the postamble", () => {
  const local = dumpIn(page, "local-index");
  const index = buildIndex(built().entries, { version: 2 });
  expect(hex(local)).toBe(hex(concatBytes(index, pageRandomBytes(indexSuffixBytes))));
  const postamble = decodePostamble(dumpIn(page, "pack"))!;
  expect(hex(postamble.localIndexIv)).toBe(hex(pageCrypter.hash.digest(local)));
  expect(postamble.localIndexLength).toBe(local.length + pageCrypter.overheadBytes);
  expect(postamble.localIndexOffset % 4096).toBe(0);
});

it("shows a session marker that we read and write", () => {
  const blobId = /as `(s[0-9a-f]{32}-s[0-9a-f]+)`/.exec(page)![1]!;
  const json = openBlob(pageCrypter, blobId, dumpIn(page, "session"));
  expect(utf8Decode(json)).toBe(blockIn(page, "json marker"));
  const marker = decodeSessionMarker(json, blobId);
  expect(marker.id).toBe(pageSessionId);
  const sealed = sealBlob(pageCrypter, encodeSessionMarker(marker), "s", pageSessionId);
  expect(sealed.blobId).toBe(blobId);
  expect(hex(sealed.data)).toBe(hex(dumpIn(page, "session")));
  expect(encodeSessionMarker(marker)).toEqual(jsonIn(page, "marker"));
});
