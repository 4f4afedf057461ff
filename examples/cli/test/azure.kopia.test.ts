/**
 * Azure with the real client, over Azurite by the names of Azure and with TLS, through a proxy: each opens the repository that
 * the other made, the connections are the same to the byte, and so is the status.
 */
import { writeFileSync } from "node:fs";
import {
  azuriteAccount,
  azuriteKey,
  requirePeer,
  startAzurite,
  startConnectProxy,
} from "@dm/fixtures";
import { selfSignedCertificate } from "@dm/storage/testing/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import { expectEqual, kopia, kopiaOk } from "./run-kopia.ts";

const azurite = requirePeer("azurite");
const host = `${azuriteAccount}.blob.core.windows.net`;
const tls = selfSignedCertificate({ names: [host, "127.0.0.1"] });

type Closable = { close(): Promise<void> };
let server: (Closable & { readonly port: number }) | undefined;
let proxy: (Closable & { readonly url: string; readonly asked: string[] }) | undefined;

function home(): Home {
  const made = Home.withRealKeys();
  writeFileSync(made.path("ca.pem"), tls.cert);
  Object.assign(made.env, {
    KOPIA_PASSWORD: "static-passw0rd",
    HTTPS_PROXY: proxy?.url,
    SSL_CERT_FILE: made.path("ca.pem"),
  });
  return made;
}

describe.skipIf(!kopia.available || !azurite.available)(
  azurite.title(kopia.title("Azure with kopia")),
  () => {
    beforeAll(async () => {
      server = await startAzurite(azurite.path, tls);
      proxy = await startConnectProxy(server.port);
    }, 120_000);
    afterAll(async () => {
      await proxy?.close();
      await server?.close();
    });

    const flags = (prefix: string): string[] => [
      "azure",
      "--container=blobs",
      `--storage-account=${azuriteAccount}`,
      `--storage-key=${azuriteKey}`,
      `--prefix=${prefix}`,
    ];

    it("opens what dm made, and verifies it", async () => {
      using ours = home();
      using theirs = home();
      writeFileSync(ours.path("file"), "what is backed up");
      await ours.ok(["repository", "create", ...flags("dm/"), "--max-upload-speed=90000000"]);
      await ours.ok(["snapshot", "create", ours.path("file")]);
      expect(proxy?.asked).toContain(`${host}:443`);
      await kopiaOk(theirs, [
        "repository",
        "connect",
        ...flags("dm/"),
        "--max-upload-speed=90000000",
      ]);
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      await expectEqual(theirs, "repository status");
      const { out } = await ours.ok("repository status");
      expect(out).toContain("Azure: blobs");
      expect(out).not.toContain(azuriteKey);
      await kopiaOk(theirs, "snapshot verify --verify-files-percent=100");
      await expectEqual(theirs, "snapshot list --all --json", JSON.parse);
    }, 120_000);

    it("makes what dm opens, also without the slash of the prefix", async () => {
      using ours = home();
      using theirs = home();
      writeFileSync(theirs.path("file"), "what is backed up");
      await kopiaOk(theirs, ["repository", "create", ...flags("kopia/")]);
      await kopiaOk(theirs, ["snapshot", "create", theirs.path("file")]);
      await ours.ok(["repository", "connect", ...flags("kopia")]);
      await ours.ok("snapshot verify --verify-files-percent=100");
      expect(JSON.stringify(ours.storage)).toBe(JSON.stringify(theirs.storage));
      await expectEqual(ours, "blob list --json", (text) =>
        (JSON.parse(text) as { id: string }[]).sort((a, b) => (a.id < b.id ? -1 : 1)),
      );
    }, 120_000);
  },
);
