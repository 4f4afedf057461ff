// The real kopia on the repository of movers that were killed: it connects with the common password, lists the snapshots with Velero's
// names, verifies and restores them.
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MoverWorld, password } from "./mover-world.ts";
import { countFiles, expectSameTree, runChild } from "./run-child.ts";

const kopia = requirePeer("kopia");
const run = promisify(execFile);

let world: MoverWorld;
beforeEach(async () => {
  world = await MoverWorld.start();
  await world.makeRepository();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

async function kopiaSays(...parameters: string[]): Promise<string> {
  const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
  const config = `--config-file=${join(world.folder, "kopia.config")}`;
  const env = {
    PATH: process.env["PATH"],
    HOME: world.folder,
    KOPIA_PASSWORD: password,
    KOPIA_CHECK_FOR_UPDATES: "false",
  };
  const { stdout } = await run(kopia.path, [...flags, config, ...parameters], { env });
  return stdout;
}

describe.skipIf(!kopia.available)(kopia.title("movers that were killed"), () => {
  it("rows 22, 62: kopia lists, verifies and restores what they made", {
    timeout: 120_000,
  }, async () => {
    const path = join(world.folder, "volume");
    mkdirSync(path);
    for (let index = 0; index < 8; index++)
      writeFileSync(join(path, `f${index}`), splitmix64(index + 1, 2_000_000));
    world.upload("du-1");
    const store = join(world.folder, "store");
    const before = countFiles(store);
    const more = ["--checkpoint-interval=50ms", "--workers=1"];
    const when = (): boolean => countFiles(store) > before + 3;
    const killed = await runChild(world, "DataUpload", "du-1", path, { more, when });
    // A fast machine may have ended before: then the next attempt finds the snapshot.
    expect(["backedUp", "interrupted"]).toContain(killed.outcome.outcome);
    const { outcome } = await runChild(world, "DataUpload", "du-1", path, { more });
    if (outcome.outcome !== "backedUp") throw new Error(JSON.stringify(outcome));
    const id = outcome.result.snapshotID;

    await kopiaSays(
      ...["repository", "connect", "filesystem", "--path", join(store, "kopia", "shop")],
      ...["--override-hostname=default", "--override-username=default"],
    );
    const listed = JSON.parse(await kopiaSays("snapshot", "list", "--all", "--json"));
    expect(listed).toMatchObject([
      {
        id,
        source: {
          host: "default",
          userName: "default",
          path: "snapshot-data-upload-download/kopia/shop/data",
        },
        description: "Kopia Uploader",
        pins: ["velero-pin"],
        tags: { "snapshot-uploader": "kopia" },
      },
    ]);
    await kopiaSays("snapshot", "verify", "--verify-files-percent=100");
    const target = join(world.folder, "restored");
    await kopiaSays("restore", id, target);
    expectSameTree(path, target);
    await kopiaSays("maintenance", "run", "--full");
  });
});
