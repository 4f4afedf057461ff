// Who may in, and what for: tokens, certificates, kubeconfig files, roles and their bindings, with the words of refusals.
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { httpClient } from "./http-client.ts";

let server: ApiServer;
const pods = "/api/v1/namespaces/x/pods";

beforeEach(async () => {
  server = await createApiServer({ tls: false });
  for (const name of ["x", "y"]) {
    server.cluster.create("namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    });
  }
});

afterEach(() => server.close());

const rbac = "rbac.authorization.k8s.io";

function grant(rules: Json[], options: { cluster?: boolean; subjects?: Json[] } = {}): void {
  const {
    cluster = false,
    subjects = [{ kind: "ServiceAccount", namespace: "x", name: "robot" }],
  } = options;
  const kind = cluster ? "ClusterRole" : "Role";
  const metadata = { name: "r", ...(cluster ? {} : { namespace: "x" }) };
  const apiVersion = `${rbac}/v1`;
  server.cluster.create(`${kind.toLowerCase()}s.${rbac}`, { apiVersion, kind, metadata, rules });
  server.cluster.create(`${kind.toLowerCase()}bindings.${rbac}`, {
    apiVersion,
    kind: `${kind}Binding`,
    metadata,
    roleRef: { apiGroup: rbac, kind, name: "r" },
    subjects,
  });
}

const robot = () => httpClient(server, server.cluster.tokenFor("x", "robot"));
const status = async (method: string, path: string, body?: unknown): Promise<number> =>
  (await robot()(method, path, body)).status;

describe("tokens", () => {
  it.each([
    ["none", undefined],
    ["another", "Bearer abc"],
    ["one of another server", "other"],
    ["a changed one", "changed"],
  ])("%s is refused", async (name, value) => {
    let authorization = value;
    if (name === "one of another server") {
      const other = await createApiServer({ tls: false });
      authorization = `Bearer ${other.adminToken}`;
      await other.close();
    }
    if (name === "a changed one") authorization = `Bearer ${server.adminToken.slice(0, -2)}xx`;
    const response = await fetch(`${server.url}/api/v1/pods`, {
      headers: authorization === undefined ? {} : { Authorization: authorization },
    });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ reason: "Unauthorized", code: 401 });
  });

  it("are not asked for by health checks", async () => {
    for (const path of ["/healthz", "/livez", "/readyz"]) {
      expect(await (await fetch(`${server.url}${path}`)).text()).toBe("ok");
    }
  });

  it("of an account are to be had from its subresource", async () => {
    const admin = httpClient(server);
    await admin("POST", "/api/v1/namespaces/x/serviceaccounts", { metadata: { name: "robot" } });
    const path = "/api/v1/namespaces/x/serviceaccounts/robot/token";
    const { body } = await admin("POST", path, { spec: { expirationSeconds: 600 } });
    const review = await httpClient(server, body.status.token)(
      "POST",
      "/apis/authentication.k8s.io/v1/selfsubjectreviews",
      {},
    );
    expect(review.body.status.userInfo.username).toBe("system:serviceaccount:x:robot");
  });
});

