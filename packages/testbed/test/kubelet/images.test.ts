// Which program an image stands for, whether the node has it, and when it would be pulled.
import { expect, it } from "vitest";
import { NodeImages, pullPolicy } from "../../src/kubelet/images.ts";

it("finds programs by the image's whole name", () => {
  const images = new NodeImages({
    busybox: [],
    "quay.io/dm:1": { argv: ["node", "main.js"], env: { A: "1" } },
  });
  expect(images.find("busybox")).toEqual({ argv: [], isEntrypoint: false, env: {} });
  expect(images.find("quay.io/dm:1")).toEqual({
    argv: ["node", "main.js"],
    isEntrypoint: false,
    env: { A: "1" },
  });
  expect(images.find("quay.io/dm:2")).toBeUndefined();
  expect(images.find("constructor")).toBeUndefined();
});

it("takes an image off the node until it is pulled again", () => {
  const images = new NodeImages({ busybox: [] });
  images.remove("busybox");
  expect(images.find("busybox")).toBeUndefined();
  expect(images.names).toEqual([]);
  expect(images.pull("busybox")).toBeDefined();
  expect(images.find("busybox")).toBeDefined();
  expect(images.pull("other")).toBeUndefined();
});

it.each([
  [{ image: "a" }, "Always"],
  [{ image: "a:latest" }, "Always"],
  [{ image: "host:5000/a" }, "Always"],
  [{ image: "host:5000/a:1" }, "IfNotPresent"],
  [{ image: "a:latest", imagePullPolicy: "Never" }, "Never"],
])("%j is pulled %s", (container, expected) => {
  expect(pullPolicy(container)).toBe(expected);
});
