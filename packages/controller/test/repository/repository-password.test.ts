// The Secret with the password: read as it is, made when it is missing, never changed.
import { ConflictError } from "@dm/core";
import type { Secret } from "@dm/crds";
import { expect, it } from "vitest";
import {
  ensureRepositoryPassword,
  presentRepositoryPassword,
  readRepositoryPassword,
} from "../../src/repository/repository-password.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const secret = (password: string): Secret => ({
  metadata: { name: "velero-repo-credentials", uid: "u", resourceVersion: "7" },
  data: { "repository-password": Buffer.from(password).toString("base64") },
});

function clientOf(stored: Secret | undefined, meanwhile?: Secret) {
  const state = { secret: stored };
  const client: Pick<KubeClient, "create" | "get"> = {
    get: async () => state.secret as never,
    async create(_, object) {
      if (meanwhile !== undefined) {
        state.secret = meanwhile;
        throw new ConflictError("DM_KUBE_ALREADY_EXISTS", "it is there");
      }
      state.secret = object as Secret;
      return object;
    },
  };
  return { client, state };
}

it("white space around it does not count", async () => {
  const { client } = clientOf(secret(" own words \n"));
  expect(await readRepositoryPassword(client, "velero")).toBe("own words");
  expect(await ensureRepositoryPassword(client, "velero")).toEqual({
    password: "own words",
    isCommon: false,
    version: "u/7",
  });
});

it("a missing one is Velero's, or random", async () => {
  const common = await ensureRepositoryPassword(clientOf(undefined).client, "velero");
  expect(common).toMatchObject({ password: "static-passw0rd", isCommon: true });
  const missing = { missing: "random" } as const;
  const one = await ensureRepositoryPassword(clientOf(undefined).client, "velero", missing);
  const two = await ensureRepositoryPassword(clientOf(undefined).client, "velero", missing);
  expect(one.isCommon).toBe(false);
  expect(one.password).toMatch(/^[\w-]{43}$/);
  expect(one.password).not.toBe(two.password);
});

it("row 78: of two that make it, the first counts", async () => {
  const { client } = clientOf(undefined, secret("theirs"));
  expect((await ensureRepositoryPassword(client, "velero", { missing: "random" })).password).toBe(
    "theirs",
  );
});

it("a Secret without the key is not filled", async () => {
  const { client, state } = clientOf({ ...secret("x"), data: {} });
  await expect(ensureRepositoryPassword(client, "velero")).rejects.toMatchObject({
    code: "DM_SECRET_NOT_FOUND",
  });
  expect(state.secret?.data).toEqual({});
});

it("of what others have made it is Velero's where there is no Secret, and none is made", async () => {
  const { client, state } = clientOf(undefined);
  expect(await presentRepositoryPassword(client, "velero")).toBe("static-passw0rd");
  expect(state.secret).toBeUndefined();
  expect(await presentRepositoryPassword(clientOf(secret("own")).client, "velero")).toBe("own");
  const { client: odd } = clientOf({ ...secret(""), data: {} });
  await expect(presentRepositoryPassword(odd, "velero")).rejects.toThrow("does not exist");
});
