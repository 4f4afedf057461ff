// Container paths become host paths wherever they stand as a path of their own, and nothing else changes.
import { expect, it } from "vitest";
import { hostPathOf, pathRewriter } from "../../src/kubelet/path-rewriting.ts";

const mappings = [
  { containerPath: "/data", hostPath: "/host/pods/1/data" },
  { containerPath: "/data/cache", hostPath: "/host/cache" },
  { containerPath: "/dev/termination-log", hostPath: "/host/message" },
  { containerPath: "/3f2a", hostPath: "/host/volume" },
  { containerPath: "/a+b/", hostPath: "/host/plus" },
  { containerPath: "/host", hostPath: "/elsewhere" },
];

it.each([
  ["/data", "/host/pods/1/data"],
  ["/data/", "/host/pods/1/data/"],
  ["/data/x/y.txt", "/host/pods/1/data/x/y.txt"],
  ["/data/cache/z", "/host/cache/z"],
  ["/database", "/database"],
  ["/data.old", "/data.old"],
  ["/data-old", "/data-old"],
  ["/my/data", "/my/data"],
  ["./data", "./data"],
  ["--volume-path=/3f2a", "--volume-path=/host/volume"],
  ["--paths=/data:/3f2a,/data/cache", "--paths=/host/pods/1/data:/host/volume,/host/cache"],
  [
    "cat '/data/x' > \"/data/y\" && ls /data",
    "cat '/host/pods/1/data/x' > \"/host/pods/1/data/y\" && ls /host/pods/1/data",
  ],
  ["look at /data.", "look at /host/pods/1/data."],
  ["file:///data/x", "file:///host/pods/1/data/x"],
  ["https://server/data/x", "https://server/data/x"],
  ["http://127.0.0.1:80/data", "http://127.0.0.1:80/data"],
  ["s3://data/data", "s3://data/data"],
  ["/a+b/c", "/host/plus/c"],
  ['{"path":"/data"}', '{"path":"/host/pods/1/data"}'],
  // What was translated is not looked at again, though /host is a mount path here.
  ["/data /host/x", "/host/pods/1/data /elsewhere/x"],
])("%s → %s", (text, expected) => {
  expect(pathRewriter(mappings)(text)).toBe(expected);
});

it("leaves everything alone without mappings", () => {
  expect(pathRewriter([])("/data /")).toBe("/data /");
});

it("tells the host path of one path", () => {
  expect(hostPathOf("/data/x", mappings)).toBe("/host/pods/1/data/x");
  expect(hostPathOf("/etc", mappings)).toBeUndefined();
});
