/** JSON as Go writes it: in the order of the keys, with what HTML minds escaped. */
import { expect, it } from "vitest";
import { goJson } from "../../src/bucket/go-json.ts";

it("has its keys in order, at every depth, and lists as they are", () => {
  expect(goJson({ b: { z: 1, a: [2, 1] }, Z: null, a: undefined })).toBe(
    '{"Z":null,"b":{"a":[2,1],"z":1}}',
  );
});

it("escapes what HTML minds", () => {
  expect(goJson({ a: "<b> & \u2028 é\n" })).toBe('{"a":"\\u003cb\\u003e \\u0026 \\u2028 é\\n"}');
  const value = { text: '</script> "&"', list: [{ "<": 1 }] };
  expect(JSON.parse(goJson(value))).toEqual(value);
});

it("is indented on demand", () => {
  expect(goJson({ a: 1 }, 2)).toBe('{\n  "a": 1\n}');
});
