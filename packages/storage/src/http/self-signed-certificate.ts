/**
 * A certificate that signs itself, made on the spot, so that no private key lies in a repository: ECDSA on P-256, for
 * loopback names. Clients must be told to trust it, or not to check.
 * Format: RFC 5280, DER. Proof: test/testing-s3-server.test.ts.
 * @module
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

export interface CertificateOptions {
  /** Shown to people as the subject; `test server` by default. */
  readonly commonName?: string | undefined;
  /** DNS names and IPv4 addresses; `localhost`, `*.localhost` and `127.0.0.1` by default. */
  readonly names?: readonly string[] | undefined;
  /** A day ago by default. */
  readonly notBeforeMs?: number | undefined;
  /** In a year by default. */
  readonly notAfterMs?: number | undefined;
}

/** Key and certificate in PEM, as the `tls` option of the server takes them; the certificate is its own authority. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

const dayMs = 24 * 3600_000;

export function selfSignedCertificate(options: CertificateOptions = {}): Certificate {
  const {
    commonName = "test server",
    names = ["localhost", "*.localhost", "127.0.0.1"],
    notAfterMs = Date.now() + 365 * dayMs,
    notBeforeMs = Date.now() - dayMs,
  } = options;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
  const name = sequence(set(sequence(oid("550403"), der(0x0c, Buffer.from(commonName)))));
  const alternatives = sequence(
    ...names.map((text) =>
      /^\d+\.\d+\.\d+\.\d+$/.test(text)
        ? der(0x87, Buffer.from(text.split(".").map(Number)))
        : der(0x82, Buffer.from(text)),
    ),
  );
  const yes = der(0x01, Buffer.from([0xff]));
  const serial = randomBytes(16);
  // A serial number is positive, and its first byte not zero.
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  const body = sequence(
    der(0xa0, integer(2)),
    der(0x02, serial),
    ecdsaWithSha256,
    name,
    sequence(time(notBeforeMs), time(notAfterMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(
      0xa3,
      sequence(
        sequence(oid("551d13"), yes, der(0x04, sequence(yes))),
        sequence(oid("551d11"), der(0x04, alternatives)),
      ),
    ),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(
    body,
    ecdsaWithSha256,
    der(0x03, Buffer.concat([Buffer.from([0]), signature])),
  );
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
  };
}

function der(type: number, content: Uint8Array): Buffer {
  const { length } = content;
  const head =
    length < 0x80
      ? [type, length]
      : length < 0x100
        ? [type, 0x81, length]
        : [type, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...items: readonly Uint8Array[]): Buffer => der(0x30, Buffer.concat(items));
const set = (...items: readonly Uint8Array[]): Buffer => der(0x31, Buffer.concat(items));
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const integer = (value: number): Buffer => der(0x02, Buffer.from([value]));

/** Years up to 2049 have two digits, later ones four. */
function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`;
  return Number(text.slice(0, 4)) < 2050
    ? der(0x17, Buffer.from(text.slice(2)))
    : der(0x18, Buffer.from(text));
}
