// A package that is not installed is named, with what to do; any other failure of loading stays what it is.
import { describe, expect, it } from "vitest";
import { optionalPeer } from "../src/http/optional-peer.ts";

describe("optionalPeer", () => {
  it("names what is missing", async () => {
    // A name that vite does not resolve before it runs.
    const name = ["dm-not", "installed"].join("-");
    await expect(optionalPeer(name, () => import(/* @vite-ignore */ name))).rejects.toMatchObject({
      code: "DM_STORE_PACKAGE_MISSING",
      message: expect.stringContaining(`npm install ${name}`),
    });
  });

  it("gives what is there, and passes on other failures", async () => {
    expect(await optionalPeer("jose", async () => 7)).toBe(7);
    const broken = new SyntaxError("broken");
    await expect(optionalPeer("jose", () => Promise.reject(broken))).rejects.toBe(broken);
  });
});
