// Messages of SFTP: any cut of the stream gives the same messages; what no server may send is refused.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeMessage, FieldReader, MessageAssembler } from "../src/sftp/sftp-messages.ts";

describe("messages", () => {
  it("are the same however the stream is cut", () => {
    const message = fc.record({
      type: fc.integer({ min: 1, max: 201 }),
      data: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 200 })),
        (messages, cuts) => {
          const stream = Buffer.concat(
            messages.map(({ data, type }) => encodeMessage(type, [7, data])),
          );
          const assembler = new MessageAssembler();
          const found: unknown[] = [];
          for (let at = 0, cut = 0; at < stream.length; cut++) {
            const end = at + (cuts[cut % Math.max(1, cuts.length)] ?? 50);
            for (const { body, type } of assembler.add(stream.subarray(at, end))) {
              const reader = new FieldReader(body);
              found.push({ type, id: reader.uint32(), data: reader.bytes(), done: reader.done });
            }
            at = end;
          }
          expect(found).toEqual(
            messages.map(({ data, type }) => ({ type, id: 7, data, done: true })),
          );
        },
      ),
    );
  });

  it.each([
    ["of no length", [0, 0, 0, 0]],
    ["of 16 MiB", [1, 0, 0, 0]],
  ])("%s are refused before anything is reserved", (_what, bytes) => {
    expect(() => [...new MessageAssembler().add(new Uint8Array(bytes))]).toThrow(
      expect.objectContaining({ code: "DM_STORE_ANSWER_INVALID" }),
    );
  });

  it("that are cut short are refused", () => {
    const whole = encodeMessage(104, [1, "name", "long name", 5, 10n, 0o100644]).subarray(5);
    expect(new FieldReader(whole).names()).toEqual([
      { name: "name", attributes: { size: 10, mode: 0o100644, modifiedAtSeconds: undefined } },
    ]);
    for (let length = 0; length < whole.length; length++) {
      expect(() => new FieldReader(whole.subarray(0, length)).names(), `${length}`).toThrow(
        expect.objectContaining({ code: "DM_STORE_ANSWER_INVALID" }),
      );
    }
  });
});
