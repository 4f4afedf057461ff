/**
 * Google Cloud Storage with the real client, over fake-gcs-server: each opens the repository that the other made, the connections
 * are the same to the byte, embedded credentials too, and so is the status.
 */
import { writeFileSync } from "node:fs";
import { requirePeer, startFakeGcsServer } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import { expectEqual, kopia, kopiaOk } from "./run-kopia.ts";

const peer = requirePeer("gcs");
let server: { readonly url: string; close(): Promise<void> } | undefined;

function home(): Home {
  const made = Home.withRealKeys();
  Object.assign(made.env, {
    KOPIA_PASSWORD: "static-passw0rd",
    STORAGE_EMULATOR_HOST: server?.url,
  });
  return made;
}

describe.skipIf(!kopia.available || !peer.available)(
  peer.title(kopia.title("Google Cloud Storage with kopia")),
  () => {
    beforeAll(async () => {
      server = await startFakeGcsServer(peer.path);
    }, 120_000);
    afterAll(() => server?.close());

    it("opens what dm made, and verifies it", async () => {
      using ours = home();
      using theirs = home();
      writeFileSync(ours.path("file"), "what is backed up");
      const account = { type: "service_account", client_email: "a@b", private_key: "a secret <&>" };
      writeFileSync(ours.path("key.json"), JSON.stringify(account, undefined, 2));
      const flags = [
        "gcs",
        "--bucket=blobs",
        "--prefix=dm/",
        `--credentials-file=${ours.path("key.json")}`,
        "--embed-credentials",
        "--max-download-speed=90000000",
      ];
      await ours.ok(["repository", "create", ...flags]);
      await ours.ok(["snapshot", "create", ours.path("file")]);
      await kopiaOk(theirs, ["repository", "connect", ...flags]);
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      await expectEqual(theirs, "repository status");
      const { out } = await ours.ok("repository status");
      expect(out).toContain("GCS: blobs");
      expect(out).not.toContain("a secret");
      await kopiaOk(theirs, "snapshot verify --verify-files-percent=100");
      await expectEqual(theirs, "snapshot list --all --json", JSON.parse);
    }, 120_000);

    it("makes what dm opens, and reads it where nothing may change", async () => {
      using ours = home();
      using theirs = home();
      writeFileSync(theirs.path("file"), "what is backed up");
      const flags = ["gcs", "--bucket=blobs", "--prefix=kopia/"];
      await kopiaOk(theirs, ["repository", "create", ...flags]);
      await kopiaOk(theirs, ["snapshot", "create", theirs.path("file")]);
      await ours.ok(["repository", "connect", ...flags, "--read-only"]);
      await ours.ok("snapshot verify --verify-files-percent=100");
      const { code, err } = await ours.run(["snapshot", "create", theirs.path("file")]);
      expect(code).toBe(1);
      expect(err).toMatch(/reading only|read-only/);
      await expectEqual(ours, "blob list --json", (text) =>
        (JSON.parse(text) as { id: string }[]).sort((a, b) => (a.id < b.id ? -1 : 1)),
      );
    }, 120_000);
  },
);
