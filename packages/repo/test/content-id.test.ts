// Content and object ids: what Kopia accepts is accepted, in its canonical spelling, and the rest is refused.
import { DmError } from "@dm/core";
import { loadVectors } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import {
  contentIdFromHash,
  contentIdFromKey,
  contentIdHash,
  contentIdKey,
  contentIdPrefix,
  parseContentId,
} from "../src/content-id.ts";
import { formatObjectId, parseObjectId } from "../src/object/object-id.ts";

const { contentIDs, objectIDs } = loadVectors("index");

describe("content ids", () => {
  it.each(
    contentIDs as {
      text: string;
      valid: boolean;
      canonical?: string;
      hash?: string;
      prefix?: string;
    }[],
  )("'$text': valid is $valid", ({ canonical, hash, prefix, text, valid }) => {
    if (!valid) {
      expect(() => parseContentId(text)).toThrow(DmError);
      return;
    }
    const id = parseContentId(text);
    expect(id).toBe(canonical);
    expect(contentIdPrefix(id)).toBe(prefix);
    expect(Buffer.from(contentIdHash(id)).toString("hex")).toBe(hash);
    expect(contentIdFromKey(contentIdKey(id))).toBe(id);
    expect(contentIdFromHash(contentIdPrefix(id), contentIdHash(id))).toBe(id);
  });
});

describe("object ids", () => {
  it.each(
    objectIDs as {
      text: string;
      valid: boolean;
      canonical?: string;
      compressed?: boolean;
      isDirect?: boolean;
    }[],
  )("'$text': valid is $valid", ({ canonical, compressed, isDirect, text, valid }) => {
    if (!valid) {
      expect(() => parseObjectId(text)).toThrow(DmError);
      return;
    }
    const id = parseObjectId(text);
    expect(formatObjectId(id)).toBe(canonical);
    expect(id.indirection === 0).toBe(isDirect);
    if (isDirect) expect(id.compressed).toBe(compressed);
  });
});
