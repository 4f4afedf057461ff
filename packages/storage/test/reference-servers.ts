/**
 * Azurite (Microsoft's emulator) and fake-gcs-server, on free ports of loopback, in memory.
 * Proof: test/azure.azurite.test.ts, test/gcs.fake-gcs-server.test.ts.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { azureAccountKey } from "../src/azure.ts";
import { nodeTransport } from "../src/s3.ts";

const startTimeoutMs = 60_000;

export interface ReferenceServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** The account that Azurite is born with; its key is published. */
export const azuriteAccount = "devstoreaccount1";
export const azuriteKey =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/** With the container `blobs`; its URL ends in the account. */
export async function startAzurite(
  path: string,
  tls?: { readonly key: string; readonly cert: string },
): Promise<ReferenceServer & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "dm-azurite-"));
  const flags = ["--blobHost", "127.0.0.1", "--blobPort", "0"];
  flags.push("--inMemoryPersistence", "--silent", "--disableTelemetry");
  if (tls) {
    await writeFile(join(folder, "key.pem"), tls.key);
    await writeFile(join(folder, "cert.pem"), tls.cert);
    flags.push("--key", join(folder, "key.pem"), "--cert", join(folder, "cert.pem"));
  }
  const { child, found } = await started(path, flags, /successfully listens on (\S+:(\d+))/);
  const url = `${found[1]}/${azuriteAccount}`;
  await makeContainer(url, tls?.cert);
  return {
    url,
    port: Number(found[2]),
    folder,
    async close() {
      await stopped(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function makeContainer(accountUrl: string, rootCa: string | undefined): Promise<void> {
  const transport = nodeTransport({ rootCa });
  const plain = { method: "PUT", url: `${accountUrl}/blobs?restype=container`, headers: {} };
  const context = { nowMs: Date.now() };
  const signed = await azureAccountKey(azuriteAccount, azuriteKey).authorize(plain, context);
  const limits = { maxBodyBytes: 65_536, timeoutMs: 30_000 };
  const answer = await transport?.send({ method: "PUT", ...signed, ...limits });
  await transport?.close();
  if (answer?.status !== 201) throw new Error(`no container: ${answer?.status}`);
}

/** With the bucket `blobs`. */
export async function startFakeGcsServer(
  path: string,
  options: { readonly versioned?: boolean } = {},
): Promise<ReferenceServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", String(port)];
  flags.push("-backend", "memory", "-public-host", `127.0.0.1:${port}`);
  const { child } = await started(path, flags, /server started at/);
  const answer = await fetch(`${url}/storage/v1/b?project=p`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "blobs", versioning: { enabled: options.versioned ?? false } }),
  });
  if (!answer.ok) throw new Error(`no bucket: ${answer.status}`);
  return { url, port, close: () => stopped(child) };
}

function started(
  path: string,
  flags: readonly string[],
  ready: RegExp,
): Promise<{ readonly child: ChildProcess; readonly found: RegExpExecArray }> {
  const child = spawn(path, flags, { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    const fail = (reason: string): void => {
      child.kill("SIGKILL");
      reject(new Error(`${path} ${reason}: ${said.slice(-500)}`));
    };
    const timer = setTimeout(() => fail("is silent"), startTimeoutMs);
    const hear = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-10_000);
      const found = ready.exec(said);
      if (!found) return;
      clearTimeout(timer);
      resolve({ child, found });
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => fail(`ended with ${code}`));
  });
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 3_000);
  await gone;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
