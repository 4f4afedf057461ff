// OpenSSH's sshd as a process of our own: on loopback, a free port, keys made for the occasion, nothing of the system's.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

export interface Sshd {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  /** Path of the private key that is let in. */
  readonly keyfile: string;
  readonly knownHostsData: string;
  readonly knownHostsFile: string;
  /** A directory for the test, removed in the end. */
  readonly folder: string;
  close(): Promise<void>;
}

export async function startSshd(program: string): Promise<Sshd> {
  const folder = await mkdtemp(join(tmpdir(), "dm-sshd-"));
  const path = (name: string): string => join(folder, name);
  for (const name of ["host_key", "user_key"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path(name)]);
  }
  const port = await freePort();
  await writeFile(path("authorized"), await readFile(path("user_key.pub")));
  const knownHostsData = `[127.0.0.1]:${port} ${(await readFile(path("host_key.pub"), "utf8")).trim()}\n`;
  await writeFile(path("known_hosts"), knownHostsData);
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${path("host_key")}`,
    `AuthorizedKeysFile ${path("authorized")}`,
    `PidFile ${path("pid")}`,
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "StrictModes no",
    "UsePAM no",
    "MaxStartups 100",
    "Subsystem sftp internal-sftp",
  ];
  await writeFile(path("sshd_config"), `${lines.join("\n")}\n`);
  // Where it locks its unprivileged half in; a machine on which it never ran as a service has none.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  let said = "";
  const server = spawn(program, ["-D", "-e", "-f", path("sshd_config")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  server.stderr.on("data", (piece) => {
    said = (said + piece).slice(-2000);
  });
  await answering(port, server, () => said);
  return {
    host: "127.0.0.1",
    port,
    username: userInfo().username,
    keyfile: path("user_key"),
    knownHostsData,
    knownHostsFile: path("known_hosts"),
    folder,
    async close() {
      await stopped(server);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });

async function answering(port: number, server: ChildProcess, said: () => string): Promise<void> {
  for (const until = Date.now() + 20_000; Date.now() < until; ) {
    if (server.exitCode !== null) break;
    const reached = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });
    if (reached) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  server.kill("SIGKILL");
  throw new Error(`sshd does not answer: ${said()}`);
}

export async function stopped(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  const timer = setTimeout(() => server.kill("SIGKILL"), 3_000);
  await gone;
  clearTimeout(timer);
}