describe("roles", () => {
  it("are needed, and the refusal says for what", async () => {
    const { status, body } = await robot()("GET", pods);
    expect(status).toBe(403);
    expect(body).toMatchObject({
      reason: "Forbidden",
      message:
        'pods is forbidden: User "system:serviceaccount:x:robot" cannot list resource "pods" in API group "" in the namespace "x"',
    });
    const one = await robot()("GET", "/api/v1/nodes/n1");
    expect(one.body.message).toBe(
      'nodes "n1" is forbidden: User "system:serviceaccount:x:robot" cannot get resource "nodes" in API group "" at the cluster scope',
    );
    expect(server.denied).toMatchObject([
      { user: "system:serviceaccount:x:robot", verb: "list", resource: "pods", namespace: "x" },
      { verb: "get", resource: "nodes", name: "n1" },
    ]);
  });

  it("hold in their namespace, for their verbs and resources", async () => {
    grant([{ apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] }]);
    expect(await status("GET", pods)).toBe(200);
    expect(await status("GET", `${pods}/p`)).toBe(403);
    expect(await status("GET", "/api/v1/namespaces/y/pods")).toBe(403);
    expect(await status("GET", "/api/v1/pods")).toBe(403);
    expect(await status("DELETE", pods)).toBe(403);
    expect(await status("GET", "/api/v1/namespaces/x/configmaps")).toBe(403);
  });

  it("of the cluster hold everywhere", async () => {
    grant([{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }], { cluster: true });
    expect(await status("GET", "/api/v1/pods")).toBe(200);
    expect(
      await status("POST", "/api/v1/namespaces/y/configmaps", { metadata: { name: "a" } }),
    ).toBe(201);
  });

  it("name subresources apart", async () => {
    grant([{ apiGroups: [""], resources: ["pods"], verbs: ["*"] }]);
    expect(await status("GET", `${pods}/p/log`)).toBe(403);
    expect(await status("PUT", `${pods}/p/status`, {})).toBe(403);
    expect(server.denied.map(({ subresource }) => subresource)).toEqual(["log", "status"]);
  });

  it("name single objects, also in lists of one", async () => {
    grant([
      { apiGroups: [""], resources: ["configmaps"], resourceNames: ["a"], verbs: ["get", "list"] },
      { apiGroups: [""], resources: ["configmaps"], resourceNames: ["a"], verbs: ["create"] },
    ]);
    const maps = "/api/v1/namespaces/x/configmaps";
    expect(await status("GET", `${maps}/a`)).toBe(404);
    expect(await status("GET", `${maps}/b`)).toBe(403);
    expect(await status("GET", maps)).toBe(403);
    expect(await status("GET", `${maps}?fieldSelector=metadata.name%3Da`)).toBe(200);
    expect(await status("POST", maps, { metadata: { name: "a" } })).toBe(403);
  });

  it.each<[string, Json]>([
    ["a group of all accounts", { kind: "Group", name: "system:serviceaccounts" }],
    ["a group of a namespace", { kind: "Group", name: "system:serviceaccounts:x" }],
    ["a user", { kind: "User", name: "system:serviceaccount:x:robot" }],
  ])("are bound to %s", async (_name, subject) => {
    grant([{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }], { subjects: [subject] });
    expect(await status("GET", pods)).toBe(200);
  });

  it("for everybody: discovery, and questions about himself", async () => {
    for (const path of ["/api", "/apis", "/api/v1", "/version", "/openapi/v3"]) {
      expect(await status("GET", path)).toBe(200);
    }
    expect(await status("GET", "/metrics")).toBe(403);
    const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const ask = async (verb: string): Promise<boolean> => {
      const resourceAttributes = { verb, resource: "pods", namespace: "x" };
      return (await robot()("POST", reviews, { spec: { resourceAttributes } })).body.status.allowed;
    };
    expect(await ask("list")).toBe(false);
    grant([{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }]);
    expect(await ask("list")).toBe(true);
    expect(await ask("delete")).toBe(false);
  });

  it("do not let an account speak for another", async () => {
    const { status } = await robot()("GET", pods, undefined, {
      "Impersonate-User": "kubernetes-admin",
    });
    expect(status).toBe(403);
    const asRobot = await httpClient(server)("GET", pods, undefined, {
      "Impersonate-User": "system:serviceaccount:x:robot",
    });
    expect(asRobot.status).toBe(403);
  });
});

describe("kubeconfig", () => {
  it("names server, certificate and token; only its owner reads it", async () => {
    const secure = await createApiServer();
    const directory = await mkdtemp(join(tmpdir(), "dm-kubeconfig-"));
    try {
      const path = join(directory, "config");
      await secure.kubeconfig(path, { serviceAccount: { namespace: "x", name: "robot" } });
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      const config = JSON.parse(await readFile(path, "utf8"));
      expect(config.contexts[0].context).toMatchObject({ namespace: "x", user: "robot" });
      const { server: url, "certificate-authority-data": data } = config.clusters[0].cluster;
      const code = await new Promise((resolve, reject) => {
        const headers = { Authorization: `Bearer ${config.users[0].user.token}` };
        // The certificate is checked, name and all.
        const ca = Buffer.from(data, "base64");
        request(`${url}/version`, { ca, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on("error", reject)
          .end();
      });
      expect(code).toBe(200);
    } finally {
      await rm(directory, { recursive: true });
      await secure.close();
    }
  });
});

describe("rights that one does not have", () => {
  const roles = `/apis/${rbac}/v1/namespaces/x/roles`;
  const bindings = `/apis/${rbac}/v1/namespaces/x/rolebindings`;
  const role = (name: string, verbs: string[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: "Role",
    metadata: { name },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs }],
  });
  const binding = (name: string) => ({
    apiVersion: `${rbac}/v1`,
    kind: "RoleBinding",
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: "Role", name },
    subjects: [{ kind: "ServiceAccount", namespace: "x", name: "other" }],
  });
  const all = { apiGroups: ["*"], resources: ["*"], verbs: ["get", "create", "update", "patch"] };

  it("cannot be given to others, neither at once nor later", async () => {
    grant([all]);
    expect(await status("POST", roles, role("weak", ["get"]))).toBe(201);
    const { status: refused, body } = await robot()("POST", roles, role("strong", ["delete"]));
    expect(refused).toBe(403);
    expect(JSON.stringify(body)).toContain(
      "attempting to grant RBAC permissions not currently held",
    );
    expect(await status("PUT", `${roles}/weak`, role("weak", ["get", "delete"]))).toBe(403);
    server.cluster.create(`roles.${rbac}`, {
      ...role("strong", ["delete"]),
      metadata: { name: "strong", namespace: "x" },
    });
    expect(await status("POST", bindings, binding("weak"))).toBe(201);
    expect(await status("POST", bindings, binding("strong"))).toBe(403);
    expect(server.denied.map(({ verb }) => verb)).toEqual(["escalate", "escalate", "bind"]);
  });

  it("can, by whom may escalate and bind", async () => {
    grant([all, { apiGroups: [rbac], resources: ["roles"], verbs: ["escalate", "bind"] }]);
    expect(await status("POST", roles, role("strong", ["delete"]))).toBe(201);
    expect(await status("POST", bindings, binding("strong"))).toBe(201);
  });
});
