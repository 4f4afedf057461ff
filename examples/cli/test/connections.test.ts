/**
 * Flags of the stores that are neither a directory nor S3, which has tests of its own: the connection that they make, as kopia
 * writes it; which secrets of it are shown; what values are refused.
 */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { sensitiveAzureMembers } from "@dm/storage/azure";
import { sensitiveGcsMembers } from "@dm/storage/gcs";
import { sensitiveRcloneMembers } from "@dm/storage/rclone";
import { sensitiveS3Members } from "@dm/storage/s3";
import { sensitiveSftpMembers } from "@dm/storage/sftp";
import { sensitiveWebdavMembers } from "@dm/storage/webdav";
import { Command } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { connectionOf, storageProvider, storageProviders } from "../src/connection.ts";
import type { Io } from "../src/io.ts";
import { Messages } from "../src/log.ts";
import { type GlobalOptions, Session } from "../src/session.ts";
import { shownConfig } from "../src/storage/provider.ts";
import { Home } from "./run.ts";

const home = new Home();
afterAll(() => home[Symbol.dispose]());
const file = (name: string, text: string): string => {
  writeFileSync(home.path(name), text);
  return home.path(name);
};
const secret = "never-to-be-shown";

interface Made {
  /** As it is written into the configuration file, to the character. */
  readonly config: string;
  /** As `repository status --json` shows it. */
  readonly shown: string;
  readonly name: string;
  readonly messages: string;
}

async function made(
  type: string,
  flags: readonly string[],
  { env = {}, ...context }: { env?: Io["env"]; isCreation?: boolean; formatVersion?: string } = {},
): Promise<Made> {
  let err = "";
  const io = {
    env,
    err: (text: string) => {
      err += text;
    },
  } as Io;
  const messages = new Messages(io);
  messages.level = "debug";
  const session = new Session(io, messages, () => ({}) as GlobalOptions);
  const provider = await storageProvider(type);
  const command = new Command();
  provider.withFlags(command.exitOverride(), session);
  command.parse(flags, { from: "user" });
  const { config } = await connectionOf(provider, command.opts(), {
    ...session.openContext,
    isCreation: false,
    ...context,
  });
  // What the program would repeat of its command line.
  messages.writeBlotted(flags.join(" "));
  return {
    config: JSON.stringify(config),
    shown: JSON.stringify(await shownConfig(provider, config)),
    name: provider.displayName(config),
    messages: err,
  };
}

const stars = "*".repeat(secret.length);

describe("sftp", () => {
  const place = ["--path=/b", "--host=h.example", "--username=u"];
  const hosts = file("known_hosts", "h.example ssh-ed25519 AAAA\n");
  const key = file("key", secret);

  it("takes a password", async () => {
    const flags = [...place, "--sftp-password", secret, `--known-hosts=${hosts}`];
    const { config, messages, name, shown } = await made("sftp", flags);
    const rest = `"knownHostsFile":${JSON.stringify(hosts)},"externalSSH":false,"sshCommand":"ssh","dirShards":null}`;
    const before = '{"path":"/b","host":"h.example","port":22,"username":"u","password":';
    expect(config).toBe(`${before}"${secret}",${rest}`);
    expect(shown).toBe(`${before}"${stars}",${rest}`);
    expect(name).toBe("SFTP u@h.example");
    expect(messages).not.toContain(secret);
  });

  it("takes a file with a key by its whole path, or what is in it", async () => {
    const named = await made("sftp", [...place, "--keyfile=key", "--known-hosts-data=x y z"]);
    expect(JSON.parse(named.config)).toMatchObject({
      keyfile: resolve("key"),
      knownHostsData: "x y z",
    });
    const flags = [...place, `--keyfile=${key}`, `--known-hosts=${hosts}`, "--embed-credentials"];
    const embedded = await made("sftp", flags);
    expect(JSON.parse(embedded.config)).toEqual({
      path: "/b",
      host: "h.example",
      port: 22,
      username: "u",
      password: "",
      keyData: secret,
      knownHostsData: "h.example ssh-ed25519 AAAA\n",
      externalSSH: false,
      sshCommand: "ssh",
      dirShards: null,
    });
    expect(JSON.parse(embedded.shown)).toMatchObject({ keyData: stars });
  });

  it("takes the key itself, which no message repeats", async () => {
    const flags = [...place, "--key-data", secret, `--known-hosts=${hosts}`];
    const { config, messages } = await made("sftp", flags);
    expect(JSON.parse(config)).toMatchObject({ keyData: secret });
    expect(messages).not.toContain(secret);
  });

  it("leaves keys to an external program", async () => {
    const flags = "--external --ssh-command=s --ssh-args=-4 --port=2 --flat --list-parallelism=3";
    const { config } = await made("sftp", [...place, ...flags.split(" ")]);
    expect(config).toBe(
      '{"path":"/b","host":"h.example","port":2,"username":"u","password":"","externalSSH":true,"sshCommand":"s",' +
        '"sshArguments":"-4","dirShards":[],"listParallelism":3}',
    );
  });

  it.each([
    [["--sftp-password=p"], /--known-hosts/],
    [[`--known-hosts=${hosts}`], /--sftp-password, --keyfile and --key-data/],
    [["--external", "--port=70000"], /port is no port/],
    [["--external", "--host=-oProxyCommand=x"], /host begins with a dash/],
  ])("refuses %j", async (flags, message) => {
    await expect(made("sftp", [...place, ...flags])).rejects.toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringMatching(message) }),
    );
  });
});

