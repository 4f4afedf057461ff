// The API server as a pod finds it: by the files of its service account, or a kubeconfig file in JSON. Tokens are read again when
// they are rotated; nothing secret is told when something is wrong.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { podConnection } from "../../src/mover/pod-connection.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-pod-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const cluster = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "6443" };
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

it("files of the service account, the token anew after a minute and when it is refused", async () => {
  write("ca.crt", "CA");
  write("namespace", "velero\n");
  write("token", "one\n");
  const clock = manualClock(0n);
  const connection = podConnection({ environment: cluster, directory: folder, clock });
  const first = await connection.prepare();
  expect(first.base.href).toBe("https://10.0.0.1:6443/");
  expect(first.headers).toEqual(bearer("one"));
  expect((await connection.describe()).namespace).toBe("velero");
  write("token", "two");
  expect((await connection.prepare()).headers).toEqual(bearer("one"));
  connection.reload(first.generation);
  expect((await connection.prepare()).headers).toEqual(bearer("two"));
  write("token", "three");
  // Somebody else has done that already.
  connection.reload(first.generation);
  expect((await connection.prepare()).headers).toEqual(bearer("two"));
  clock.advance(61_000);
  expect((await connection.prepare()).headers).toEqual(bearer("three"));
  expect((await connection.prepare()).agent).toBe(first.agent);
  connection.close();
});

it("a kubeconfig file", async () => {
  const path = write(
    "kubeconfig",
    JSON.stringify({
      "current-context": "b",
      contexts: [
        { name: "a", context: { cluster: "x", user: "u" } },
        { name: "b", context: { cluster: "c", user: "u", namespace: "velero" } },
      ],
      clusters: [
        { name: "x", cluster: { server: "http://x" } },
        {
          name: "c",
          cluster: { server: "https://127.0.0.1:1/base", "certificate-authority-data": "Q0E=" },
        },
      ],
      users: [{ name: "u", user: { token: "secret" } }],
    }),
  );
  const connection = podConnection({ environment: { KUBECONFIG: path, ...cluster } });
  const { base, headers } = await connection.prepare();
  expect(base.href).toBe("https://127.0.0.1:1/base");
  expect(headers).toEqual(bearer("secret"));
  expect(await connection.describe()).toMatchObject({ namespace: "velero" });
  connection.close();
});

it.each([
  ["nothing", () => ({})],
  ["no files", () => cluster],
  ["a file that is not there", () => ({ KUBECONFIG: join(folder, "none") })],
  ["no JSON", () => ({ KUBECONFIG: write("bad", "token: secret") })],
  ["no server", () => ({ KUBECONFIG: write("empty", '{"users":[{"user":{"token":"secret"}}]}') })],
])("%s is refused without a secret, and asked for again the next time", async (_, environment) => {
  const connection = podConnection({ environment: environment(), directory: folder });
  const failure = await connection.prepare().catch((error) => error);
  expect(failure.code).toBe("DM_KUBE_CONFIG");
  expect(failure.message).not.toContain("secret");
});
