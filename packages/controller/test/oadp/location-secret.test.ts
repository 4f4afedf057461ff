// Which Secret a location reads, and which texts of it are enough; what is said of a Secret never repeats it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  awsCredentialsProblem,
  azureCredentialsProblem,
  locationSecret,
} from "../../src/oadp/location-secret.ts";

describe("the Secret of a location", () => {
  it.each([
    ["the provider's", { provider: "aws" }, "cloud-credentials", "cloud"],
    ["with Velero's prefix", { provider: "velero.io/azure" }, "cloud-credentials-azure", "cloud"],
    ["of Google", { provider: "gcp" }, "cloud-credentials-gcp", "cloud"],
    ["the named one", { provider: "aws", credential: { name: "a", key: "b" } }, "a", "b"],
    [
      "a credentials file before all",
      {
        provider: "aws",
        credential: { name: "a", key: "b" },
        config: { credentialsFile: " c/d " },
      },
      "c",
      "d",
    ],
    [
      "not a path",
      { provider: "aws", config: { credentialsFile: "/tmp/credentials/file" } },
      "cloud-credentials",
      "cloud",
    ],
    ["none", { provider: "minio" }, "", "cloud"],
  ])("%s", (_, location, name, key) => {
    expect(locationSecret(location)).toEqual({ name, key });
  });
});

const keys = "aws_access_key_id=a\naws_secret_access_key=b\n";

describe("credentials of AWS", () => {
  it.each([
    ["both keys", `[default]\n${keys}`, undefined],
    [
      "blanks and quotes",
      '[ default ]\n aws_access_key_id = "a"\n aws_secret_access_key\t= b',
      undefined,
    ],
    ["a role", "[default]\nrole_arn = x", undefined],
    ["no heading", keys, "error finding AWS Profile for the supplied AWS credential"],
    [
      "another profile",
      `[other]\n${keys}`,
      "error finding AWS Profile for the supplied AWS credential",
    ],
    [
      "the keys of the next profile",
      `[default]\n[other]\n${keys}`,
      "no credentials or STS fields found in profile default",
    ],
    [
      "no id",
      "[default]\naws_secret_access_key=b",
      "error finding access key id for the supplied AWS credential",
    ],
    [
      "no secret",
      "[default]\naws_access_key_id=b",
      "error finding secret access key for the supplied AWS credential",
    ],
    [
      "an empty id",
      "[default]\naws_access_key_id=\naws_secret_access_key=b",
      "secret parsing error in key aws_access_key_id",
    ],
    [
      "only in a comment",
      "[default]\n#aws_access_key_id=a\naws_secret_access_key=b",
      "error finding access key id for the supplied AWS credential",
    ],
  ])("%s", (_, text, problem) => {
    expect(awsCredentialsProblem(text, "default")).toBe(problem);
  });
});

it("credentials of Azure: a variable without a value is told by its name", () => {
  expect(azureCredentialsProblem("[default]\nAZURE_CLIENT_ID='x'\nAZURE_CLIENT_SECRET=")).toBe(
    "secret parsing error in key AZURE_CLIENT_SECRET",
  );
  expect(azureCredentialsProblem("AZURE_STORAGE_ACCOUNT_ACCESS_KEY=k==\n")).toBeUndefined();
});

it("no text of a problem holds what stands in the file", () => {
  const word = fc.stringMatching(/^[A-Za-z0-9+/]{8,20}$/).map((text) => `Zq${text}`);
  const line = fc.oneof(
    word,
    word.map((text) => `aws_access_key_id ${text}`),
    fc.constantFrom("[default]", "aws_secret_access_key=", "", "AZURE_CLIENT_ID="),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      const text = lines.join("\n");
      for (const problem of [awsCredentialsProblem(text, "default"), azureCredentialsProblem(text)])
        expect(problem ?? "").not.toContain("Zq");
    }),
  );
});