describe("webdav", () => {
  it("takes user and password from flags or the environment", async () => {
    const config = `{"url":"https://h/b","username":"u","password":"${secret}","atomicWrites":false,"dirShards":null}`;
    const place = ["--url=https://h/b"];
    const flags = [...place, "--webdav-username=u", "--webdav-password", secret];
    const fromFlags = await made("webdav", flags);
    expect(fromFlags.config).toBe(config);
    expect(fromFlags.shown).toBe(config.replace(secret, stars));
    expect(fromFlags.messages).not.toContain(secret);
    expect(fromFlags.name).toBe("WebDAV: https://h/b");
    const env = { KOPIA_WEBDAV_USERNAME: "u", KOPIA_WEBDAV_PASSWORD: secret };
    expect((await made("webdav", place, { env })).config).toBe(config);
  });

  it("takes what is told of the server, and limits", async () => {
    const flags = "--url=http://h/b --atomic-writes --max-upload-speed=5 --max-download-speed=6";
    const context = { isCreation: true, formatVersion: "1" };
    expect((await made("webdav", flags.split(" "), context)).config).toBe(
      '{"url":"http://h/b","atomicWrites":true,"dirShards":[3,3],"maxUploadSpeedBytesPerSecond":5,"maxDownloadSpeedBytesPerSecond":6}',
    );
  });

  it.each([
    [["--url=ftp://h"], "none of http or https"],
    [[`--url=https://u:${secret}@h/`], "has a user in it"],
    [["--url=https://h/b", "--webdav-username=u"], "KOPIA_WEBDAV_PASSWORD"],
  ])("refuses %j", async (flags, message) => {
    const refused = made("webdav", flags);
    await expect(refused).rejects.toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining(message) }),
    );
    await expect(refused).rejects.not.toThrow(secret);
  });
});

describe("rclone", () => {
  it("takes the program, its arguments and its environment", async () => {
    const flags = [
      "--remote-path=remote:b",
      "--rclone-exe=/bin/rclone",
      "--rclone-args=--verbose",
      "--rclone-args=--fast-list",
      `--rclone-env=RCLONE_CONFIG_PASS=${secret}`,
      "--rclone-env=A=b",
      "--rclone-startup-timeout=1m",
      "--rclone-debug",
      "--rclone-nowait-for-transfers",
      "--no-atomic-writes",
    ];
    const { config, messages, name, shown } = await made("rclone", flags);
    const before =
      '{"remotePath":"remote:b","rcloneExe":"/bin/rclone","rcloneArgs":["--verbose","--fast-list"],';
    const after =
      '"startupTimeout":"1m","debug":true,"noWaitForTransfers":true,"atomicWrites":false,"dirShards":null}';
    expect(config).toBe(`${before}"rcloneEnv":["RCLONE_CONFIG_PASS=${secret}","A=b"],${after}`);
    expect(shown).toBe(before + after);
    expect(name).toBe("RClone remote:b");
    expect(messages).not.toContain(secret);
  });

  it("takes a configuration of rclone in", async () => {
    const conf = file("rclone.conf", `[remote]\npass = ${secret}\n`);
    const flags = ["--remote-path=remote:b", `--embed-rclone-config=${conf}`, "--flat"];
    const { config, shown } = await made("rclone", flags);
    expect(JSON.parse(config)).toEqual({
      remotePath: "remote:b",
      startupTimeout: "15s",
      embeddedConfig: `[remote]\npass = ${secret}\n`,
      atomicWrites: true,
      dirShards: [],
    });
    expect(shown).not.toContain(secret);
  });

  it.each([
    [["--remote-path=-x"], "begins with a dash"],
    [["--remote-path=r:", "--rclone-startup-timeout=soon"], "no duration"],
    [["--remote-path=r:", `--rclone-env=${secret}`], "no NAME=value"],
  ])("refuses %j", async (flags, message) => {
    await expect(made("rclone", flags)).rejects.toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining(message) }),
    );
  });
});

