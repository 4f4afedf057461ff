// The caches of a connection lie where its configuration says, within its limits; removing them spares what others put
// beside them, and forgetting the format removes Kopia's two copies alone.
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  type ClientConfig,
  connectionCaches,
  forgetCachedFormat,
  removeConnectionCaches,
} from "../src/client/index.ts";
import type { RepositoryCaches } from "../src/index.ts";
import { newRepository } from "./new-repository.ts";

const { repository } = await newRepository();
const opened = repository.openedFormat;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-caches-"));
});
afterEach(() => rm(folder, { recursive: true }));

function connection(caching: ClientConfig["caching"], type = "s3") {
  const config: ClientConfig = { storage: { type, config: {} }, caching };
  return { config, configPath: join(folder, "repository.config"), env: {} };
}

const caps = ({ data, indexes, metadata }: RepositoryCaches): (number | undefined)[] =>
  [data, metadata, indexes].map((cache) => cache?.maxBytes);

it("share the limits of the configuration", () => {
  const cached = (caching: ClientConfig["caching"]): (number | undefined)[] =>
    caps(connectionCaches(opened, connection(caching)));
  expect(cached({ cacheDirectory: "c", maxCacheSize: 1000, maxMetadataCacheSize: 500 })).toEqual([
    1000, 400, 100,
  ]);
  expect(cached({ cacheDirectory: "c", metadataCacheSizeLimitBytes: 10 })).toEqual([
    undefined,
    8,
    2,
  ]);
  expect(cached({ maxCacheSize: 1000 })).toEqual([undefined, undefined, undefined]);
});

it("are none of a repository in a directory, which is as near as they would be", () => {
  const caching = { cacheDirectory: "c", maxCacheSize: 1000, maxMetadataCacheSize: 500 };
  expect(connectionCaches(opened, connection(caching, "filesystem"))).toEqual({});
});

it("lie in a directory of their own, which goes with them", async () => {
  const place = connection({ cacheDirectory: "c", maxCacheSize: 1 << 20 });
  await connectionCaches(opened, place).data?.put("k1", new Uint8Array(5));
  expect(await readdir(join(folder, "c"))).toEqual(["dm"]);
  expect(await readdir(join(folder, "c/dm"))).toEqual(["contents"]);
  await removeConnectionCaches(place);
  expect(await readdir(folder)).toEqual([]);
  await removeConnectionCaches(place);
});

it("go without what else is there, unless kopia has marked the directory", async () => {
  const place = connection({ cacheDirectory: "c", maxCacheSize: 1 << 20 });
  await mkdir(join(folder, "c"));
  await writeFile(join(folder, "c/letter"), "somebody's");
  await connectionCaches(opened, place).data?.put("k1", new Uint8Array(5));
  await removeConnectionCaches(place);
  expect(await readdir(join(folder, "c"))).toEqual(["letter"]);
  await writeFile(join(folder, "c/CACHEDIR.TAG"), "");
  await removeConnectionCaches(place);
  expect(await readdir(folder)).toEqual([]);
});

it("may lie where the environment says", async () => {
  const place = { ...connection({}), env: { KOPIA_CACHE_DIRECTORY: join(folder, "elsewhere") } };
  await mkdir(join(folder, "elsewhere"));
  for (const name of ["kopia.repository", "kopia.blobcfg", "blob-list"]) {
    await writeFile(join(folder, "elsewhere", name), "");
  }
  await forgetCachedFormat(place);
  expect(await readdir(join(folder, "elsewhere"))).toEqual(["blob-list"]);
  const relative = { ...place, env: { KOPIA_CACHE_DIRECTORY: "elsewhere" } };
  await expect(forgetCachedFormat(relative)).rejects.toMatchObject({ code: "DM_CONFIG_INVALID" });
});
