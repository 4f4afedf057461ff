// Any sequence of puts, conditional puts, deletions, switched versions and restarts leaves in the test S3 server, in memory
// and in a directory, what a few lines of model hold: the same versions in the same order, with the same bytes.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type S3Server, startS3Server } from "../src/testing/s3.ts";
import { send, target, texts, xmlOf } from "./s3-raw-client.ts";

interface ModelVersion {
  readonly id: string;
  /** Undefined: a delete marker. */
  readonly body: string | undefined;
}

const keys = ["a", "b/1", "b/2"] as const;
const key = fc.constantFrom(...keys);
const step = fc.oneof(
  fc.record({ do: fc.constant("put" as const), key, ifAbsent: fc.boolean() }),
  fc.record({ do: fc.constant("delete" as const), key }),
  fc.record({ do: fc.constant("deleteVersion" as const), key, index: fc.nat(3) }),
  fc.record({ do: fc.constant("versioning" as const), enabled: fc.boolean() }),
  fc.record({ do: fc.constant("restart" as const) }),
);

async function listedVersions(server: S3Server): Promise<string[]> {
  const answer = await send(server, "GET", target("model", "", "versions"));
  const root = xmlOf(answer, "ListVersionsResult");
  return ["Version", "DeleteMarker"].flatMap((name) => {
    const ids = texts(root, name, "VersionId");
    return texts(root, name, "Key").map((found, index) => `${name} ${found} ${ids[index]}`);
  });
}

it.each(["memory", "directory"] as const)("agrees with the model, in %s", async (where) => {
  const base = await mkdtemp(join(tmpdir(), "dm-s3-model-"));
  let runs = 0;
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const directory = where === "directory" ? join(base, String(++runs)) : undefined;
        const start = () => startS3Server({ directory, buckets: ["model"] });
        let server = await start();
        let versioning: "Enabled" | "Suspended" | undefined;
        const model = new Map<string, ModelVersion[]>(keys.map((name) => [name, []]));
        const add = (name: string, version: ModelVersion): void => {
          const others = (model.get(name) ?? []).filter(
            ({ id }) => version.id !== "null" || id !== "null",
          );
          model.set(name, [version, ...others]);
        };
        try {
          for (const [number, action] of steps.entries()) {
            if (action.do === "restart") {
              if (directory === undefined) continue;
              await server.close();
              server = await start();
            } else if (action.do === "versioning") {
              versioning = action.enabled ? "Enabled" : "Suspended";
              const body = `<VersioningConfiguration><Status>${versioning}</Status></VersioningConfiguration>`;
              await send(server, "PUT", target("model", "", "versioning"), { body });
            } else if (action.do === "put") {
              const exists = model.get(action.key)?.[0]?.body !== undefined;
              const body = `${number}`;
              const headers = action.ifAbsent ? { "if-none-match": "*" } : {};
              const answer = await send(server, "PUT", target("model", action.key), {
                body,
                headers,
              });
              expect(answer.status).toBe(action.ifAbsent && exists ? 412 : 200);
              const id = String(answer.headers["x-amz-version-id"] ?? "null");
              if (answer.status === 200) add(action.key, { id, body });
              if (answer.status === 200) expect(id === "null").toBe(versioning !== "Enabled");
            } else if (action.do === "delete") {
              const answer = await send(server, "DELETE", target("model", action.key));
              expect(answer.status).toBe(204);
              if (versioning === undefined) model.set(action.key, []);
              else
                add(action.key, {
                  id: String(answer.headers["x-amz-version-id"]),
                  body: undefined,
                });
            } else {
              const versions = model.get(action.key) ?? [];
              const id = versions[action.index]?.id ?? "none";
              const path = target("model", action.key, `versionId=${id}`);
              expect((await send(server, "DELETE", path)).status).toBe(204);
              model.set(
                action.key,
                versions.filter((version) => version.id !== id),
              );
            }
          }
          for (const name of keys) {
            const versions = model.get(name) ?? [];
            const held = server.bucket("model").versions(name);
            expect(held.map(({ versionId }) => versionId)).toEqual(versions.map(({ id }) => id));
            for (const { body, id } of versions) {
              if (body === undefined) continue;
              const answer = await send(server, "GET", target("model", name, `versionId=${id}`));
              expect(answer.text).toBe(body);
            }
          }
          const all = keys.flatMap((name) =>
            (model.get(name) ?? []).map(({ body, id }) => ({ body, id, name })),
          );
          expect(await listedVersions(server)).toEqual([
            ...all
              .filter(({ body }) => body !== undefined)
              .map(({ id, name }) => `Version ${name} ${id}`),
            ...all
              .filter(({ body }) => body === undefined)
              .map(({ id, name }) => `DeleteMarker ${name} ${id}`),
          ]);
          const present = keys.filter((name) => model.get(name)?.[0]?.body !== undefined);
          expect(server.bucket("model").keys).toEqual(present);
          if (directory !== undefined) {
            const bodies = all.filter(({ body }) => body !== undefined);
            expect(await readdir(join(directory, "payloads"))).toHaveLength(bodies.length);
          }
        } finally {
          await server.close();
        }
      }),
      { numRuns: 25 },
    );
  } finally {
    await rm(base, { recursive: true, force: true });
  }
});
