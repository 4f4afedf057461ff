/**
 * The server's certificate, made on the spot: ECDSA on P-256 for loopback, its own authority. kubectl sends tokens over TLS
 * only, and node:crypto can sign but not issue.
 * Format: RFC 5280, DER. Proof: test/api-server/access.test.ts.
 * @module
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

/** PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
}

const tenYearsMs = 10 * 365 * 24 * 3600_000;
const dayMs = 24 * 3600_000;

const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
  dnsName: 0x82,
  ipAddress: 0x87,
  version: 0xa0,
  extensions: 0xa3,
} as const;

const objectIds = {
  commonName: "550403",
  subjectAlternativeName: "551d11",
  basicConstraints: "551d13",
  ecdsaWithSha256: "2a8648ce3d040302",
} as const;

/** Valid for ten years around the wall clock, which is what clients compare with. */
export function createServerCertificate(commonName = "testbed"): ServerCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(objectId(objectIds.ecdsaWithSha256));
  const subject = sequence(
    der(tag.set, sequence(objectId(objectIds.commonName), der(tag.utf8, Buffer.from(commonName)))),
  );
  const names = sequence(
    der(tag.dnsName, Buffer.from("localhost")),
    der(tag.ipAddress, Buffer.from([127, 0, 0, 1])),
  );
  const yes = der(tag.boolean, Buffer.from([0xff]));
  // Positive and without a leading zero byte.
  const serial = randomBytes(16);
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  const now = Date.now();
  const body = sequence(
    der(tag.version, der(tag.integer, Buffer.from([2]))),
    der(tag.integer, serial),
    algorithm,
    subject,
    sequence(utcTime(now - dayMs), utcTime(now + tenYearsMs)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(
      tag.extensions,
      sequence(
        sequence(objectId(objectIds.basicConstraints), yes, der(tag.octetString, sequence(yes))),
        sequence(objectId(objectIds.subjectAlternativeName), der(tag.octetString, names)),
      ),
    ),
  );
  const signature = Buffer.concat([Buffer.from([0]), sign("sha256", body, privateKey)]);
  const certificate = sequence(body, algorithm, der(tag.bitString, signature));
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
  };
}

function der(type: number, content: Uint8Array): Buffer {
  const { length } = content;
  let head = [type, length];
  if (length >= 0x100) head = [type, 0x82, length >> 8, length & 0xff];
  else if (length >= 0x80) head = [type, 0x81, length];
  return Buffer.concat([Buffer.from(head), content]);
}

function sequence(...items: readonly Uint8Array[]): Buffer {
  return der(tag.sequence, Buffer.concat(items));
}

function objectId(hex: string): Buffer {
  return der(tag.objectId, Buffer.from(hex, "hex"));
}

function utcTime(ms: number): Buffer {
  const text = new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, "");
  return der(tag.utcTime, Buffer.from(`${text}Z`));
}
