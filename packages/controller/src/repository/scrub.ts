/**
 * Keeps secrets out of messages: errors of servers may repeat what they were sent.
 * Proof: test/repository/scrub.test.ts.
 * @module
 */

/** Shorter values would blank out ordinary words. */
const shortest = 6;
const longestMessage = 2_000;
const signatures = /([?&](?:sig|X-Amz-(?:Signature|Credential|Security-Token))=)[^&\s"']+/gi;

/**
 * `text` without the given secrets, their lines, and the values in lines such as `name = value`; also without users,
 * passwords and signatures of URLs, and cut to a length that fits a status.
 * @example scrubbed("wrong key abcdef", ["[default]\naws_secret_access_key=abcdef"]) // "wrong key ***"
 */
export function scrubbed(text: string, secrets: readonly string[]): string {
  let clean = text.replace(/(\w+:\/\/)[^\s/@]+@/g, "$1***@").replace(signatures, "$1***");
  const values = new Set(secrets.flatMap(valuesOf));
  // The longest first: one may be part of another.
  for (const value of [...values].sort((a, b) => b.length - a.length))
    clean = clean.replaceAll(value, "***");
  return clean.length > longestMessage ? `${clean.slice(0, longestMessage)}…` : clean;
}

function valuesOf(secret: string): string[] {
  const lines = [secret, ...secret.split(/\r?\n/)].map((line) => line.trim());
  const values = lines.flatMap((line) => {
    const at = line.search(/[=:]/);
    const value =
      at < 0
        ? ""
        : line
            .slice(at + 1)
            .trim()
            .replace(/^["']|["'],?$/g, "");
    return [line, value];
  });
  return values.filter((value) => value.length >= shortest && !/^\[.*\]$/.test(value));
}
