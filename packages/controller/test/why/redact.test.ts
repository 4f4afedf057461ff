/** No secret passes, wherever it stands; what helps to understand does. */
import { describe, expect, it } from "vitest";
import { createRedactor } from "../../src/why/redact.ts";

const secret = "s3cr3tValue/+abcdefghij";

const lines: readonly string[] = [
  `aws_secret_access_key = ${secret}`,
  `AWS_SECRET_ACCESS_KEY=${secret}`,
  `"secretAccessKey":"${secret}"`,
  `{"msg":"{\\"password\\":\\"${secret}\\"}"}`,
  `--password=${secret}`,
  `--password ${secret}`,
  `Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEEXAMPLE1/20261125, Signature=${secret}`,
  `authorization: Basic ${secret}`,
  `{"authorization":"Bearer ${secret}"}`,
  `got Bearer ${secret} back`,
  `GET https://a.blob.core.windows.net/c/b?sv=1&sig=${secret}&se=2`,
  `GET https://s3/b?X-Amz-Credential=${secret}&X-Amz-Signature=${secret}`,
  `https://user:${secret}@s3.example.com/bucket`,
  `AccountKey=${secret};EndpointSuffix=core.windows.net`,
  `AZURE_CLIENT_SECRET: ${secret}`,
  `session_token=${secret}`,
  "key AKIAABCDEFGHIJKLMNOP is unknown",
  "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
  `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----`,
];

describe("texts", () => {
  it.each(lines)("%s", (line) => {
    const clean = createRedactor().text(line);
    expect(clean).not.toContain(secret);
    expect(clean).not.toMatch(/AKIA[A-Z]|eyJhbG|s3cr3t/);
    expect(clean).toContain("***");
  });

  it.each([
    "secret cloud-credentials does not exist in velero",
    "key cloud of secret cloud-credentials does not exist in velero",
    "invalid password: the password does not open blob kopia.repository: it is wrong, or the blob is damaged",
    "there is no bucket backups: create it, or check its name",
    "the server does not know this access key id: check it and the endpoint (InvalidAccessKeyId)",
    "the secret access key does not belong to the access key id (SignatureDoesNotMatch)",
    "timeout to assure PVC velero/nightly-x7 is deleted, finalizers in PVC []",
  ])("are left as they are where they hold none: %s", (line) => {
    expect(createRedactor().text(line)).toBe(line);
  });

  it("lose the values of Secrets, whatever stands around them", () => {
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    const data = {
      cloud: base64(
        "[default]\naws_access_key_id=plainKeyName\naws_secret_access_key=plainValue77\nregion=eu-west-1\n",
      ),
      json: base64(JSON.stringify({ type: "service_account", private_key_id: "abcdef0123456789" })),
    };
    const { text } = createRedactor([{ metadata: { name: "cloud" }, data }]);
    expect(text("plainKeyName and plainValue77 in eu-west-1 by abcdef0123456789")).toBe(
      "*** and *** in eu-west-1 by ***",
    );
    expect(text(`as ${data.cloud}`)).toBe("as ***");
  });

  it("keep the words that Secrets have in common with everything", () => {
    const stringData = {
      namespace: "velero",
      username: "admin",
      bucket: "backups",
      password: "hunter22",
      "kube.json": JSON.stringify(
        { kind: "Config", metadata: { name: "velero" }, token: "tokenOfConfig1" },
        null,
        2,
      ),
      "kube.yaml": "kind: Config\nmetadata:\n  name: velero\npassword: lowercaseonly\n",
    };
    const { text } = createRedactor([{ metadata: { name: "s" }, stringData }]);
    const line = 'backups of velero by admin in ConfigMap {"metadata": {"name": "velero"}}';
    expect(text(line)).toBe(line);
    expect(text("hunter22 tokenOfConfig1 lowercaseonly")).toBe("*** *** ***");
  });
});

describe("objects", () => {
  const { object } = createRedactor();

  it("lose secrets in variables, annotations, settings and what was applied last", () => {
    const clean = object({
      kind: "Pod",
      metadata: {
        name: "a",
        managedFields: [{}],
        annotations: {
          "kubectl.kubernetes.io/last-applied-configuration": secret,
          "example.com/api-token": secret,
          "example.com/url": `https://x?sig=${secret}`,
          "example.com/owner": "alice",
        },
      },
      spec: {
        containers: [
          {
            name: "c",
            args: [`--secret-access-key=${secret}`, "--region=here"],
            env: [
              { name: "KOPIA_PASSWORD", value: secret },
              { name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" },
              { name: "FROM", valueFrom: { secretKeyRef: { name: "cloud", key: "k" } } },
            ],
          },
        ],
        config: { region: "here", s3Url: `https://u:${secret}@s3`, storageAccountKey: secret },
        caCert: secret,
        data: { "config.json": JSON.stringify({ password: secret, prepareQueueLength: 4 }) },
      },
    } as never);
    const text = JSON.stringify(clean);
    expect(text).not.toContain(secret);
    for (const kept of [
      "BLAKE3-256",
      "alice",
      "--region=here",
      "secretKeyRef",
      '"cloud"',
      "prepareQueueLength",
    ])
      expect(text).toContain(kept);
    expect(text).not.toContain("managedFields");
  });

  it("leave a Secret its name and type", () => {
    const metadata = {
      name: "cloud",
      namespace: "velero",
      annotations: { a: secret },
      labels: { b: "c" },
    };
    expect(
      object({ kind: "Secret", metadata, type: "Opaque", data: { cloud: secret } } as never),
    ).toEqual({ kind: "Secret", metadata: { name: "cloud", namespace: "velero" }, type: "Opaque" });
  });
});
