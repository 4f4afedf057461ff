// Lists agree with a plain model (filter, roll up, sort by bytes) for any keys, prefix and delimiter, and pages of any size
// put together give the whole list, also when keys come and go between them.
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type Walked, walkKeys } from "../src/testing/s3/list.ts";
import { startS3Server } from "../src/testing/s3.ts";
import { send, target, texts, xmlOf } from "./s3-raw-client.ts";

const bytesOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const nameOf = (walked: Walked): string => ("key" in walked ? walked.key : walked.commonPrefix);

/** Everything that a list has to give, the obvious way. */
function model(keys: readonly string[], prefix: string, delimiter: string): string[] {
  const names = keys
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const at = delimiter === "" ? -1 : key.slice(prefix.length).indexOf(delimiter);
      return at < 0 ? key : key.slice(0, prefix.length + at + delimiter.length);
    });
  return [...new Set(names)].sort(bytesOrder);
}

const part = fc.constantFrom("a", "b", "/", "//", "é", "\u{1f600}", "\uffee", " ", "+", "%");
const key = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(""));
const keySet = fc.uniqueArray(key, { maxLength: 40 });
const prefix = fc.array(part, { maxLength: 2 }).map((parts) => parts.join(""));
const delimiter = fc.constantFrom("", "/", "a", "//");

describe("the walk", () => {
  it("gives what the model gives, from the start and behind every name that it gave", () => {
    fc.assert(
      fc.property(keySet, prefix, delimiter, (keys, start, cut) => {
        const sorted = [...keys].sort(bytesOrder);
        const all = [...walkKeys(sorted, { prefix: start, delimiter: cut })];
        expect(all.map(nameOf)).toEqual(model(keys, start, cut));
        for (const [index, walked] of all.entries()) {
          const after = nameOf(walked);
          const afterPrefix = "commonPrefix" in walked;
          const rest = walkKeys(sorted, { prefix: start, delimiter: cut, after, afterPrefix });
          expect([...rest].map(nameOf)).toEqual(all.slice(index + 1).map(nameOf));
        }
      }),
    );
  });

  it("leaves out a common prefix under which nothing is visible", () => {
    const walked = walkKeys(["a/1", "a/2", "b/1"], {
      prefix: "",
      delimiter: "/",
      isVisible: (name) => name === "b/1" || name === "a/2",
    });
    expect([...walked].map(nameOf)).toEqual(["a/", "b/"]);
    const none = walkKeys(["a/1", "b/1"], { prefix: "", delimiter: "/", isVisible: () => false });
    expect([...none]).toEqual([]);
  });
});

describe("over HTTP", async () => {
  const server = await startS3Server({ buckets: ["models", "pages"] });
  afterAll(() => server.close());

  const names = ["a/1", "a/2", "a b", "b/c/d", "b/é", "z+z", "\uffee", "\u{1f600}", "x//y"];
  for (const name of names) await send(server, "PUT", target("models", name), { body: name });

  /** All pages of a list: V1 (`marker`) or V2 (`continuation-token`). */
  async function listed(version: 1 | 2, query: Record<string, string>, pageSize: number) {
    const found: string[] = [];
    let more: Record<string, string> = {};
    for (let pages = 0; pages < 30; pages++) {
      const parameters = new URLSearchParams({
        ...query,
        ...more,
        "max-keys": String(pageSize),
        "encoding-type": "url",
        ...(version === 2 && { "list-type": "2" }),
      });
      const answer = await send(server, "GET", target("models", "", String(parameters)));
      const root = xmlOf(answer, "ListBucketResult");
      const decode = (name: string): string => decodeURIComponent(name.replaceAll("+", " "));
      const page = [
        ...texts(root, "Contents", "Key").map(decode),
        ...texts(root, "CommonPrefixes", "Prefix").map(decode),
      ].sort(bytesOrder);
      expect(page.length).toBeLessThanOrEqual(pageSize);
      found.push(...page);
      if (texts(root, "IsTruncated")[0] === "false") return found;
      const [token] = texts(root, "NextContinuationToken");
      const [marker] = texts(root, "NextMarker");
      more =
        version === 2
          ? { "continuation-token": token ?? "" }
          : { marker: marker === undefined ? (page.at(-1) ?? "") : decode(marker) };
    }
    throw new Error("the list has no end");
  }

  it.each([1, 2] as const)(
    "version %i: pages of every size are the whole list",
    async (version) => {
      for (const query of [
        {},
        { delimiter: "/" },
        { prefix: "a" },
        { prefix: "b/", delimiter: "/" },
      ]) {
        const { delimiter: cut = "", prefix: start = "" } = query as Record<string, string>;
        const whole = model(names, start, cut);
        for (const pageSize of [1, 2, 3, 1000])
          expect(await listed(version, query, pageSize)).toEqual(whole);
      }
    },
  );

  it("keys that come and go between pages confuse nothing", async () => {
    for (const name of ["a", "c", "e", "g"]) await send(server, "PUT", target("pages", name));
    const first = await send(server, "GET", target("pages", "", "list-type=2&max-keys=2"));
    const root = xmlOf(first, "ListBucketResult");
    expect(texts(root, "Contents", "Key")).toEqual(["a", "c"]);
    await send(server, "DELETE", target("pages", "c"));
    for (const name of ["b", "d", "f"]) await send(server, "PUT", target("pages", name));
    const token = encodeURIComponent(texts(root, "NextContinuationToken")[0] ?? "");
    const query = `list-type=2&continuation-token=${token}`;
    const second = xmlOf(await send(server, "GET", target("pages", "", query)), "ListBucketResult");
    expect(texts(second, "Contents", "Key")).toEqual(["d", "e", "f", "g"]);
  });

  it("max-keys=0 gives nothing, and is not truncated; nonsense is refused", async () => {
    const none = await send(server, "GET", target("models", "", "list-type=2&max-keys=0"));
    expect(texts(xmlOf(none, "ListBucketResult"), "IsTruncated")).toEqual(["false"]);
    for (const query of [
      "max-keys=-1",
      "max-keys=a",
      "continuation-token=%21",
      "encoding-type=x",
    ]) {
      const answer = await send(server, "GET", target("models", "", `list-type=2&${query}`));
      expect([query, answer.code]).toEqual([query, "InvalidArgument"]);
    }
  });
});
