/**
 * Keys and encryption: the password's key, the envelope of the format blob, contents and blobs.
 * @module
 */
import { createDecipheriv, createHmac, hkdfSync, pbkdf2Sync, scryptSync } from "node:crypto";
import { decodeEcc } from "./ecc.ts";

export function hkdf(key: Uint8Array, salt: Uint8Array | string, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key, salt, info, 32));
}

const passwordKeys = new Map<string, Uint8Array>();

/** Kept for the life of the process: tests open many repositories with one salt, and a key costs 0.2 s. */
export function passwordKey(password: string, salt: Uint8Array, algorithm: string): Uint8Array {
  const name = JSON.stringify([password, algorithm, Buffer.from(salt).toString("hex")]);
  let key = passwordKeys.get(name);
  if (key) return key;
  if (algorithm === "scrypt-65536-8-1")
    key = scryptSync(password, salt, 32, { N: 65536, r: 8, p: 1, maxmem: 1 << 27 });
  else if (algorithm === "pbkdf2-sha256-600000")
    key = pbkdf2Sync(password, salt, 600_000, 32, "sha256");
  else throw new Error(`unknown key derivation ${algorithm}`);
  passwordKeys.set(name, key);
  return key;
}

/** `nonce(12) || ciphertext || tag(16)`. */
function openAead(
  cipher: "aes-256-gcm" | "chacha20-poly1305",
  key: Uint8Array,
  stored: Uint8Array,
  associated: Uint8Array,
): Uint8Array {
  if (stored.length < 28) throw new Error(`${stored.length} bytes are too few for a ciphertext`);
  const plaintextLength = stored.length - 28;
  const nonce = stored.subarray(0, 12);
  // The overloads want the cipher's name as a literal; both are used the same way.
  const decipher = createDecipheriv(cipher as "chacha20-poly1305", key, nonce, {
    authTagLength: 16,
  });
  decipher.setAAD(associated, { plaintextLength });
  decipher.setAuthTag(stored.subarray(stored.length - 16));
  return Buffer.concat([decipher.update(stored.subarray(12, -16)), decipher.final()]);
}

/** What only the password opens: the inner block of the format blob, and blobcfg. */
export function openEnvelope(key: Uint8Array, uniqueId: Uint8Array, stored: Uint8Array) {
  return openAead(
    "aes-256-gcm",
    hkdf(key, uniqueId, "AES"),
    stored,
    hkdf(key, uniqueId, "CHECKSUM"),
  );
}

export function openSchedule(key: Uint8Array, uniqueId: Uint8Array, stored: Uint8Array) {
  return openAead(
    "aes-256-gcm",
    hkdf(key, uniqueId, "maintenance schedule"),
    stored,
    Buffer.from("maintenance"),
  );
}

const ciphers = {
  "AES256-GCM-HMAC-SHA256": "aes-256-gcm",
  "CHACHA20-POLY1305-HMAC-SHA256": "chacha20-poly1305",
} as const;

/** Opens contents, local indexes and blobs, error correction included. */
export function decrypter(settings: {
  readonly encryption: string;
  readonly masterKey: Uint8Array;
  readonly eccOverheadPercent: number;
}): (stored: Uint8Array, iv: Uint8Array) => Uint8Array {
  const cipher = ciphers[settings.encryption as keyof typeof ciphers];
  if (!cipher) throw new Error(`unknown encryption ${settings.encryption}`);
  const secret = hkdf(settings.masterKey, "encryption", "");
  return (stored, iv) =>
    openAead(
      cipher,
      createHmac("sha256", secret).update(iv).digest(),
      settings.eccOverheadPercent > 0 ? decodeEcc(stored, settings.eccOverheadPercent) : stored,
      iv,
    );
}
