// The primitives and the read path of the repository work in a browser: each subject is bundled from the *built* packages
// with nothing of Node in it, and headless Chromium runs it against every recorded vector, or reads a repository that
// kopia wrote, served over HTTP on loopback; the S3 store passes the store contract against a bucket of another origin.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadGolden, loadVectors, requirePeer, type VectorName } from "@dm/fixtures";
import { openCors, type S3Server, startS3Server, testAccessKey } from "@dm/storage/testing/s3";
import { build, type Metafile } from "esbuild";
import { type Browser, chromium as launcher, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Outcome } from "../browser/outcome.ts";
import { root } from "../src/workspace.ts";

const chromium = requirePeer("chromium");

/** The least number of comparisons that counts as "all vectors". */
const subjects = {
  hashing: 1500,
  encryption: 600,
  splitter: 500,
  compression: 700,
  golden: 200,
  s3: 25,
};
type Subject = keyof typeof subjects;
const names = Object.keys(subjects) as Subject[];
const goldenName = "v3-all-compressors";

/** One subject as a module for the browser, with the imports that are left in it. */
async function bundle(subject: Subject): Promise<{ code: string; metafile: Metafile }> {
  const result = await build({
    stdin: {
      contents: `import { check } from "./${subject}.ts";
        import { httpSource } from "./outcome.ts";
        export const run = () => check(httpSource);`,
      resolveDir: join(import.meta.dirname, "../browser"),
    },
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const [output] = result.outputFiles;
  if (!output) throw new Error("esbuild wrote nothing");
  return { code: output.text, metafile: result.metafile };
}

describe.each(names)("the bundle of %s", (subject) => {
  it("is made of built code, and imports nothing of Node", async () => {
    const { code, metafile } = await bundle(subject);
    const left = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
    expect(left).toEqual([]);
    expect(code).not.toMatch(/(?:from|import|require\()\s*\(?["'](?:node:|fs["']|crypto["'])/);
    const inputs = Object.keys(metafile.inputs).filter((path) => path.startsWith("packages/"));
    const sources = inputs.filter((path) => path.includes("/src/"));
    expect(sources.filter((path) => path !== "packages/fixtures/src/generate.ts")).toEqual([]);
    expect(inputs.some((path) => path.includes("/dist/"))).toBe(true);
  });
});

describe.skipIf(!chromium.available)(chromium.title("in headless Chromium"), () => {
  const profile = mkdtempSync(join(tmpdir(), "dm-browser-"));
  const golden = loadGolden(goldenName);
  let server: Server;
  let bucket: S3Server;
  let browser: Browser;
  let page: Page;

  /** Body and type of what the page asks for; undefined when there is no such thing. */
  async function answer(
    path: string,
  ): Promise<[type: string, body: string | Uint8Array] | undefined> {
    const json = (value: unknown): [string, string] => ["application/json", JSON.stringify(value)];
    const [, folder = "", name = "", id] = path.split("/");
    if (path === "/")
      return ["text/html", '<!doctype html><link rel="icon" href="data:,"><title>dm</title>'];
    if (folder === "bundles") return ["text/javascript", (await bundle(name as Subject)).code];
    if (path === "/s3/connection") return json({ endpoint: bucket.url, ...testAccessKey });
    if (folder === "vectors") return json(loadVectors(name as VectorName));
    if (path === "/golden/expected") return json(golden.expected);
    if (path === "/golden/blobs") {
      return json(
        [...golden.blobs].map(([blobId, bytes]) => ({ id: blobId, length: bytes.length })),
      );
    }
    const blob = folder === "golden" && id !== undefined ? golden.blobs.get(id) : undefined;
    return blob && ["application/octet-stream", blob];
  }

  beforeAll(async () => {
    bucket = await startS3Server({ buckets: ["page"], cors: [openCors] });
    server = createServer((request, response) => {
      answer(decodeURIComponent(request.url ?? "/")).then(
        (found) => {
          response.writeHead(found ? 200 : 404, { "content-type": found?.[0] ?? "text/plain" });
          response.end(found?.[1]);
        },
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    // Without these flags Chromium looks for the network at every start.
    const quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking"];
    const more = ["--disable-component-update", "--disable-sync", "--disable-gpu", "--no-sandbox"];
    browser = await launcher.launch({
      executablePath: chromium.path,
      headless: true,
      args: [...quiet, ...more],
      env: { ...process.env, HOME: profile } as Record<string, string>,
    });
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  });

  afterAll(async () => {
    await browser?.close();
    await bucket?.close();
    await new Promise((resolve) => server.close(resolve));
    rmSync(profile, { recursive: true, force: true });
  });

  it.each(names)("%s does what it does in Node", { timeout: 120_000 }, async (subject) => {
    // As text, because the test runner rewrites the imports of functions.
    const script = `import("/bundles/${subject}").then(({ run }) => run())`;
    const outcome = (await page.evaluate(script)) as Outcome;
    expect(outcome.failures).toEqual([]);
    expect(outcome.compared).toBeGreaterThanOrEqual(subjects[subject]);
  });
});
