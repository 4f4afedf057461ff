// Connections of type sftp, webdav and rclone: written in Kopia's order with its empty members, unknown members kept, wrong ones
// refused without telling their value.
import { describe, expect, it } from "vitest";
import { startupTimeoutMs } from "../src/rclone/rclone-config.ts";
import { decodeRcloneConfig, encodeRcloneConfig } from "../src/rclone.ts";
import { decodeSftpConfig, encodeSftpConfig } from "../src/sftp.ts";
import { decodeWebdavConfig, encodeWebdavConfig } from "../src/webdav.ts";

const sftp = { path: "/b", host: "h", username: "u" };

describe("connections", () => {
  it("are written as kopia writes them", () => {
    expect(
      JSON.stringify(
        encodeSftpConfig({ ...sftp, keyData: "k", newer: 1, maxUploadSpeedBytesPerSecond: 5 }),
      ),
    ).toBe(
      '{"path":"/b","host":"h","port":0,"username":"u","password":"","keyData":"k","externalSSH":false,"dirShards":null,"newer":1,"maxUploadSpeedBytesPerSecond":5}',
    );
    expect(
      JSON.stringify(encodeWebdavConfig({ atomicWrites: true, url: "http://h/x", dirShards: [] })),
    ).toBe('{"url":"http://h/x","atomicWrites":true,"dirShards":[]}');
    expect(
      JSON.stringify(encodeRcloneConfig({ remotePath: "r:p", rcloneArgs: [], listParallelism: 3 })),
    ).toBe(
      '{"remotePath":"r:p","startupTimeout":"0s","atomicWrites":false,"dirShards":null,"listParallelism":3}',
    );
  });

  const secret = "never-shown";
  it.each([
    [decodeSftpConfig, null],
    [decodeSftpConfig, [sftp]],
    [decodeSftpConfig, { ...sftp, host: "" }],
    [decodeSftpConfig, { ...sftp, path: undefined }],
    [decodeSftpConfig, { ...sftp, password: [secret] }],
    [decodeSftpConfig, { ...sftp, port: 70_000 }],
    [decodeSftpConfig, { ...sftp, dirShards: ["1"] }],
    [decodeSftpConfig, { ...sftp, username: `-oProxyCommand=${secret}` }],
    [decodeWebdavConfig, { url: "file:///x" }],
    [decodeWebdavConfig, { url: secret }],
    [decodeWebdavConfig, { url: `https://u:${secret}@h/` }],
    [decodeWebdavConfig, { url: `https://h/?token=${secret}` }],
    [decodeWebdavConfig, { url: "https://h/", trustedServerCertificateFingerprint: secret }],
    [decodeRcloneConfig, {}],
    [decodeRcloneConfig, { remotePath: "--config=x" }],
    [decodeRcloneConfig, { remotePath: "r:", rcloneEnv: [secret] }],
    [decodeRcloneConfig, { remotePath: "r:", startupTimeout: "soon" }],
  ])("%O refuses %j", (decode: (value: unknown) => unknown, value) => {
    expect(() => decode(value)).toThrow(
      expect.objectContaining({
        name: "FormatError",
        code: "DM_STORE_CONFIG_INVALID",
        message: expect.not.stringContaining(secret),
      }),
    );
  });

  it("know how long rclone may take to start", () => {
    const timeout = (startupTimeout?: string): number =>
      startupTimeoutMs({ remotePath: "r:", startupTimeout });
    expect([undefined, "0s", "15s", "1m30s", "1.5s", "250ms"].map(timeout)).toEqual([
      15_000, 15_000, 15_000, 90_000, 1500, 250,
    ]);
  });
});
