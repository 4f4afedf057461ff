/**
 * The other half of the application: it answers only when everything around it is there. The greeting comes from a mounted
 * ConfigMap, the password from a Secret, the database's address from the Endpoints of its Service, which the pod's account must be
 * allowed to read, and some bytes from a block device.
 * Proof: test/story.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { get as httpsGet } from "node:https";
import { text } from "node:stream/consumers";
import { askDatabase, type DatabaseServer, urlOf } from "./database-server.ts";

export interface WebServerOptions {
  readonly host: string;
  readonly port: number;
  /** A file with the greeting. */
  readonly greeting: string;
  /** A block device, or a file. */
  readonly device: string;
  readonly password: string;
  /** The database's Service, in the namespace of the kubeconfig. */
  readonly service: string;
  /** A file, in JSON. */
  readonly kubeconfig: string;
}

/** What `GET /` answers. */
export interface WebAnswer {
  readonly greeting: string;
  readonly database: { readonly rows: number; readonly sha256: string };
  /** Of the first bytes of the device. */
  readonly device: string;
}

const deviceBytes = 1 << 20;

export async function startWebServer(options: WebServerOptions): Promise<DatabaseServer> {
  const server = createServer((request, response) => {
    if (request.url === "/healthz") {
      response.end("ok");
      return;
    }
    page(options).then(
      (answer) => response.end(JSON.stringify(answer)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    url: urlOf(server),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function page(options: WebServerOptions): Promise<WebAnswer> {
  const { device, greeting, password } = options;
  const url = await databaseUrl(options);
  const { rows, sha256 } = await askDatabase(url, password, "GET", "contents");
  return {
    greeting: readFileSync(greeting, "utf8"),
    database: { rows, sha256 },
    device: await digestOf(device),
  };
}

async function digestOf(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(deviceBytes), 0, deviceBytes, 0);
    return createHash("sha256").update(buffer.subarray(0, bytesRead)).digest("hex");
  } finally {
    await file.close();
  }
}

interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly "certificate-authority-data"?: string };
  }[];
  readonly users: readonly { readonly user: { readonly token: string } }[];
  readonly contexts: readonly { readonly context: { readonly namespace: string } }[];
}

/** By the rights of the pod's account, with nothing but Node. */
async function databaseUrl({ kubeconfig, service }: WebServerOptions): Promise<string> {
  const config = JSON.parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const { cluster } = config.clusters[0] ?? raise("no cluster");
  const { user } = config.users[0] ?? raise("no user");
  const { context } = config.contexts[0] ?? raise("no context");
  const url = `${cluster.server}/api/v1/namespaces/${context.namespace}/endpoints/${service}`;
  const ca = Buffer.from(cluster["certificate-authority-data"] ?? "", "base64");
  const said = await new Promise<string>((resolve, reject) => {
    httpsGet(url, { ca, headers: { Authorization: `Bearer ${user.token}` } }, (response) => {
      text(response).then((body) => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`Endpoints ${service}: ${response.statusCode} ${body}`));
      }, reject);
    }).on("error", reject);
  });
  const { subsets } = JSON.parse(said) as {
    subsets?: { addresses?: { ip: string }[]; ports?: { port: number }[] }[];
  };
  const address = subsets?.[0]?.addresses?.[0]?.ip ?? raise(`Service ${service} has no address`);
  return `http://${address}:${subsets?.[0]?.ports?.[0]?.port}`;
}

function raise(message: string): never {
  throw new Error(message);
}