describe("azure", () => {
  const key = Buffer.from(secret).toString("base64");

  it("takes an account and its key, by flags or the environment", async () => {
    const config = `{"container":"blobs","prefix":"p/","storageAccount":"acct","storageKey":"${key}"}`;
    const place = ["--container=blobs", "--prefix=p/"];
    const flags = [...place, "--storage-account=acct", "--storage-key", key];
    const fromFlags = await made("azureBlob", flags);
    expect(fromFlags.config).toBe(config);
    expect(fromFlags.shown).toBe(config.replace(key, "*".repeat(key.length)));
    expect(fromFlags.messages).not.toContain(key);
    expect(fromFlags.name).toBe("Azure: blobs");
    const env = { AZURE_STORAGE_ACCOUNT: "acct", AZURE_STORAGE_KEY: key };
    expect((await made("azureBlob", place, { env })).config).toBe(config);
  });

  it("takes the other credentials", async () => {
    const flags = [
      "--container=blobs",
      "--storage-account=acct",
      `--sas-token=sv=1&sig=${secret}`,
      "--tenant-id=t",
      "--client-id=c",
      `--client-secret=${secret}`,
      `--client-cert=${secret}`,
      "--azure-federated-token-file=/token",
      "--storage-domain=blob.core.example",
      "--point-in-time=2026-01-02T03:04:05Z",
    ];
    const { config, messages, shown } = await made("azureBlob", flags);
    expect(config).toBe(
      `{"container":"blobs","storageAccount":"acct","sasToken":"sv=1&sig=${secret}","TenantID":"t","ClientID":"c",` +
        `"ClientSecret":"${secret}","clientCertificate":"${secret}","azureFederatedTokenFile":"/token",` +
        '"storageDomain":"blob.core.example","pointInTime":"2026-01-02T03:04:05Z"}',
    );
    expect(shown).not.toContain(secret);
    expect(messages).not.toContain(secret);
  });

  it.each([
    [[], "AZURE_STORAGE_ACCOUNT"],
    [["--storage-account=acct", "--storage-key=%%%"], "storageKey is not base64"],
    [["--storage-account=no/account", `--storage-key=${key}`], "not a name of a storage account"],
    [["--storage-account=acct", "--point-in-time=yesterday"], "no time of RFC 3339"],
  ])("refuses %j", async (flags, message) => {
    await expect(made("azureBlob", ["--container=blobs", ...flags])).rejects.toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining(message) }),
    );
  });
});

describe("gcs", () => {
  const account = { type: "service_account", client_email: "a@b", private_key: secret };
  const credentials = file("account.json", JSON.stringify(account));

  it("takes a file with credentials by its whole path, or what is in it", async () => {
    const place = ["--bucket=blobs", "--prefix=p/"];
    const named = await made("gcs", [...place, "--credentials-file=a.json", "--read-only"]);
    expect(named.config).toBe(
      `{"bucket":"blobs","prefix":"p/","credentialsFile":${JSON.stringify(resolve("a.json"))},"readOnly":true}`,
    );
    expect(named.name).toBe("GCS: blobs");
    const flags = [...place, `--credentials-file=${credentials}`, "--embed-credentials"];
    const embedded = await made("gcs", flags);
    expect(JSON.parse(embedded.config)).toEqual({
      bucket: "blobs",
      prefix: "p/",
      credentials: account,
    });
    expect(embedded.shown).toBe('{"bucket":"blobs","prefix":"p/"}');
  });

  it.each([
    [["--embed-credentials"], false, "needs --credentials-file"],
    [
      [`--credentials-file=${file("no.json", `{${secret}`)}`, "--embed-credentials"],
      false,
      "no JSON",
    ],
    [["--point-in-time=2026-01-02T03:04:05Z"], true, "no room for a repository"],
    [["--bucket=b/c"], false, "not a name of a bucket"],
  ])("refuses %j, creation %j", async (flags, isCreation, message) => {
    const refused = made("gcs", ["--bucket=blobs", ...flags], { isCreation });
    await expect(refused).rejects.toThrow(
      expect.objectContaining({ name: "UsageError", message: expect.stringContaining(message) }),
    );
    await expect(refused).rejects.not.toThrow(secret);
  });
});

it("hides what each package calls sensitive", async () => {
  const hidden = (await storageProviders()).map(({ secrets, type }) => [type, [...secrets].sort()]);
  expect(Object.fromEntries(hidden)).toEqual({
    filesystem: [],
    azureBlob: [...sensitiveAzureMembers].sort(),
    gcs: [...sensitiveGcsMembers].sort(),
    rclone: [...sensitiveRcloneMembers].sort(),
    s3: [...sensitiveS3Members].sort(),
    sftp: [...sensitiveSftpMembers].sort(),
    webdav: [...sensitiveWebdavMembers].sort(),
  });
});

it("says what a server refuses, and no password", async () => {
  const server = createServer((_request, response) => {
    response.writeHead(401).end(`no, ${secret}`);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/b`;
    const place = [`--url=${url}`, "--webdav-username=u", "--webdav-password", secret];
    const connect = ["--log-level=debug", "repository", "connect", "webdav", ...place];
    const { code, err, out } = await home.run(connect);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/\[DM_STORE_[A-Z_]+\]/);
    expect(err).not.toContain(secret);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
