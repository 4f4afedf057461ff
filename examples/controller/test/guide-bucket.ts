/**
 * The bucket of the guide's disaster page: one repository with a volume of files and a block volume, behind a loopback server, and how
 * the page's names are called here.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  backupVeleroVolume,
  connectOrCreateVeleroRepository,
  openVeleroStore,
} from "@dm/snapshot/velero";
import { startS3Server } from "@dm/storage/testing/s3";

export interface GuideBucket {
  /** Of the page's words, those that are others here. */
  readonly instead: Readonly<Record<string, string>>;
  /** The folder in which the reader works; the bytes of the block volume lie there, for comparison. */
  readonly project: string;
  close(): Promise<void>;
}

export async function openGuideBucket(folder: string): Promise<GuideBucket> {
  const key = { accessKeyId: "EXAMPLEKEYID", secretAccessKey: "EXAMPLESECRETKEY" };
  const server = await startS3Server({ buckets: ["backups"], accessKeys: [key] });
  const project = join(folder, "project");
  const paper = join(folder, "volumes/paper");
  mkdirSync(paper, { recursive: true });
  mkdirSync(project);
  writeFileSync(join(paper, "note"), "remember the milk\n");
  const image = Buffer.alloc(4 << 20);
  for (let at = 0; at < image.length / 2; at += 4) image.writeUInt32LE(at, at);
  writeFileSync(join(folder, "volumes/disk"), image);
  writeFileSync(join(project, "expected.img"), image);

  const place = {
    provider: "aws",
    config: { region: "us-east-1", s3Url: `http://${server.endpoint}`, s3ForcePathStyle: "true" },
    objectStorage: { bucket: "backups", prefix: "velero" },
  };
  const { accessKeyId, secretAccessKey } = key;
  const credentials = async (): Promise<string> =>
    `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
  const store = await openVeleroStore(place, "notes", { credentials, environment: {} });
  await using repository = await connectOrCreateVeleroRepository(store, {
    password: "static-passw0rd",
  });
  const backUp = async (claim: string, volumeMode: "Filesystem" | "Block"): Promise<string> => {
    const { snapshot } = await backupVeleroVolume(repository, join(folder, "volumes", claim), {
      operation: { id: claim, startedAtNs: BigInt(Date.now()) * 1_000_000n },
      workers: 0,
      volumeMode,
      volume: ["notes", claim],
    });
    return snapshot.rootEntry?.objectId ?? "";
  };
  return {
    instead: {
      "--endpoint=s3.example.com": `--endpoint=${server.endpoint} --disable-tls`,
      [`k${"1".repeat(32)}`]: await backUp("paper", "Filesystem"),
      [`k${"2".repeat(32)}`]: await backUp("disk", "Block"),
    },
    project,
    close: () => server.close(),
  };
}
