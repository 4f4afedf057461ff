import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseSettings } from "../src/demo/settings.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-settings-"));
const [image, empty] = [join(folder, "image"), join(folder, "empty")];
writeFileSync(image, "block");
writeFileSync(empty, "");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function parse(...args: string[]): { text: string; result: ReturnType<typeof parseSettings> } {
  let text = "";
  const result = parseSettings(args, (more) => {
    text += more;
  });
  return { text, result };
}

describe("settings", () => {
  it("are few by default", () => {
    expect(parse().result).toEqual({
      sources: [],
      keep: false,
      image: "dm",
      yes: false,
      algorithms: {},
    });
  });

  it("take every flag", () => {
    const { result } = parse(
      ...["--source", folder, "--source", folder, "--store", "s3://bucket/prefix", "--keep"],
      ...["--block", image, "--kubeconfig", "config", "--yes", "--block-hash", "BLAKE3-256"],
      ...["--encryption", "AES256-GCM-HMAC-SHA256", "--object-splitter", "FIXED-4M"],
    );
    expect(result).toMatchObject({
      sources: [folder, folder],
      store: "s3://bucket/prefix",
      keep: true,
      block: image,
      kubeconfig: "config",
      yes: true,
      algorithms: {
        hash: "BLAKE3-256",
        encryption: "AES256-GCM-HMAC-SHA256",
        splitter: "FIXED-4M",
      },
    });
  });

  it.each([
    [["--source", join(folder, "none")], "is no directory"],
    [["--block", join(folder, "none")], "there is no"],
    [["--block", folder], "is no file"],
    [["--block", empty], "is empty"],
    [["--store", "gs://bucket"], "neither s3://bucket/prefix nor a directory"],
    [["--unknown"], "unknown option"],
  ])("refuse %j with exit code 2", (args, text) => {
    const parsed = parse(...args);
    expect(parsed.result).toEqual({ exitCode: 2 });
    expect(parsed.text).toContain(text);
  });

  it("print help with exit code 0", () => {
    const { result, text } = parse("--help");
    expect(result).toEqual({ exitCode: 0 });
    expect(text).toContain("--kubeconfig <file>");
  });
});
