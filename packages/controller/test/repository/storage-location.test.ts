// A BackupStorageLocation with its Secrets, as the data path gets it.
import {
  type BackupStorageLocation,
  backupStorageLocations,
  type KubeObject,
  type Secret,
} from "@dm/crds";
import { expect, it } from "vitest";
import { readStorageLocation } from "../../src/repository/storage-location.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const key = { namespace: "velero", name: "default" };
const base64 = (text: string): string => Buffer.from(text).toString("base64");

function clientOf(spec: object | undefined, stored: Record<string, Record<string, string>> = {}) {
  const client: Pick<KubeClient, "get"> = {
    async get(resource, { name }) {
      if (resource.kind === backupStorageLocations.kind)
        return (spec && { metadata: key, spec }) as BackupStorageLocation as KubeObject as never;
      const texts = stored[name];
      if (texts === undefined) return undefined;
      const data = Object.fromEntries(
        Object.entries(texts).map(([one, text]) => [one, base64(text)]),
      );
      return { metadata: { name }, data } as Secret as KubeObject as never;
    },
  };
  return client;
}

const spec = {
  provider: "aws",
  config: { region: "r" },
  objectStorage: { bucket: "b", prefix: "p" },
  credential: { name: "cloud-credentials", key: "cloud" },
};

it("gives provider, settings, place, and credentials as they are at the time", async () => {
  const stored = { "cloud-credentials": { cloud: "one" } };
  const { credentials, location, readOnly } = await readStorageLocation(
    clientOf(spec, stored),
    key,
  );
  expect(location).toEqual({
    provider: "aws",
    config: { region: "r" },
    objectStorage: { bucket: "b", prefix: "p", caCert: undefined },
  });
  expect(readOnly).toBe(false);
  expect(await credentials?.()).toBe("one");
  stored["cloud-credentials"].cloud = "two";
  expect(await credentials?.()).toBe("two");
});

it("without a credential the back-end looks by itself", async () => {
  const { credential: _, ...rest } = spec;
  const read = await readStorageLocation(clientOf({ ...rest, accessMode: "ReadOnly" }), key);
  expect(read.credentials).toBeUndefined();
  expect(read.readOnly).toBe(true);
});

it("takes certificates from a Secret before those in itself", async () => {
  const objectStorage = { bucket: "b", caCert: "old", caCertRef: { name: "ca", key: "ca.crt" } };
  const read = await readStorageLocation(
    clientOf({ ...spec, objectStorage }, { ca: { "ca.crt": "PEM" } }),
    key,
  );
  expect(read.location.objectStorage?.caCert).toBe(base64("PEM"));
});

it("says what is missing", async () => {
  await expect(readStorageLocation(clientOf(undefined), key)).rejects.toMatchObject({
    code: "DM_LOCATION_NOT_FOUND",
  });
  const { credentials } = await readStorageLocation(clientOf(spec), key);
  await expect(credentials?.()).rejects.toThrow(
    "secret cloud-credentials does not exist in velero",
  );
  const other = await readStorageLocation(clientOf(spec, { "cloud-credentials": { x: "1" } }), key);
  await expect(other.credentials?.()).rejects.toMatchObject({ code: "DM_SECRET_NOT_FOUND" });
});
