// Values of labels are shortened as Velero does it: one value that its server wrote, and the rules at the edges.
import { isDmError } from "@dm/core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { labelValue, repositoryLabelValue } from "../src/index.ts";

describe("labelValue", () => {
  it("is what Velero wrote into velero.io/async-operation-id", () => {
    const backup = "4eb2286b-d246-464d-83b3-b83f77cd0d1a";
    const claim = "59eed1ec-dab5-482e-bcd5-1f257320b0d6";
    expect(labelValue(`du-${backup}.${claim}`)).toBe(
      "du-4eb2286b-d246-464d-83b3-b83f77cd0d1a.59eed1ec-dab5-482379ffe",
    );
  });

  it("leaves 63 bytes alone and shortens 64", () => {
    expect(labelValue("a".repeat(63))).toBe("a".repeat(63));
    const short = labelValue("a".repeat(64));
    expect(short).toMatch(/^a{57}[0-9a-f]{6}$/);
    expect(labelValue(`${"a".repeat(63)}b`)).not.toBe(short);
    expect(labelValue("")).toBe("");
  });

  it("never exceeds 63 bytes, and cuts no character in two", () => {
    const value = labelValue("ü".repeat(40));
    expect(new TextEncoder().encode(value).length).toBeLessThanOrEqual(63);
    expect(value).toMatch(/^ü{28}[0-9a-f]{6}$/);
  });
});

describe("repositoryLabelValue", () => {
  it("is a SHA3-224 when the name is too long", () => {
    expect(repositoryLabelValue("apps-default-kopia")).toBe("apps-default-kopia");
    expect(repositoryLabelValue("n".repeat(63))).toBe("n".repeat(63));
    expect(repositoryLabelValue("n".repeat(64))).toMatch(/^[0-9a-f]{56}$/);
  });

  it("is the SHA3-224 of the standard", () => {
    // by Python's hashlib
    expect(repositoryLabelValue("a".repeat(200))).toBe(
      "455e0ccfc6010738ed93a793dffd79aff36debbd1a7eb6621bd6c722",
    );
  });
});

describe("outside of Node", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it("short values are themselves, and long ones are refused by name", () => {
    vi.stubGlobal("process", {});
    expect(labelValue("nightly")).toBe("nightly");
    for (const shorten of [labelValue, repositoryLabelValue]) {
      try {
        shorten("a".repeat(64));
        expect.unreachable();
      } catch (error) {
        expect(isDmError(error, "DM_CRD_HASH_UNAVAILABLE")).toBe(true);
      }
    }
  });
});
