/** Both ciphers, byte for byte with recorded nonces; altered ciphertexts are refused; the key derivations. */
import { fromHex, toHex, utf8Encode } from "@dm/core";
import { createEncryption, derivePasswordKey, hkdfSha256 } from "@dm/encryption";
import { generate } from "../../fixtures/src/generate.ts";
import { type Json, type Outcome, Report, type Source, sha256Hex } from "./outcome.ts";

export async function check(source: Source): Promise<Outcome> {
  const report = new Report();
  const { algorithms } = await source.json("/vectors/encryption");
  for (const name of Object.keys(algorithms)) {
    await checkCipher(report, name, algorithms[name]);
  }
  const { hkdf, kdf } = await source.json("/vectors/keys");
  for (const { masterKey, salt, info, length, key } of hkdf) {
    const derived = hkdfSha256(fromHex(masterKey), {
      salt: fromHex(salt),
      info: utf8Encode(info),
      length,
    });
    report.equal(toHex(derived), key, `hkdf ${info}`);
  }
  for (const { algorithm, password, uniqueID, formatEncryptionKey, kopiaError } of kdf) {
    const what = `${algorithm} with a password of ${password.length}`;
    const derive = () => derivePasswordKey(password, { algorithm, salt: fromHex(uniqueID) });
    if (kopiaError !== undefined) await report.refuses(derive, what);
    else {
      await report.accepts(async () => {
        report.equal(toHex(await derive()), formatEncryptionKey, what);
      }, what);
    }
  }
  return report.outcome;
}

async function checkCipher(report: Report, name: string, vectors: Json): Promise<void> {
  for (const { masterKey, contentID, plaintext, ciphertexts, overhead } of vectors.cases) {
    const what = `${name} ${contentID}`;
    await report.accepts(() => {
      const cipher = createEncryption(name, fromHex(masterKey));
      const iv = fromHex(contentID);
      report.equal(cipher.overheadBytes, overhead, `${what} overhead`);
      for (const ciphertext of ciphertexts) {
        const stored = fromHex(ciphertext);
        report.equal(toHex(cipher.decrypt(stored, iv)), plaintext, `${what} decrypted`);
        const again = cipher.encrypt(fromHex(plaintext), iv, { nonce: stored.subarray(0, 12) });
        report.equal(toHex(again), ciphertext, `${what} encrypted`);
      }
    }, what);
  }
  for (const { masterKey, contentID, nonce, plaintext, ...expected } of vectors.large) {
    const cipher = createEncryption(name, fromHex(masterKey));
    const stored = cipher.encrypt(generate(plaintext), fromHex(contentID), {
      nonce: fromHex(nonce),
    });
    report.equal(stored.length, expected.ciphertextLength, `${name} large length`);
    report.equal(await sha256Hex(stored), expected.ciphertextSha256, `${name} large`);
  }
  for (const { masterKey, contentID, ciphertext, what } of vectors.mustReject) {
    const cipher = createEncryption(name, fromHex(masterKey));
    await report.refuses(
      () => cipher.decrypt(fromHex(ciphertext), fromHex(contentID)),
      `${name} ${what}`,
    );
  }
}
