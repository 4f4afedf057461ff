// Messages lose passwords, keys of credential files and users of URLs, and are cut.
import { expect, it } from "vitest";
import { scrubbed } from "../../src/repository/scrub.ts";

const file = "[default]\naws_access_key_id=AKIAEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI\n";

it.each([
  ["wrong key wJalrXUtnFEMI of AKIAEXAMPLE", "wrong key *** of ***"],
  ["password static-passw0rd is wrong", "password *** is wrong"],
  ["https://user:secret@host/path failed", "https://***@host/path failed"],
  [
    "GET https://h/b?x=1&X-Amz-Signature=abc&sig=def failed",
    "GET https://h/b?x=1&X-Amz-Signature=***&sig=*** failed",
  ],
  ["the profile default is missing", "the profile default is missing"],
])("%s", (text, clean) => {
  expect(scrubbed(text, ["static-passw0rd", file])).toBe(clean);
});

it("values of JSON credentials", () => {
  const json = '{\n  "private_key": "-----BEGIN KEY-----abc",\n  "client": "x"\n}';
  expect(scrubbed("bad -----BEGIN KEY-----abc", [json])).toBe("bad ***");
});

it("cuts what is too long for a status", () => {
  expect(scrubbed("x".repeat(5_000), []).length).toBeLessThan(2_100);
});
