/** Backs a directory up, with a checkpoint every few milliseconds, until it is killed. Says when it begins. */
import { openRepository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { uploadSnapshot } from "../src/index.ts";
import { openLocalSource } from "../src/node/index.ts";

const [local = "", path = ""] = process.argv.slice(2);
const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
const repository = await openRepository(filesystemStore({ path }), { password: "p", deriveKey });
process.stdout.write("begun\n");
await uploadSnapshot(repository, await openLocalSource(local), {
  source: { host: "h", userName: "u", path: "/p" },
  checkpointIntervalMs: 10,
});
await repository.close();
