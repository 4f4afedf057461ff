// The API server against its targets: start in 50 ms, a list of 5,000 objects in 50 ms, an event to 100 watchers in 10 ms.
import { createServer, request } from "node:http";
import { suite } from "@dm/fixtures/bench";
import { createApiServer } from "@dm/testbed";

const server = await createApiServer({ tls: false });
const { cluster } = server;
const headers = { Authorization: `Bearer ${server.adminToken}` };

const objects = 5000;
for (let number = 0; number < objects; number++) {
  cluster.create("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `map-${number}`, namespace: "default", labels: { number: String(number) } },
    data: { text: "x".repeat(200) },
  });
}

function get(path: string, accept = "application/json"): Promise<number> {
  return new Promise((resolve, reject) => {
    request(`${server.url}${path}`, { headers: { ...headers, Accept: accept } }, (response) => {
      let length = 0;
      response.on("data", (chunk) => {
        length += chunk.length;
      });
      response.on("end", () => resolve(length));
    })
      .on("error", reject)
      .end();
  });
}

const watchers = 100;
cluster.create("namespaces", {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "watched" },
});
cluster.create("secrets", {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "s", namespace: "watched" },
});
let heard = 0;
let allHeard = (): void => {};
let open = 0;
await new Promise<void>((resolve) => {
  const path = "/api/v1/namespaces/watched/secrets?watch=true";
  for (let number = 0; number < watchers; number++) {
    request(`${server.url}${path}`, { headers, agent: false }, (response) => {
      response.once("data", () => {
        if (++open === watchers) resolve();
        response.on("data", () => {
          if (++heard === watchers) allHeard();
        });
      });
    }).end();
  }
});

let round = 0;
function oneEvent(): Promise<void> {
  heard = 0;
  return new Promise((resolve) => {
    allHeard = resolve;
    cluster.modify("secrets", "watched", "s", (secret) => {
      secret["data"] = { round: Buffer.from(String(round++)).toString("base64") };
    });
  });
}

async function startAndStop(): Promise<void> {
  const other = await createApiServer();
  await other.close();
}

/** A bare server, for what the machine itself takes. */
async function bareServer(): Promise<void> {
  const bare = createServer();
  await new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve));
  await new Promise((resolve) => bare.close(resolve));
}

const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
await suite("api-server", {}, (measure) => {
  measure(`list ${objects} objects`, () => get("/api/v1/configmaps"));
  measure(`table of ${objects} objects`, () => get("/api/v1/configmaps", table));
  measure(`list 500 of ${objects}`, () => get("/api/v1/configmaps?limit=500"));
  measure(`one event to ${watchers} watchers`, oneEvent);
  measure("start and stop, with TLS", startAndStop);
  measure("start and stop of a bare HTTP server", bareServer);
  measure(
    "create, change and delete in this process",
    () => {
      for (let number = 0; number < 1000; number++) {
        const name = `short-${number}`;
        const metadata = { name, namespace: "default" };
        cluster.create("secrets", { apiVersion: "v1", kind: "Secret", metadata });
        cluster.modify("secrets", "default", name, (secret) => {
          secret["data"] = { a: "Yg==" };
        });
        cluster.delete("secrets", "default", name);
      }
    },
    { operations: 3000 },
  );
});
await server.close();
process.exit(0);
