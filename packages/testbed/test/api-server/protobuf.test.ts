// Kubernetes' protobuf against messages written out byte by byte; kubectl's own are in kubectl.kubectl.test.ts.
import { expect, it } from "vitest";
import { decodeProtobuf } from "../../src/api-server/protobuf.ts";

const text = (value: string): Buffer => Buffer.from(value);
/** One field with a length. */
const field = (number: number, ...parts: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(parts);
  const head = [(number << 3) | 2];
  if (content.length < 128) head.push(content.length);
  else head.push((content.length & 0x7f) | 0x80, content.length >> 7);
  return Buffer.concat([Buffer.from(head), content]);
};
const number = (at: number, value: number): Buffer => Buffer.from([at << 3, value]);
const envelope = (apiVersion: string, kind: string, ...raw: readonly Buffer[]): Buffer =>
  Buffer.concat([
    Buffer.from("6b387300", "hex"),
    field(1, field(1, text(apiVersion)), field(2, text(kind))),
    field(2, ...raw),
    field(3),
    field(4),
  ]);

it("reads a ConfigMap", () => {
  const body = envelope(
    "v1",
    "ConfigMap",
    field(
      1,
      field(1, text("a")),
      field(2),
      field(11, field(1, text("k")), field(2, text("v"))),
      field(8),
    ),
    field(2, field(1, text("x")), field(2, text("y".repeat(200)))),
    field(3, field(1, text("b")), field(2, Buffer.from([0, 255]))),
  );
  expect(decodeProtobuf(body)).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "a", labels: { k: "v" } },
    data: { x: "y".repeat(200) },
    binaryData: { b: "AP8=" },
  });
});

it("reads numbers, lists and nested messages", () => {
  const rule = field(2, field(1, text("get")), field(1, text("list")), field(3, text("pods")));
  expect(
    decodeProtobuf(
      envelope("rbac.authorization.k8s.io/v1", "Role", field(1, field(1, text("r"))), rule),
    ),
  ).toMatchObject({ rules: [{ verbs: ["get", "list"], resources: ["pods"] }] });
  const spec = field(2, number(4, 60));
  expect(decodeProtobuf(envelope("authentication.k8s.io/v1", "TokenRequest", spec))).toMatchObject({
    spec: { expirationSeconds: 60 },
  });
});

it("refuses what it does not know instead of losing it", () => {
  const unknown = expect.objectContaining({ status: 415, reason: "UnsupportedMediaType" });
  expect(() => decodeProtobuf(envelope("v1", "Endpoints"))).toThrow(unknown);
  expect(() => decodeProtobuf(envelope("v1", "ConfigMap", field(9, text("?"))))).toThrow(unknown);
});

it("refuses what is no message", () => {
  const bad = expect.objectContaining({ status: 400 });
  expect(() => decodeProtobuf(Buffer.from("{}"))).toThrow(bad);
  const whole = envelope("v1", "ConfigMap", field(1, field(1, text("a"))));
  expect(() => decodeProtobuf(whole.subarray(0, whole.length - 6))).toThrow(bad);
});
