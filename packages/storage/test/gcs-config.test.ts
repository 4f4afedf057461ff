// Kopia's connection JSON of type gcs: what real clients wrote comes back byte for byte, wrong members are refused without being
// quoted, embedded credentials are used before those of a file.
import { describe, expect, it } from "vitest";
import { decodeGcsConfig, encodeGcsConfig, gcsStoreOptions } from "../src/gcs.ts";

/** As `kopia repository connect gcs` writes it. */
const embedded =
  '{"bucket":"b","prefix":"k/","credentials":{"type":"service_account","client_email":"a@b","private_key":"pem"},' +
  '"readOnly":true,"maxUploadSpeedBytesPerSecond":1000,"pointInTime":"2026-11-25T10:00:00Z"}';

describe("the connection", () => {
  it.each([
    ["embedded credentials", embedded],
    ["a file", '{"bucket":"b","credentialsFile":"/key.json"}'],
    ["the machine's", '{"bucket":"blobs","prefix":"k/"}'],
  ])("is written as Kopia writes it: %s", (_name, json) => {
    expect(JSON.stringify(encodeGcsConfig(decodeGcsConfig(JSON.parse(json))))).toBe(json);
  });

  it.each([
    [[], /no object/],
    [{ prefix: "k/" }, /bucket is missing/],
    [{ bucket: "b", credentials: "SECRET" }, /^(?!.*SECRET).*credentials is no object/],
    [{ bucket: "b", readOnly: "yes" }, /readOnly is no boolean/],
    [{ bucket: "b", pointInTime: "yesterday" }, /pointInTime/],
  ])("is refused when it is none: %j", (value, message) => {
    expect(() => decodeGcsConfig(value)).toThrow(message);
    expect(() => decodeGcsConfig(value)).toThrow(
      expect.objectContaining({ code: "DM_STORE_CONFIG_INVALID" }),
    );
  });
});

describe("what it opens", () => {
  it("uses embedded credentials first, and refuses what is none", async () => {
    const reads: string[] = [];
    const context = {
      environment: {},
      readText: async (path: string) => {
        reads.push(path);
        return "{}";
      },
    };
    const credentials = { type: "service_account", client_email: "a@b", private_key: "SECRET" };
    const both = { bucket: "b", credentials, credentialsFile: "/key.json" };
    await expect(gcsStoreOptions(both, context).credentials?.token()).rejects.toMatchObject({
      code: "DM_STORE_CREDENTIALS_INVALID",
    });
    expect(reads).toEqual([]);
    const file = gcsStoreOptions({ bucket: "b", credentialsFile: "/key.json" }, context);
    await expect(file.credentials?.token()).rejects.toMatchObject({
      code: "DM_GCS_CREDENTIALS_INVALID",
    });
    expect(reads).toEqual(["/key.json"]);
    const wrong = { bucket: "b", credentials: { type: "SECRET" } };
    expect(() => gcsStoreOptions(wrong, context)).toThrow(
      /^(?!.*SECRET).*no credentials of Google/,
    );
  });

  it("knows prefix, time and that it is for reading only", () => {
    const options = gcsStoreOptions(decodeGcsConfig(JSON.parse(embedded)), { environment: {} });
    expect(options).toMatchObject({
      bucket: "b",
      prefix: "k/",
      readOnly: true,
      pointInTime: new Date("2026-11-25T10:00:00Z"),
    });
    expect(options.endpoint).toBeUndefined();
  });

  it("asks an emulator where the environment names one, without a token", () => {
    for (const host of ["127.0.0.1:9000", "http://127.0.0.1:9000"]) {
      const options = gcsStoreOptions(
        { bucket: "b" },
        { environment: { STORAGE_EMULATOR_HOST: host } },
      );
      expect([options.endpoint, options.credentials]).toEqual(["http://127.0.0.1:9000", undefined]);
    }
  });
});
